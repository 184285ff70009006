"""One keeper for each group of similar rows: greedy, in a fixed order, without loss along chains."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np


class Keepers(NamedTuple):
    """For each row its keeper (itself when it stays), how similar it is to it, and the first row of its component."""

    keeper: np.ndarray  # (N,) int64
    similarity: np.ndarray  # (N,) float32; 1 for a row that stays
    cluster: np.ndarray  # (N,) int64


def keep_leaders(
    rows: int, order: np.ndarray, a: np.ndarray, b: np.ndarray, similarity: np.ndarray, above: float
) -> Keepers:
    """Keep a row unless a row that stays is similar; such a row is kept by the most similar of them.

    In a chain A~B~C where A and C are not similar, A and C stay. The outcome depends on the order and the pairs alone.

    Args:
        rows: how many there are.
        order: row numbers, those to be preferred first.
        a: one side of the pairs.
        b: the other side.
        similarity: of the pairs.
        above: pairs of a greater similarity count.
    """
    import numpy as np
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    rank = np.empty(rows, dtype=np.int64)
    rank[order] = np.arange(rows)
    near = similarity > above
    a, b, similarity = a[near], b[near], similarity[near]
    ones = np.ones(len(a), dtype=np.int8)
    count, component = connected_components(csr_matrix((ones, (a, b)), shape=(rows, rows)), directed=False)
    first = np.full(count, rows)
    np.minimum.at(first, component, rank)
    # neighbors of each row in the order of preference
    left, right = np.concatenate([a, b]), np.concatenate([b, a])
    both = np.concatenate([similarity, similarity])
    by_row = np.lexsort((rank[right], left))
    left, right, both = left[by_row], right[by_row], both[by_row]
    starts = np.searchsorted(left, np.arange(rows + 1))
    keeper, kept_by = np.arange(rows), np.ones(rows, dtype=np.float32)
    kept = np.ones(rows, dtype=bool)
    touched = np.zeros(rows, dtype=bool)
    touched[left] = True
    for row in order[touched[order]]:
        span = slice(starts[row], starts[row + 1])
        others = right[span]
        before = kept[others] & (rank[others] < rank[row])
        if before.any():
            closest = np.where(before, both[span], -2).argmax()
            keeper[row], kept_by[row], kept[row] = others[closest], both[span][closest], False
    return Keepers(keeper, kept_by, np.asarray(order)[first[component]])
