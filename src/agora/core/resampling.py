"""Bootstrap resamples: which rows are drawn how often, the same for everything that is resampled together.

Shape legend: B resamples, n rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from agora.core.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray: TypeAlias = NDArray[np.float64]
    IntArray: TypeAlias = NDArray[np.int64]

# 2 M indices (16 MB) at a time: the memory of a bootstrap does not grow with the number of resamples.
_BLOCK_CELLS = 1 << 21


class Resampling(NamedTuple):
    """How a bootstrap resamples."""

    seed: int
    n_boot: int
    level: float

    def name(self, kind: str) -> str:
        """The method in words; refuses a plan that cannot work."""
        check_level(self.level)
        if self.n_boot < 100:
            raise DataError(f"n_boot must be at least 100, got {self.n_boot}")
        return f"{kind} {percent(self.level)}, {self.n_boot:,} resamples"


def count_blocks(n: int, plan: Resampling, *, width: int = 1) -> Iterator[FloatArray]:
    """How often each of `n` rows is in each resample, in blocks sized for a result of `width` cells a resample.

    Resamples of one seed are the same for every caller with `n` rows, and are kept where they are small (read-only).
    """
    import numpy as np

    if shared(n, plan):
        counts_BN = _kept_counts(n, plan.seed, plan.n_boot)
        rows_per_block = max(1, _BLOCK_CELLS // max(n, width))
        for start in range(0, plan.n_boot, rows_per_block):
            yield counts_BN[start : start + rows_per_block]
        return
    for rows in index_blocks(n, plan, width):
        flat = rows + n * np.arange(len(rows))[:, None]
        yield np.bincount(flat.ravel(), minlength=n * len(rows)).reshape(len(rows), n).astype(float)


def shared(n: int, plan: Resampling) -> bool:
    """Whether the resamples of `n` rows are small enough to be kept for the next caller."""
    return 0 < n * plan.n_boot <= _BLOCK_CELLS


@lru_cache(maxsize=4)
def _kept_counts(n: int, seed: int, n_boot: int) -> FloatArray:
    import numpy as np

    (rows,) = index_blocks(n, Resampling(seed, n_boot, 0.95))
    rows += n * np.arange(n_boot)[:, None]
    counts_BN = np.bincount(rows.ravel(), minlength=n * n_boot).reshape(n_boot, n).astype(float)
    counts_BN.flags.writeable = False
    return counts_BN


def index_blocks(n: int, plan: Resampling, width: int = 1) -> Iterator[IntArray]:
    """Rows of resampled indices, as many at a time as fit the block; the stream is the same whatever the block."""
    import numpy as np

    rng = np.random.default_rng(plan.seed)
    rows_per_block = max(1, _BLOCK_CELLS // max(n, width))
    for start in range(0, plan.n_boot, rows_per_block):
        yield rng.integers(0, n, size=(min(rows_per_block, plan.n_boot - start), n))


def percentiles(draws: FloatArray, level: float) -> tuple[float, float]:
    """The bounds that leave ``(1 - level) / 2`` of the draws on either side; NaN draws are not counted."""
    import numpy as np

    known = draws[~np.isnan(draws)]
    if not len(known):
        return math.nan, math.nan
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def column_percentiles(draws_BM: FloatArray, level: float) -> list[tuple[float, float]]:
    """:func:`percentiles` of every column."""
    import numpy as np

    if not len(draws_BM) or np.isnan(draws_BM).any():
        return [percentiles(draws_BM[:, m], level) for m in range(draws_BM.shape[1])]
    low_M, high_M = np.quantile(draws_BM, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return list(zip(map(float, low_M), map(float, high_M), strict=True))


def percent(level: float) -> str:
    """A level in words for a reader."""
    return f"{100 * level:g} %"


def check_level(level: float) -> None:
    """Refuse a level that is no coverage."""
    if not 0 < level < 1:
        raise DataError(f"level must be between 0 and 1, got {level}")
