"""Nearest neighbors of many rows by an HNSW graph (faiss), and how many of them it finds.

The graph is built by one thread, so the same vectors give the same graph; queries run in as many threads as asked.
Cost grows with N log N instead of N^2; memory is the vectors twice and about 280 bytes a row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agora.core.errors import MissingError
from agora.core.progress import progress
from agora.curate.neighbors.exact import Found

if TYPE_CHECKING:
    import numpy as np

LINKS, BUILD_WIDTH, SEARCH_WIDTH, NEIGHBORS = 32, 80, 64, 32
_CHUNK = 10_000


def approximate_neighbors(vectors: np.ndarray, pairs_from: float, *, threads: int = 1) -> Found:
    """Like :func:`agora.curate.neighbors.exact.exact_neighbors`, with what a graph search finds among 32 neighbors.

    Raises:
        MissingError: faiss is not installed.
    """
    import numpy as np

    faiss = _faiss()
    index = _graph(faiss, vectors)
    faiss.omp_set_num_threads(threads)
    rows = len(vectors)
    nearest, similarity = np.full(rows, -1, dtype=np.int32), np.full(rows, -2, dtype=np.float32)
    keys: list[np.ndarray] = []
    values: list[np.ndarray] = []
    with progress(rows, "neighbors", "rows") as bar:
        for start in range(0, rows, _CHUNK):
            own = np.arange(start, min(start + _CHUNK, rows))
            found, others = index.search(vectors[own], min(NEIGHBORS + 1, rows))
            found[(others == own[:, None]) | (others < 0)] = -2
            first = found.argmax(axis=1)
            top = found[np.arange(len(own)), first]
            known = top > -2
            nearest[own[known]], similarity[own[known]] = others[known, first[known]], top[known]
            row, place = np.nonzero(found >= pairs_from)
            a, b = own[row], others[row, place]
            keys.append(np.minimum(a, b) * rows + np.maximum(a, b))
            values.append(found[row, place])
            bar.advance(len(own))
    distinct, where = np.unique(np.concatenate(keys), return_index=True)
    first, second = np.divmod(distinct, rows)
    return Found(nearest, similarity, first.astype(np.int32), second.astype(np.int32), np.concatenate(values)[where])


def _graph(faiss: Any, vectors: np.ndarray) -> Any:
    index = faiss.IndexHNSWFlat(vectors.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction, index.hnsw.efSearch = BUILD_WIDTH, SEARCH_WIDTH
    faiss.omp_set_num_threads(1)
    with progress(len(vectors), "building the graph", "rows") as bar:
        for start in range(0, len(vectors), _CHUNK):
            index.add(vectors[start : start + _CHUNK])
            bar.advance(min(_CHUNK, len(vectors) - start))
    return index


def _faiss() -> Any:
    try:
        import faiss
    except ImportError:
        hint = "pip install 'agora[embed]', or raise --exact-up-to"
        raise MissingError("neighbors of so many rows need the package faiss-cpu", hint=hint) from None
    return faiss
