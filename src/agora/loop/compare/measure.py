"""What is in a data set, as far as it can be told without training on it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from agora.core.records import Sample
from agora.curate.scales import DIFFICULTY
from agora.curate.text import normalize
from agora.rooms.synthesize.distances import Distances


@dataclass(frozen=True, slots=True)
class DataFacts:
    """One data set: shares are of its rows; what the microcosm alone knows is None elsewhere.

    ``right`` is the share of rows whose answer is right among those that are well-posed; ``categories`` the entropy of
    the task categories in bits; ``distance`` the mean squared distance to the nearest other instruction.
    """

    rows: int
    distinct: float
    mean_chars: float
    mean_answer_chars: float
    well_posed: float | None = None
    right: float | None = None
    difficulty: float | None = None
    categories: float | None = None
    distance: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def facts_of(rows: Sequence[Sample], *, world: bool, distances: Distances | None = None) -> DataFacts:
    """Measure a data set; ``world`` asks the microcosm for the truth."""
    texts = [sample.instruction for sample in rows]
    n = max(1, len(rows))
    facts = DataFacts(
        len(rows),
        len({normalize(text) for text in texts}) / n,
        sum(map(len, texts)) / n,
        sum(len(sample.answer or "") for sample in rows) / n,
        distance=_mean(distances(texts)) if distances is not None else None,
    )
    return _with_truth(facts, rows) if world else facts


def _with_truth(facts: DataFacts, rows: Sequence[Sample]) -> DataFacts:
    from dataclasses import replace

    from agora.microcosm.world import check, recognize

    found = [(recognize(sample.instruction), sample.answer or "") for sample in rows]
    known = [(exercise, answer) for exercise, answer in found if exercise is not None]
    if not known:
        return replace(facts, well_posed=0.0)
    kinds = Counter(exercise.category for exercise, _ in known)
    return replace(
        facts,
        well_posed=len(known) / len(rows),
        right=sum(check(exercise, answer).correct for exercise, answer in known) / len(known),
        difficulty=sum(DIFFICULTY.rank(exercise.difficulty) or 0 for exercise, _ in known) / len(known),
        categories=-sum(k / len(known) * math.log2(k / len(known)) for k in kinds.values()),
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
