"""Which two of k answers make a preference pair, or why none do (Magpie-DPO, arXiv:2406.08464, appendix on DPO)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from agora.core.errors import ConfigError
from agora.core.records import stable_id
from agora.curate.text import repeated_share


@dataclass(frozen=True, slots=True)
class Candidate:
    """One sampled answer. ``score`` is None where the scorer gave none."""

    text: str
    score: float | None
    finish_reason: str = "stop_token"
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class ChoiceRules:
    """What makes a pair.

    Args:
        min_margin: least gap between the best and the worst score, at least 0; equal scores never make a pair.
        max_repetition: an answer with this share of repeated word 10-grams is degenerate, in (0, 1].
        keep_truncated: let answers that were cut off by length take part.
        length_ratio: at most so many times as long may the longer side be; None leaves lengths alone.
        seed: of the choice among equal scores.
    """

    min_margin: float = 0.0
    max_repetition: float = 0.5
    keep_truncated: bool = False
    length_ratio: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        rules = {
            "min_margin": (self.min_margin >= 0, "at least 0"),
            "max_repetition": (0 < self.max_repetition <= 1, "in (0, 1]"),
            "length_ratio": (self.length_ratio is None or self.length_ratio >= 1, "at least 1"),
        }
        for name, (holds, rule) in rules.items():
            if not holds:
                raise ConfigError(f"{name} must be {rule}, got {getattr(self, name)}")


class Choice(NamedTuple):
    """Positions of the two sides; ``tie_break`` tells that equal scores left one of them to the seed."""

    chosen: int
    rejected: int
    tie_break: bool


def unusable(candidate: Candidate, rules: ChoiceRules) -> str | None:
    """Why an answer may not take part; None when it may. Whether it was scored is another question."""
    if candidate.finish_reason == "error":
        return "error"
    if not candidate.text.strip():
        return "empty"
    if candidate.finish_reason == "length" and not rules.keep_truncated:
        return "truncated"
    return "repetition" if repeated_share(candidate.text) >= rules.max_repetition else None


def choose(prompt_id: str, candidates: Sequence[Candidate], rules: ChoiceRules = ChoiceRules()) -> Choice | str:
    """The best and the worst of the usable answers, or the reason why there is no pair.

    Among equal scores a hash of the seed, the prompt and the position chooses: the first position would make one source
    the winner of most ties. Equal texts are one answer.

    Args:
        prompt_id: of the prompt; part of the tie break.
        candidates: in the order in which they were asked for.
        rules: margins and guards.
    """
    usable, seen = [], set()
    for i, candidate in enumerate(candidates):
        scored = candidate.score is not None and math.isfinite(candidate.score)
        if scored and unusable(candidate, rules) is None and candidate.text not in seen:
            seen.add(candidate.text)
            usable.append(i)
    if len(usable) < 2:
        return _why_too_few(candidates, rules)
    scores = {i: float(candidates[i].score or 0.0) for i in usable}

    def rank(i: int) -> tuple[float, str]:
        return scores[i], stable_id("tie", rules.seed, prompt_id, i)

    order = sorted(usable, key=rank)
    if rules.length_ratio is None:
        worst, best = order[0], order[-1]
    else:
        # the later pair of equal gaps is the one that the tie break ranks higher
        alike = [(a, b) for a in order for b in order if _ratio(candidates, a, b) <= rules.length_ratio]
        worst, best = max(alike, key=lambda ab: scores[ab[1]] - scores[ab[0]])
        if scores[best] == scores[worst] and scores[order[0]] < scores[order[-1]]:
            return "no pair of like length"
    margin = scores[best] - scores[worst]
    if margin <= 0:
        return "equal scores"
    if margin < rules.min_margin:
        return "margin too small"
    ties = list(scores.values())
    return Choice(best, worst, ties.count(scores[best]) > 1 or ties.count(scores[worst]) > 1)


def _ratio(candidates: Sequence[Candidate], a: int, b: int) -> float:
    short, long = sorted((len(candidates[a].text), len(candidates[b].text)))
    return long / max(1, short)


def _why_too_few(candidates: Sequence[Candidate], rules: ChoiceRules) -> str:
    """The commonest reason among the answers that may not take part."""
    reasons = [unusable(candidate, rules) for candidate in candidates]
    fit = [c for c, reason in zip(candidates, reasons, strict=True) if reason is None]
    if len(fit) >= 2:
        unscored = sum(c.score is None or not math.isfinite(c.score) for c in fit)
        return "no scores" if len(fit) - unscored < 2 else "equal answers"
    lost = [reason for reason in reasons if reason is not None]
    return f"answers: {max(sorted(set(lost)), key=lost.count)}" if lost else "too few answers"
