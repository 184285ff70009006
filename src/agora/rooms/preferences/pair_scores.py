"""From preference pairs to rewards: every side of every pair is scored once, and what has no score says why."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

from agora.core.errors import AgoraError
from agora.core.records import PreferencePair, stable_id
from agora.rooms.preferences.scorers import Conversation, Scorer, num_chars

# A scorer that fails on more than this share of answers is broken, not unlucky (spec of the paper, section 7).
_MAX_FAILED_SHARE = 0.05
_ALWAYS_FORGIVEN = 5


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """The rewards of one pair, which is all that the statistics need.

    ``chosen`` and ``rejected`` are None where the scorer has no number; ``error`` says so where it failed. Lengths are
    characters of what the assistant wrote. ``margin`` is the label's own gap (of ratings or votes), None where the data
    have none. ``tie`` marks a pair that the annotators themselves called a tie. ``prompt`` tells prompts apart.
    """

    SCHEMA: ClassVar[str] = "scored_pair/1"
    id: str
    subset: str
    prompt: str
    chosen: float | None
    rejected: float | None
    chosen_chars: int
    rejected_chars: int
    margin: float | None = None
    tie: bool = False
    error: str | None = None


def score_pairs(pairs: Iterable[PreferencePair], scorer: Scorer, *, batch_pairs: int = 128) -> Iterator[ScoredPair]:
    """Score both sides of each pair, in order.

    A number that is not finite is no score. When a batch raises, its conversations are tried once more one by one;
    those that fail again have no score, and the pair keeps the reason.

    Args:
        pairs: streamed.
        scorer: see :mod:`agora.rooms.preferences.scorers`.
        batch_pairs: pairs handed to the scorer at a time, at least 1.

    Raises:
        AgoraError: the scorer itself says that it cannot work (every error of our own tree passes through), or it
            failed on more than 5 % of the answers.
    """
    rows = iter(pairs)
    answers = failed = 0
    while batch := list(islice(rows, batch_pairs)):
        talks: list[Conversation] = [(*p.prompt, *side) for p in batch for side in (p.chosen, p.rejected)]
        rewards, errors = scores_and_errors(scorer, talks)
        answers, failed = answers + len(talks), failed + len(errors)
        if failed > max(_ALWAYS_FORGIVEN, _MAX_FAILED_SHARE * answers):
            example = next(iter(errors.values()), "")
            raise AgoraError(f"the scorer failed on {failed:,} of {answers:,} answers", hint=f"for example: {example}")
        for i, pair in enumerate(batch):
            reason = errors.get(2 * i) or errors.get(2 * i + 1)
            yield _scored(pair, rewards[2 * i], rewards[2 * i + 1], reason)


def subset_of(pair: PreferencePair) -> str:
    """What a pair is counted under: its ``subset``, else what its row says of its origin, else its source."""
    named = pair.meta.get("subset") or pair.meta.get("origin")
    return str(named) if named else pair.provenance.source if pair.provenance else ""


def margin_of(pair: PreferencePair) -> float | None:
    """How much better the label says that the chosen answer is: the margin, else the gap of the scores."""
    if pair.margin is not None:
        return pair.margin
    if pair.chosen_score is None or pair.rejected_score is None:
        return None
    return pair.chosen_score - pair.rejected_score


def scores_and_errors(scorer: Scorer, talks: Sequence[Conversation]) -> tuple[list[float | None], dict[int, str]]:
    """One finite score or None a conversation, and what went wrong by position.

    When the scorer raises, conversations are tried once more one by one; errors of our own tree pass through.
    """
    try:
        return _checked(scorer(talks), len(talks)), {}
    except AgoraError:
        raise
    except Exception:  # one bad conversation must not cost the others of its batch their score
        rewards: list[float | None] = [None] * len(talks)
        errors: dict[int, str] = {}
        for i, talk in enumerate(talks):
            try:
                rewards[i] = _checked(scorer([talk]), 1)[0]
            except AgoraError:
                raise
            except Exception as error:
                errors[i] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        return rewards, errors


def _checked(rewards: Sequence[float | None], wanted: int) -> list[float | None]:
    if len(rewards) != wanted:
        raise AgoraError(f"the scorer gave {len(rewards)} scores for {wanted} conversations")
    return [None if r is None or not math.isfinite(r) else float(r) for r in rewards]


def _scored(pair: PreferencePair, chosen: float | None, rejected: float | None, error: str | None) -> ScoredPair:
    return ScoredPair(
        id=pair.id,
        subset=subset_of(pair),
        prompt=stable_id([m.as_chat() for m in pair.prompt]),
        chosen=chosen,
        rejected=rejected,
        chosen_chars=num_chars(pair.chosen),
        rejected_chars=num_chars(pair.rejected),
        margin=margin_of(pair),
        tie=pair.tie,
        error=error,
    )
