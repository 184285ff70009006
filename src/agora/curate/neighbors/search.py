"""Nearest neighbors of stored vectors: exact up to a stated size, above it by a graph whose recall is measured."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from agora.core.errors import UsageError
from agora.core.jsonl import read_json, write_json
from agora.core.records import JsonMap, stable_id
from agora.curate.embeddings.store import VectorStore
from agora.curate.neighbors.exact import Found, exact_neighbors

if TYPE_CHECKING:
    import numpy as np

EXACT_UP_TO = 200_000
THRESHOLD = 0.05  # on the squared distance: cosine above 0.975
PAIRS_FROM = 0.9
_SAMPLE_SHARE, _SAMPLE_ROWS = 0.01, 2000


class Recall(NamedTuple):
    """Of ``rows`` drawn rows, in how many the graph found the nearest neighbor, and of their pairs which share."""

    rows: int
    nearest: float
    pairs: float | None  # None where the drawn rows have no similar row


@dataclass(frozen=True, slots=True)
class Neighbors:
    """What :func:`find_neighbors` found. ``pairs_from`` is the least similarity of the pairs in ``found``."""

    found: Found
    pairs_from: float
    method: Literal["exact", "hnsw"]
    recall: Recall | None
    folder: Path

    def to_json(self) -> JsonMap:
        """How they were found."""
        recall = None if self.recall is None else self.recall._asdict()
        return {"method": self.method, "pairs_from": self.pairs_from, "pairs": len(self.found.a), "recall": recall}

    def repeats(self, threshold: float = THRESHOLD) -> np.ndarray:
        """How many other rows are within a squared distance of each row (``repeat_count``)."""
        import numpy as np

        near = self.found.pair_similarity > similarity_of(threshold)
        n = len(self.found.nearest)
        counts: np.ndarray = np.bincount(self.found.a[near], minlength=n) + np.bincount(self.found.b[near], minlength=n)
        return counts

    def first_similar(self, threshold: float = THRESHOLD) -> np.ndarray:
        """The smallest number among a row and those within the distance; -1 for a row that stands alone."""
        import numpy as np

        near = self.found.pair_similarity > similarity_of(threshold)
        a, b = self.found.a[near], self.found.b[near]
        first = np.arange(len(self.found.nearest))
        np.minimum.at(first, b, a)
        first[self.repeats(threshold) == 0] = -1
        return first


def similarity_of(threshold: float) -> float:
    """The cosine similarity above which a squared distance is below the threshold: 1 - t / 2."""
    return 1 - threshold / 2


def find_neighbors(
    store: VectorStore,
    folder: Path,
    *,
    pairs_from: float = PAIRS_FROM,
    exact_up_to: int = EXACT_UP_TO,
    on: str = "local",
    workers: int | None = None,
) -> Neighbors:
    """Find each row's nearest neighbor and all pairs of at least a similarity.

    What is in ``folder`` from an earlier call with the same vectors and values is taken from there.

    Args:
        store: unit vectors.
        folder: where results are kept, in a subfolder of their own.
        pairs_from: least cosine similarity of the pairs that are kept, 0.5 to 1; a later threshold may be as loose as
            this without a new search.
        exact_up_to: rows up to which all pairs are compared.
        on: see :func:`agora.core.jobs.run_tasks`. A graph is built and asked on this machine.
        workers: see :func:`agora.core.jobs.run_tasks`.

    Raises:
        UsageError: ``pairs_from`` is out of range.
        MissingError: there are more rows, and faiss is not installed.
    """
    if not 0.5 <= pairs_from <= 1:
        raise UsageError(f"pairs are kept from a similarity of 0.5 to 1, got {pairs_from:g}")
    exact = store.rows <= exact_up_to
    key = stable_id(store.folder.name, pairs_from, "exact" if exact else "hnsw/1")
    own = Path(folder).absolute() / f"neighbors-{key}"
    own.mkdir(parents=True, exist_ok=True)
    if exact:
        found = exact_neighbors(store, own, pairs_from, on=on, workers=workers)
        return Neighbors(found, pairs_from, "exact", None, own)
    return _by_graph(store, own, pairs_from, workers)


def _by_graph(store: VectorStore, own: Path, pairs_from: float, workers: int | None) -> Neighbors:
    import numpy as np

    from agora.core.files import atomic_file
    from agora.curate.neighbors.approximate import approximate_neighbors

    stored, told = own / "found.npz", own / "recall.json"
    if stored.exists() and told.exists():
        with np.load(stored, allow_pickle=False) as arrays:
            found = Found(*(arrays[name] for name in Found._fields))
        return Neighbors(found, pairs_from, "hnsw", Recall(**read_json(told)), own)
    vectors = store.all()
    found = approximate_neighbors(vectors, pairs_from, threads=workers or os.cpu_count() or 1)
    recall = measure_recall(vectors, found, pairs_from)
    with atomic_file(stored) as out:
        np.savez(out, **found._asdict())
    write_json(told, recall._asdict())
    return Neighbors(found, pairs_from, "hnsw", recall, own)


def measure_recall(vectors: np.ndarray, found: Found, pairs_from: float) -> Recall:
    """Compare what was found with the truth, for 1 % of the rows (at least 100, at most 2,000) drawn by a fixed seed.

    A neighbor as similar as the nearest one (to 1e-6) counts as found.
    """
    import numpy as np

    rows = len(vectors)
    n = min(rows, max(100, min(_SAMPLE_ROWS, round(_SAMPLE_SHARE * rows))))
    drawn = np.sort(np.random.default_rng(0).choice(rows, n, replace=False))
    hits = true_pairs = found_pairs = 0
    known = np.sort(found.a.astype(np.int64) * rows + found.b)
    for start in range(0, n, 100):
        own = drawn[start : start + 100]
        product = vectors[own] @ vectors.T
        product[np.arange(len(own)), own] = -2
        hits += int((found.similarity[own] >= product.max(axis=1) - 1e-6).sum())
        row, other = np.nonzero(product >= pairs_from)
        keys = np.minimum(own[row], other) * rows + np.maximum(own[row], other)
        true_pairs += len(keys)
        found_pairs += int(np.isin(keys, known, assume_unique=False).sum())
    return Recall(n, hits / n, found_pairs / true_pairs if true_pairs else None)
