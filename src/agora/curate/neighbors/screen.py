"""Products of vectors that rule pairs out: in eight bits where the processor multiplies those faster, else in float32.

Each product comes with a bound on its error, so that a pair below a threshold by more than that need not be looked at.
What is left is computed from the vectors themselves, pair by pair, in one order of summation. So the similarities have
the same bits whichever product ruled the others out, on any number of threads and under any linear algebra library.

A vector x is near s q for whole numbers q of eight bits, and e = x - s q is known. For unit vectors x and y the product
of the whole numbers differs from x y by at most |e_x| + |e_y| + |e_x| |e_y|: about 0.02 for 768 normal numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

STRIP_ROWS = 512  # times a block's 4,096 columns: 8 MB of product at a time
_FROM_OPERATIONS = 1 << 40  # importing torch takes a second; that many float32 multiplications take seven
_LOOSEST = 0.05  # errors above this would rule out too little (vectors with few large numbers)
_ROUNDING = 1e-5  # of a float32 product of unit vectors, with room
_PAIRS_AT_ONCE = 2048


class Block(NamedTuple):
    """Vectors ``(rows, dim)``, and their whole numbers (an int8 tensor) with the scale and each row's error."""

    vectors: Any
    numbers: Any = None
    scale: float = 1.0
    errors: Any = None


class Product(NamedTuple):
    """A strip of a product: ``values * unit`` is the similarity of a pair, give or take both its errors."""

    row: int  # of the first row in its block
    column: int
    values: np.ndarray  # (rows, columns) int32 or float32; the lowest number where the pair is not asked for
    unit: float
    row_errors: np.ndarray  # (rows,) of each row's whole numbers
    column_errors: np.ndarray

    def at_least(self, values: np.ndarray, *, of_rows: bool) -> np.ndarray:
        """The least similarity that a value in each row (or column) can stand for."""
        least: np.ndarray = values * self.unit - self._errors(of_rows)
        return least

    def values_of(self, similarity: np.ndarray, *, of_rows: bool) -> np.ndarray:
        """The least value in each row (or column) that can stand for a similarity."""
        import numpy as np

        least = (similarity - self._errors(of_rows)) / self.unit
        if self.values.dtype == np.int32:
            return np.asarray(np.floor(least).astype(np.int32))
        return np.asarray(np.nextafter(least.astype(np.float32), np.float32(-np.inf)))

    def at_most(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """The highest similarity that each of some pairs can have."""
        import numpy as np

        mine, theirs = self.row_errors[rows], self.column_errors[columns]
        return np.asarray(self.values[rows, columns] * self.unit + mine + theirs + mine * theirs + _ROUNDING)

    def _errors(self, of_rows: bool) -> np.ndarray:
        """How far a value in each row (or column) can be from the similarity."""
        mine, others = self.row_errors, self.column_errors
        if not of_rows:
            mine, others = others, mine
        most = others.max(initial=0.0)
        errors: np.ndarray = mine + most + mine * most + _ROUNDING
        return errors


def in_eight_bits(rows: int, dim: int) -> bool:
    """Whether eight bits pay for so many vectors here: the processor has VNNI, and torch is loaded or worth loading."""
    if "torch" not in sys.modules and rows * rows * dim < _FROM_OPERATIONS:
        return False
    import torch

    supported = getattr(torch.cpu, "_is_vnni_supported", lambda: False)
    return bool(hasattr(torch, "_int_mm") and torch.backends.mkldnn.is_available() and supported())  # type: ignore[no-untyped-call]


def block_of(vectors: np.ndarray, *, eight_bits: bool) -> Block:
    """A block ready for :func:`products`."""
    import numpy as np

    largest = float(np.abs(vectors).max(initial=0.0))
    if not eight_bits or not largest:
        return Block(vectors)
    import torch

    scale = largest / 127
    rounded = np.rint(vectors / np.float32(scale))
    errors = np.linalg.norm(vectors - rounded * np.float32(scale), axis=1).astype(float)
    if float(errors.max()) > _LOOSEST:
        return Block(vectors)
    return Block(vectors, torch.from_numpy(rounded.astype(np.int8)), scale, errors)


def products(rows: Block, columns: Block, *, symmetric: bool) -> Iterator[Product]:
    """Strips of the product of two blocks; of a block with itself the part above the diagonal.

    The values lie in one room that the next strip takes.
    """
    import numpy as np

    whole = rows.errors is not None and columns.errors is not None
    kind = np.int32 if whole else np.float32
    lowest = np.iinfo(np.int32).min if whole else -np.inf
    room = np.empty(STRIP_ROWS * len(columns.vectors), dtype=kind)
    below = np.tril_indices(min(STRIP_ROWS, len(rows.vectors))) if symmetric else None
    for first in range(0, len(rows.vectors), STRIP_ROWS):
        own, others = slice(first, first + STRIP_ROWS), slice(first if symmetric else 0, None)
        shape = len(rows.vectors[own]), len(columns.vectors[others])
        values = room[: shape[0] * shape[1]].reshape(shape)
        if whole:
            _multiply(rows.numbers[own], columns.numbers[others], values)
        else:
            np.matmul(rows.vectors[own], columns.vectors[others].T, out=values)
        if below is not None:
            same = below if shape[0] == STRIP_ROWS else np.tril_indices(shape[0])
            values[:, : shape[0]][same] = lowest
        unit = rows.scale * columns.scale if whole else 1.0
        errors = (
            (rows.errors, columns.errors) if whole else (np.zeros(len(rows.vectors)), np.zeros(len(columns.vectors)))
        )
        yield Product(first, others.start, values, unit, errors[0][own], errors[1][others])


def _multiply(a: Any, b: Any, out: np.ndarray) -> None:
    import torch

    torch._int_mm(a, b.T, out=torch.from_numpy(out))


def similarities(
    a: np.ndarray, b: np.ndarray, a_start: int, b_start: int, rows: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """The similarity of each pair of a row of ``a`` and one of ``b``, the same bits however many there are.

    Args:
        a: vectors of the rows from ``a_start`` on.
        b: vectors of the rows from ``b_start`` on.
        a_start: a number among all rows.
        b_start: a number among all rows.
        rows: numbers among all rows, of the first of each pair.
        others: of the second of each pair.
    """
    import numpy as np

    found = np.empty(len(rows), dtype=np.float32)
    for start in range(0, len(rows), _PAIRS_AT_ONCE):
        some = slice(start, start + _PAIRS_AT_ONCE)
        np.einsum("ij,ij->i", a[rows[some] - a_start], b[others[some] - b_start], out=found[some])
    return found
