"""Vectors of some instructions of each data set, for the map and the coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agora.core.records import JsonMap
from agora.curate.expressions.fields import FIELDS
from agora.curate.rows import instruction_of
from agora.curate.topics import find_topics

if TYPE_CHECKING:
    import numpy as np

    from agora.curate.dataset.facts import Dataset

_TEXT_CHARS = 160
_PERPLEXITY = 30.0
_MOST_TOPICS = 12
_LEAST_POINTS = 10


def embed_samples(sets: Sequence[Dataset], embedder: str = "tfidf") -> list[np.ndarray]:
    """Unit vectors of each data set's sample, ``(n, dim)``; ``tfidf`` is fitted to all of them together.

    Args:
        sets: their samples are embedded.
        embedder: see :mod:`agora.curate.embeddings.embedder`.

    Raises:
        MissingError, UsageError: the embedder cannot be used.
    """
    from agora.curate.embeddings import find_embedder
    from agora.curate.embeddings.tfidf import TfidfEmbedder

    texts = [[instruction_of(row) for row in data.sample] for data in sets]
    spec = find_embedder(embedder)
    model = TfidfEmbedder.fit(t for some in texts for t in some) if embedder == "tfidf" else spec.open()
    return [model.embed(some) for some in texts]


def map_points(sets: Sequence[Dataset], vectors: Sequence[np.ndarray], seed: int = 0) -> list[Mapping[str, Any]]:
    """Places of all samples on one plane, by t-SNE; empty where there are too few different rows for a map."""
    import numpy as np
    from sklearn.manifold import TSNE

    together = np.concatenate(list(vectors))
    if len(np.unique(together, axis=0)) < _LEAST_POINTS:
        return []
    perplexity = min(_PERPLEXITY, (len(together) - 1) / 3)
    places = TSNE(2, perplexity=perplexity, init="pca", random_state=seed, n_jobs=1).fit_transform(together)
    rows = [(data.name, row) for data in sets for row in data.sample]
    topics = find_topics([instruction_of(row) for _, row in rows], together, most=_MOST_TOPICS, seed=seed)
    return [
        _point(name, row, place, topics.names[topic])
        for (name, row), place, topic in zip(rows, places.tolist(), topics.of, strict=True)
    ]


def _point(name: str, row: JsonMap, place: list[float], topic: str) -> Mapping[str, Any]:
    return {
        "x": round(place[0], 2),
        "y": round(place[1], 2),
        "data set": name,
        "category": FIELDS["category"].get(row) or "not labeled",
        "topic": topic,
        "text": instruction_of(row)[:_TEXT_CHARS],
    }
