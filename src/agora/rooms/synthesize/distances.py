"""How near instructions lie to each other, by the offline embedder, on the paper's scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Distances = Callable[[Sequence[str]], Sequence[float]]
_STRIP_ROWS = 1024


def nearest_distances(fitted_to: Sequence[str]) -> Distances | None:
    """A function that gives each text's distance to its nearest other one; None when there is nothing to fit to.

    Distances are squared, d^2 = 2 - 2 cos, in [0, 4], as in arXiv:2406.08464, but of hashed character n-grams in place
    of a sentence model: compare them among themselves only. All calls share one embedder, so sets can be compared.

    Args:
        fitted_to: texts that the n-grams are weighed by.
    """
    from agora.curate.embeddings.tfidf import TfidfEmbedder

    known = [text for text in fitted_to if text.strip()]
    if not known:
        return None
    embedder = TfidfEmbedder.fit(known)

    def distances(texts: Sequence[str]) -> list[float]:
        import numpy as np

        if len(texts) < 2:
            return []
        vectors = embedder.embed(texts)
        near: list[float] = []
        for start in range(0, len(vectors), _STRIP_ROWS):
            cosines = vectors[start : start + _STRIP_ROWS] @ vectors.T
            rows = np.arange(len(cosines))
            cosines[rows, start + rows] = -1.0
            near += (2.0 - 2.0 * cosines.max(axis=1)).clip(0.0, 4.0).tolist()
        return near

    return distances
