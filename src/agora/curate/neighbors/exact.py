"""All pairs of unit vectors by a blocked symmetric product: each pair of blocks once, upper triangle only.

Distances are squared: d^2 = 2 - 2 cos, as arXiv:2406.08464 has them from a faiss index of unit vectors. N rows of D
numbers cost N^2 D multiplications and additions; what is in memory is two blocks, a strip of their product, two numbers
a row and, where the product is of eight bits (:mod:`agora.curate.neighbors.screen`), all vectors at a byte a number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from agora.core.errors import DataError
from agora.core.files import atomic_file
from agora.core.jobs import run_tasks
from agora.curate.embeddings.store import VectorStore, read_vectors
from agora.curate.neighbors.screen import Block, Product, block_of, in_eight_bits, products, similarities

if TYPE_CHECKING:
    import numpy as np


class Found(NamedTuple):
    """The nearest row of each (-1 where there is none) with its similarity, and the similar pairs ``a < b``."""

    nearest: np.ndarray  # (N,) int32
    similarity: np.ndarray  # (N,) float32, cosine
    a: np.ndarray  # (P,) int32
    b: np.ndarray  # (P,) int32
    pair_similarity: np.ndarray  # (P,) float32


def exact_neighbors(
    store: VectorStore, folder: Path, pairs_from: float, *, on: str = "local", workers: int | None = None
) -> Found:
    """Every row's nearest neighbor, and all pairs of at least a similarity.

    Equal similarities go to the smaller row number. Parts that are in ``folder`` are not computed again.

    Args:
        store: unit vectors.
        folder: for the parts, one a task.
        pairs_from: least cosine similarity of the pairs.
        on: see :func:`agora.core.jobs.run_tasks`; each worker uses one thread.
        workers: see :func:`agora.core.jobs.run_tasks`.
    """
    blocks = len(store.files)
    # strip t meets blocks t..n-1: together with strip n-1-t every task has the same work
    strips = [tuple(sorted({t, blocks - 1 - t})) for t in range((blocks + 1) // 2)]
    tasks = [
        _Task(store.files, store.sizes, strip, pairs_from, folder / f"part-{number:05d}.npz")
        for number, strip in enumerate(strips)
    ]
    run_tasks(_search, [t for t in tasks if not t.out.exists()], on=on, workers=workers, label="neighbors")
    return _merged([task.out for task in tasks], store.rows)


@dataclass(frozen=True, slots=True)
class _Task:
    files: tuple[Path, ...]
    sizes: tuple[int, ...]
    strips: tuple[int, ...]
    pairs_from: float
    out: Path

    def __str__(self) -> str:
        return f"neighbors of blocks {', '.join(map(str, self.strips))}"


def _search(task: _Task) -> None:
    """Some strips of the upper triangle, into a file; runs in a worker process."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # as many threads as workers
        found = search_strips(lambda number: read_vectors(task.files[number]), task.sizes, task.strips, task.pairs_from)
    with atomic_file(task.out) as out:
        np.savez(out, **found._asdict())


def search_strips(
    block: Callable[[int], np.ndarray], sizes: Sequence[int], strips: Sequence[int], pairs_from: float
) -> Found:
    """What the given strips tell about all rows.

    Args:
        block: gives the vectors of a block.
        sizes: rows of each block.
        strips: numbers of blocks, ascending; block ``i`` meets the blocks from ``i`` on.
        pairs_from: least cosine similarity of the pairs.
    """
    import numpy as np

    starts = np.concatenate([[0], np.cumsum(sizes)])
    total = int(starts[-1])
    numbers: dict[int, Block] = {}

    def ready(number: int) -> Block:
        vectors = block(number)
        if number not in numbers:
            made = block_of(vectors, eight_bits=in_eight_bits(total, vectors.shape[1]))
            numbers[number] = made._replace(vectors=None)  # read again when they are needed
        return numbers[number]._replace(vectors=vectors)

    search = _Search(total, pairs_from)
    for i in strips:
        rows = ready(i)
        for j in range(i, len(sizes)):
            columns = rows if j == i else ready(j)
            a_start, b_start = int(starts[i]), int(starts[j])
            for product in products(rows, columns, symmetric=i == j):
                search.take(product, a_start, b_start)
            search.settle(partial(similarities, rows.vectors, columns.vectors, a_start, b_start))
    return search.found()


