"""What is in a data set, as far as it can be told without training on it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from agora.core.records import Sample
from agora.curate.text import normalize
from agora.rooms.synthesize.slices import DIFFICULTY


@dataclass(frozen=True, slots=True)
class DataFacts:
    """One data set: shares are of its rows; what the microcosm alone knows is None elsewhere.

    ``right`` is the share of rows whose answer is right among those that are well-posed; ``categories`` the entropy of
    the task categories in bits; ``distance`` the mean cosine distance to the nearest other instruction.
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


def facts_of(rows: Sequence[Sample], *, world: bool) -> DataFacts:
    """Measure a data set; ``world`` asks the microcosm for the truth."""
    texts = [sample.instruction for sample in rows]
    n = max(1, len(rows))
    facts = DataFacts(
        len(rows),
        len({normalize(text) for text in texts}) / n,
        sum(map(len, texts)) / n,
        sum(len(sample.answer or "") for sample in rows) / n,
        distance=mean_distance(texts),
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
        difficulty=sum(DIFFICULTY.index(exercise.difficulty) + 1 for exercise, _ in known) / len(known),
        categories=-sum(k / len(known) * math.log2(k / len(known)) for k in kinds.values()),
    )


def mean_distance(texts: Sequence[str]) -> float | None:
    """Mean cosine distance of each text to its nearest other one; None for fewer than two."""
    near = nearest_distances(texts)
    return sum(near) / len(near) if near else None


def nearest_distances(texts: Sequence[str]) -> list[float]:
    """1 - cosine similarity of each text to its nearest other one, by TF-IDF of character 3- to 5-grams."""
    if len(texts) < 2:
        return []
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True).fit_transform(
        [normalize(text) or "." for text in texts]
    )
    near: list[float] = []
    for start in range(0, vectors.shape[0], 512):
        block = (vectors[start : start + 512] @ vectors.T).toarray()
        block[np.arange(block.shape[0]), np.arange(start, start + block.shape[0])] = -1.0
        near += (1.0 - block.max(axis=1)).clip(0.0, 1.0).tolist()
    return near
