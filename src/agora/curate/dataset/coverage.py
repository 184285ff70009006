"""How much of one data set another one covers: the share of its instructions that have a near one there.

A number that the paper's map (arXiv:2406.08464, figure 2) only shows. Distances are its own: squared, of unit vectors,
2 - 2 cos.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

DISTANCES = (0.4, 0.8, 1.2)
_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Coverage:
    """Shares of the first set's rows with a row of the second within each distance, and the other way round."""

    n_first: int
    n_second: int
    distances: tuple[float, ...]
    of_first: tuple[float, ...]
    of_second: tuple[float, ...]


def coverage(first: np.ndarray, second: np.ndarray, distances: Sequence[float] = DISTANCES) -> Coverage:
    """Compare two sets of unit vectors.

    Args:
        first, second: ``(n, dim)``, rows of length 1.
        distances: squared distances within which a row counts as covered.
    """
    near_first, near_second = _nearest(first, second), _nearest(second, first)

    def shares(nearest: np.ndarray) -> tuple[float, ...]:
        return tuple(float((nearest <= d).mean()) if len(nearest) else 0.0 for d in distances)

    return Coverage(len(first), len(second), tuple(distances), shares(near_first), shares(near_second))


def _nearest(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Each row's squared distance to the nearest of the others, block by block."""
    import numpy as np

    found = np.full(len(rows), np.inf)
    if not len(others):
        return found
    for start in range(0, len(rows), _BLOCK):
        best = (rows[start : start + _BLOCK] @ others.T).max(axis=1)
        found[start : start + _BLOCK] = np.maximum(0.0, 2.0 - 2.0 * best)
    return found
