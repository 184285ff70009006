"""Two measures correlated with one target over the same rows: do they differ by more than chance?"""

from __future__ import annotations

import math

from agora.core.errors import DataError
from agora.core.stats import Interval, Values, pearson


def correlation_difference(first: Values, second: Values, target: Values, level: float = 0.95) -> Interval:
    """Pearson's r of `first` with `target` minus that of `second`, with an interval that respects n.

    The two correlations share their rows and their target, so their errors go together; the interval takes that from
    the correlation of `first` with `second`. Rows with a missing value are dropped. Bounds are NaN below 4 rows.

    Source: Zou 2007, Psychological Methods 12, equations 14 and 15.

    Raises:
        DataError: columns of different lengths.
    """
    columns = [list(column) for column in (first, second, target)]
    if len({len(column) for column in columns}) != 1:
        raise DataError(f"columns of different lengths: {[len(column) for column in columns]}")
    rows = [row for row in zip(*columns, strict=True) if all(v is not None and v == v for v in row)]
    dropped = len(columns[0]) - len(rows)
    a, b, y = ([float(row[i] or 0.0) for row in rows] for i in range(3))
    one, other, between = pearson(a, y, level), pearson(b, y, level), pearson(a, b, level).estimate
    method = f"Zou {100 * level:g} %"
    gap = one.estimate - other.estimate
    if math.isnan(one.low) or math.isnan(other.low) or math.isnan(between):
        return Interval(gap, math.nan, math.nan, len(rows), method, dropped, level)
    shared = _shared(one.estimate, other.estimate, between)
    low = _half(one.estimate - one.low, other.high - other.estimate, shared)
    high = _half(one.high - one.estimate, other.estimate - other.low, shared)
    return Interval(gap, gap - low, gap + high, len(rows), method, dropped, level)


def _half(one: float, other: float, shared: float) -> float:
    return math.sqrt(max(0.0, one * one + other * other - 2 * shared * one * other))


def _shared(r1: float, r2: float, between: float) -> float:
    """The correlation of two correlations with one target."""
    spread = (1 - r1 * r1) * (1 - r2 * r2)
    if spread <= 0:
        return 0.0
    c = ((between - r1 * r2 / 2) * (1 - r1 * r1 - r2 * r2 - between * between) + between**3) / spread
    return min(1.0, max(-1.0, c))
