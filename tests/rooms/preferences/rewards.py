"""Pairs and scorers for the tests of reward evaluation."""

from __future__ import annotations

import random
from collections.abc import Sequence

from agora.core.records import Message, PreferencePair, Provenance
from agora.rooms.preferences.pair_scores import ScoredPair


def make_pair(
    i: int,
    chosen: str = "a good answer",
    rejected: str = "a bad one",
    *,
    subset: str | None = None,
    source: str = "test",
    prompt: str | None = None,
    margin: float | None = None,
    tie: bool = False,
) -> PreferencePair:
    return PreferencePair(
        id=f"p{i}",
        prompt=(Message("user", prompt if prompt is not None else f"question {i}"),),
        chosen=(Message("assistant", chosen),),
        rejected=(Message("assistant", rejected),),
        margin=margin,
        tie=tie,
        provenance=Provenance(source),
        meta={} if subset is None else {"subset": subset},
    )


def make_scored(
    i: int,
    chosen: float | None,
    rejected: float | None,
    *,
    chars: tuple[int, int] = (10, 10),
    subset: str = "test",
    prompt: str | None = None,
    margin: float | None = None,
    tie: bool = False,
) -> ScoredPair:
    return ScoredPair(f"p{i}", subset, prompt or f"q{i}", chosen, rejected, *chars, margin=margin, tie=tie)


def bradley_terry_rows(n: int, seed: int = 0, *, scale: float = 1.0) -> list[ScoredPair]:
    """Pairs whose labels follow sigma(difference) exactly; rewards are then multiplied by `scale`."""
    import math

    rng = random.Random(seed)
    rows = []
    for i in range(n):
        better = rng.gauss(0, 2)
        if rng.random() >= 1 / (1 + math.exp(-better)):
            better = -better
        rows.append(make_scored(i, scale * better, 0.0, chars=(rng.randint(5, 99), rng.randint(5, 99))))
    return rows


def last_word_scorer(talks: Sequence[tuple[Message, ...]]) -> list[float | None]:
    """The number that an answer ends with; None where it is no number."""
    found: list[float | None] = []
    for talk in talks:
        try:
            found.append(float(talk[-1].content.split()[-1]))
        except (ValueError, IndexError):
            found.append(None)
    return found
