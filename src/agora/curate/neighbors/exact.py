"""All pairs of unit vectors by a blocked symmetric product: each pair of blocks once, upper triangle only.

Distances are squared: d^2 = 2 - 2 cos, as arXiv:2406.08464 has them from a faiss index of unit vectors. N rows of D
numbers cost N^2 D multiplications and additions; what is in memory is two blocks, a strip of their product, and two
numbers a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from agora.core.errors import DataError
from agora.core.files import atomic_file
from agora.core.jobs import run_tasks
from agora.curate.embeddings.store import VectorStore, read_vectors

if TYPE_CHECKING:
    import numpy as np

_STRIP_ROWS = 512  # times a block's 4,096 columns: 8 MB of product at a time


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

    with threadpool_limits(1):  # sums in the same order everywhere
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
    best = _Best(int(starts[-1]))
    pairs: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for i in strips:
        rows = block(i)
        for j in range(i, len(sizes)):
            columns = rows if j == i else block(j)
            for row, column, product in _products(rows, columns, symmetric=i == j):
                row_start, column_start = int(starts[i]) + row, int(starts[j]) + column
                top = best.take(product, row_start, column_start)
                similar = np.flatnonzero(top >= pairs_from)
                if len(similar):
                    where, others = np.nonzero(product[similar] >= pairs_from)
                    own = similar[where]
                    pairs.append((own + row_start, others + column_start, product[own, others]))
    a, b, similarity = (
        np.concatenate([part[n] for part in pairs] or [np.empty(0)]).astype(kind)
        for n, kind in enumerate((np.int32, np.int32, np.float32))
    )
    return Found(best.nearest, best.similarity, a, b, similarity)


def _products(rows: np.ndarray, columns: np.ndarray, *, symmetric: bool) -> Iterator[tuple[int, int, np.ndarray]]:
    """Strips of the product with their first row and column; of a block with itself the part above the diagonal."""
    import numpy as np

    room = np.empty(_STRIP_ROWS * len(columns), dtype=np.float32)
    for first in range(0, len(rows), _STRIP_ROWS):
        some, others = rows[first : first + _STRIP_ROWS], columns[first:] if symmetric else columns
        product = np.matmul(some, others.T, out=room[: len(some) * len(others)].reshape(len(some), len(others)))
        if symmetric:
            product[:, : len(some)][np.tril_indices(len(some))] = -2
        yield first, first if symmetric else 0, product


class _Best:
    """The most similar row of each so far."""

    def __init__(self, rows: int) -> None:
        import numpy as np

        self.nearest = np.full(rows, -1, dtype=np.int32)
        self.similarity = np.full(rows, -2, dtype=np.float32)

    def take(self, product: np.ndarray, row_start: int, column_start: int) -> np.ndarray:
        """Learn from a product, for its rows and for its columns; returns each row's highest similarity in it."""
        import numpy as np

        top = product.max(axis=1)
        rows = np.flatnonzero((top >= self._at(row_start, len(top))) & (top > -2))
        if len(rows):
            self.offer(rows + row_start, product[rows].argmax(axis=1) + column_start, top[rows])
        below = product.max(axis=0)
        columns = np.flatnonzero((below >= self._at(column_start, len(below))) & (below > -2))
        if len(columns):
            self.offer(columns + column_start, product[:, columns].argmax(axis=0) + row_start, below[columns])
        highest: np.ndarray = top
        return highest

    def _at(self, start: int, n: int) -> np.ndarray:
        return self.similarity[start : start + n]

    def offer(self, rows: np.ndarray, nearest: np.ndarray, similarity: np.ndarray) -> None:
        """Candidates for some rows; equal similarities go to the smaller number."""
        held, held_by = self.similarity[rows], self.nearest[rows]
        better = (similarity > held) | ((similarity == held) & ((nearest < held_by) | (held_by < 0)))
        self.similarity[rows[better]], self.nearest[rows[better]] = similarity[better], nearest[better]


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
