"""Regions of a set of texts and names for them: vectors that lie together, and the words that only they have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from agora.core.errors import DataError
from agora.curate.text import words

if TYPE_CHECKING:
    import numpy as np

_TOPIC_ROWS, _MAX_TOPICS = 80, 24
_NAME_WORDS = 3
_FEWEST = 1e-6  # a word as common everywhere as here names nothing


class Topics(NamedTuple):
    """For each text the number of its topic, and for each topic its most distinctive words."""

    of: list[int]
    names: list[str]


def find_topics(texts: Sequence[str], vectors: np.ndarray, *, most: int = _MAX_TOPICS, seed: int = 0) -> Topics:
    """Cut texts into topics (k-means of their vectors, one topic for 80 texts) and name each by three words.

    Args:
        texts: what the words are taken from.
        vectors: unit vectors of the texts, ``(n, dim)``.
        most: topics.
        seed: of the clusters.

    Raises:
        DataError: there are not as many vectors as texts.
    """
    from sklearn.cluster import KMeans

    if len(texts) != len(vectors):
        raise DataError(f"{len(vectors)} vectors for {len(texts)} texts")
    if not len(texts):
        return Topics([], [])
    count = max(1, min(most, len(texts) // _TOPIC_ROWS))
    if count == 1:
        return Topics([0] * len(texts), ["all texts"])
    of: np.ndarray = KMeans(count, n_init=1, random_state=seed).fit_predict(vectors)
    return Topics(of.tolist(), _names(texts, of))


def _names(texts: Sequence[str], of: np.ndarray) -> list[str]:
    """Words that many texts of a topic hold and few others: share inside times log of the ratio of the shares."""
    import numpy as np
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    held = [
        sorted({w for w in words(text) if len(w) > 2 and not w.isdigit() and w not in ENGLISH_STOP_WORDS})
        for text in texts
    ]
    number: dict[str, int] = {}
    places = [
        (int(topic), number.setdefault(w, len(number))) for topic, some in zip(of, held, strict=True) for w in some
    ]
    counts = np.zeros((int(of.max()) + 1, max(len(number), 1)))
    np.add.at(counts, tuple(np.array(places, dtype=np.int64).reshape(-1, 2).T), 1)
    overall = np.maximum(counts.sum(axis=0) / len(texts), 1e-9)
    inside = counts / np.maximum(np.bincount(of), 1)[:, None]
    score = inside * np.log(np.maximum(inside, 1e-9) / overall)
    every = list(number)
    best = np.argsort(-score, axis=1, kind="stable")[:, :_NAME_WORDS]
    return [
        ", ".join(every[w] for w in row if score[topic, w] > _FEWEST) or f"topic {topic + 1}"
        for topic, row in enumerate(best)
    ]