class _Search:
    """The most similar row of each so far, and the similar pairs.

    Pairs that a strip of a product does not rule out wait for the rest of the two blocks: by then most are ruled out by
    the similarity that a row is sure to have with another one.
    """

    def __init__(self, rows: int, pairs_from: float) -> None:
        import numpy as np

        self.best = _Best(rows)
        self._sure = np.full(rows, -2, dtype=np.float32)  # each row's highest similarity is at least this
        self._pairs_from = pairs_from
        self._pairs: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._waiting: list[_Waiting] = []

    def take(self, product: Product, a_start: int, b_start: int) -> None:
        """Learn from a strip of the product of two blocks, whose first rows have these numbers among all."""
        import numpy as np

        values = product.values
        a, b = a_start + product.row, b_start + product.column
        own, others = self._sure[a : a + values.shape[0]], self._sure[b : b + values.shape[1]]
        top, below = values.max(axis=1), values.max(axis=0)
        np.maximum(own, product.at_least(top, of_rows=True), out=own)
        np.maximum(others, product.at_least(below, of_rows=False), out=others)
        rows = product.values_of(np.minimum(own, self._pairs_from), of_rows=True)
        columns = product.values_of(others, of_rows=False)
        found = values >= rows[:, None] if (top >= rows).any() else None
        if (below >= columns).any():
            found = values >= columns if found is None else np.logical_or(found, values >= columns, out=found)
        if found is not None:
            row, column = np.divmod(np.flatnonzero(found), values.shape[1])
            self._waiting.append(_Waiting(row + a, column + b, product.at_most(row, column)))

    def settle(self, similarity_of: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
        """Compute the pairs that wait and are not ruled out, by a function of their numbers."""
        import numpy as np

        if not self._waiting:
            return
        pairs = self._open(_Waiting(*(np.concatenate(parts) for parts in zip(*self._waiting, strict=True))))
        self._waiting = []
        # the most promising pair of each row first: it rules out most of the others
        highest = np.full(len(self._sure), -np.inf)
        np.maximum.at(highest, pairs.a, pairs.at_most)
        np.maximum.at(highest, pairs.b, pairs.at_most)
        first = (pairs.at_most == highest[pairs.a]) | (pairs.at_most == highest[pairs.b])
        self._learn(pairs.only(first), similarity_of)
        self._learn(self._open(pairs.only(~first)), similarity_of)

    def _open(self, pairs: _Waiting) -> _Waiting:
        import numpy as np

        # a pair matters to either row, or for itself
        needed = np.minimum(np.minimum(self._sure[pairs.a], self._sure[pairs.b]), self._pairs_from)
        return pairs.only(pairs.at_most >= needed)

    def _learn(self, pairs: _Waiting, similarity_of: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> None:
        import numpy as np

        a, b = pairs.a, pairs.b
        similarity = similarity_of(a, b)
        self.best.offer(a, b, similarity)
        self.best.offer(b, a, similarity)
        np.maximum(self._sure, self.best.similarity, out=self._sure)
        similar = similarity >= self._pairs_from
        self._pairs.append((a[similar], b[similar], similarity[similar]))

    def found(self) -> Found:
        """All that was learned; pairs ascending."""
        import numpy as np

        a, b, similarity = (
            np.concatenate([part[n] for part in self._pairs] or [np.empty(0)]).astype(kind)
            for n, kind in enumerate((np.int32, np.int32, np.float32))
        )
        order = np.lexsort((b, a))
        return Found(self.best.nearest, self.best.similarity, a[order], b[order], similarity[order])


class _Waiting(NamedTuple):
    """Pairs of rows ``a < b`` and what their similarity is at most."""

    a: np.ndarray
    b: np.ndarray
    at_most: np.ndarray

    def only(self, some: np.ndarray) -> _Waiting:
        """Some of them."""
        return _Waiting(self.a[some], self.b[some], self.at_most[some])


class _Best:
    """The most similar row of each so far."""

    def __init__(self, rows: int) -> None:
        import numpy as np

        self.nearest = np.full(rows, -1, dtype=np.int32)
        self.similarity = np.full(rows, -2, dtype=np.float32)

    def offer(self, rows: np.ndarray, nearest: np.ndarray, similarity: np.ndarray) -> None:
        """Candidates for some rows, several for one too; equal similarities go to the smaller number."""
        import numpy as np

        held, held_by = self.similarity[rows], self.nearest[rows]
        better = np.flatnonzero((similarity > held) | ((similarity == held) & ((nearest < held_by) | (held_by < 0))))
        order = better[np.lexsort((nearest[better], -similarity[better], rows[better]))]
        first = np.ones(len(order), dtype=bool)
        first[1:] = rows[order[1:]] != rows[order[:-1]]
        order = order[first]
        self.similarity[rows[order]], self.nearest[rows[order]] = similarity[order], nearest[order]


def _merged(parts: Sequence[Path], rows: int) -> Found:
    import numpy as np

    best = _Best(rows)
    pairs: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for path in parts:
        try:
            with np.load(path, allow_pickle=False) as part:
                known = np.flatnonzero(part["nearest"] >= 0)
                best.offer(known, part["nearest"][known], part["similarity"][known])
                pairs.append((part["a"], part["b"], part["pair_similarity"]))
        except (ValueError, KeyError, OSError) as err:
            raise DataError(f"a damaged part ({err})", where=str(path), hint="delete it; it is made again") from None
    a, b, similarity = (np.concatenate([part[n] for part in pairs]) for n in range(3))
    order = np.lexsort((b, a))
    return Found(best.nearest, best.similarity, a[order], b[order], similarity[order])
