"""Estimates with intervals: means, paired differences, shares, correlations.

Missing values (``None`` or NaN) are dropped and counted, never read as numbers. What cannot be known (no data, one
value, no variation) is NaN, so that one empty group does not stop a report. The same seed gives the same interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from agora.core.errors import DataError
from agora.core.resampling import Resampling, check_level, count_blocks, index_blocks, percent, percentiles, shared

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray: TypeAlias = NDArray[np.float64]
    IntArray: TypeAlias = NDArray[np.int64]

Values: TypeAlias = "Iterable[float | None] | FloatArray"

# Above this many pairs the n x n sign matrices of Kendall's tau cost more than they tell.
_KENDALL_MATRIX_LIMIT = 2_000


class Interval(NamedTuple):
    """An estimate and what is known about its error.

    Attributes:
        estimate: the value measured; NaN where it is unknown.
        low, high: bounds that cover the true value with probability `level`; NaN where unknown.
        n: number of values, pairs or trials used.
        method: how the bounds were found, in words for a reader.
        dropped: number of values or pairs left out because they were missing.
        level: coverage in 0..1.
    """

    estimate: float
    low: float
    high: float
    n: int
    method: str
    dropped: int = 0
    level: float = 0.95

    def excludes(self, value: float = 0.0) -> bool:
        """Whether `value` lies outside the bounds (False where the bounds are unknown)."""
        return value < self.low or value > self.high

    def rescaled(self, scale: float, shift: float = 0.0) -> Interval:
        """The interval of ``scale * x + shift``."""
        low, high = sorted((self.low * scale + shift, self.high * scale + shift))
        return self._replace(estimate=self.estimate * scale + shift, low=low, high=high)


def bootstrap_mean(
    x: Values,
    *,
    seed: int = 0,
    n_boot: int = 2000,
    level: float = 0.95,
    clusters: Sequence[Hashable] | None = None,
) -> Interval:
    """The mean of `x` with a percentile bootstrap interval.

    Args:
        x: values; None and NaN are dropped and counted.
        seed: of the resampling.
        n_boot: number of resamples, at least 100.
        level: coverage in (0, 1).
        clusters: one label a value; whole clusters are resampled (several answers to one task are not independent).

    Raises:
        DataError: an infinite value, or `clusters` of another length.
    """
    values = _floats(x, "x")
    keep = _present(values)
    return _mean_interval(values, keep, clusters, Resampling(seed, n_boot, level), "bootstrap")


def paired_bootstrap(
    a: Values,
    b: Values,
    *,
    seed: int = 0,
    n_boot: int = 2000,
    level: float = 0.95,
    clusters: Sequence[Hashable] | None = None,
) -> Interval:
    """The mean of ``a[i] - b[i]`` with a percentile bootstrap interval over the pairs.

    Pairs in which either value is missing are dropped and counted. Arguments as in :func:`bootstrap_mean`.

    Raises:
        DataError: `a` and `b` differ in length.
    """
    left, right = _pair(a, b)
    with_gaps = left - right
    return _mean_interval(with_gaps, _present(with_gaps), clusters, Resampling(seed, n_boot, level), "paired bootstrap")


def bootstrap(
    statistic: Callable[..., float],
    *columns: Sequence[Any] | NDArray[Any],
    seed: int = 0,
    n_boot: int = 2000,
    level: float = 0.95,
) -> Interval:
    """Any statistic of parallel columns with a percentile bootstrap interval over their rows.

    Resamples in which the statistic is NaN (no variation left) are not counted in the bounds.

    Example:
        ``bootstrap(cohen_kappa, first_judge, second_judge)``
    """
    import numpy as np

    plan = Resampling(seed, n_boot, level)
    arrays = [np.asarray(column) for column in columns]
    n = len(arrays[0]) if arrays else 0
    if not arrays or any(len(array) != n for array in arrays):
        raise DataError(f"columns must be given and equally long, got lengths {[len(a) for a in arrays]}")
    if n < 2:
        return Interval(float(statistic(*arrays)) if n else math.nan, math.nan, math.nan, n, plan.name("bootstrap"))
    draws = [statistic(*(array[rows] for array in arrays)) for block in index_blocks(n, plan) for rows in block]
    low, high = percentiles(np.asarray(draws, dtype=float), level)
    return Interval(float(statistic(*arrays)), low, high, n, plan.name("bootstrap"), 0, level)


def standard_error(x: Values, *, clusters: Sequence[Hashable] | None = None) -> float:
    """The standard error of the mean (n - 1 in the variance); with `clusters`, the cluster-robust one.

    NaN for fewer than two values or clusters. Source for clusters: Miller 2024, "Adding Error Bars to Evals", eq. 4,
    with the factor G / (G - 1) for a small number G of clusters.
    """
    import numpy as np

    values = _floats(x, "x")
    keep = _present(values)
    present = values[keep]
    if clusters is None:
        return float(np.std(present, ddof=1) / math.sqrt(len(present))) if len(present) > 1 else math.nan
    sums, _ = _cluster_sums(present - present.mean() if len(present) else present, _labels(clusters, keep))
    groups = len(sums)
    if groups < 2:
        return math.nan
    return float(math.sqrt(groups / (groups - 1) * float(sums @ sums)) / len(present))


def wilson(k: int, n: int, level: float = 0.95) -> Interval:
    """The share ``k / n`` with Wilson's score interval; with ``n = 0`` the estimate is NaN and the bounds 0 and 1."""
    check_level(level)
    if not 0 <= k <= n:
        raise DataError(f"k must be between 0 and n, got k={k}, n={n}")
    method = f"Wilson {percent(level)}"
    if n == 0:
        return Interval(math.nan, 0.0, 1.0, 0, method, 0, level)
    z = _normal_quantile(level)
    share = k / n
    center = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if k == 0 else center - half  # exact at the ends, where rounding would leave 1e-17
    high = 1.0 if k == n else center + half
    return Interval(share, low, high, n, method, 0, level)


def pearson(x: Values, y: Values, level: float = 0.95) -> Interval:
    """Pearson's r with Fisher's z interval (standard error ``1 / sqrt(n - 3)``); bounds NaN below 4 pairs."""
    left, right, dropped = _complete_pairs(x, y)
    return _fisher(_correlation(left, right), len(left), dropped, level, lambda r, n: 1 / (n - 3))


def spearman(x: Values, y: Values, level: float = 0.95) -> Interval:
    """Spearman's rho (ties get mean ranks) with a Fisher z interval; bounds NaN below 4 pairs.

    The variance of z is ``(1 + rho^2 / 2) / (n - 3)``: Bonett and Wright 2000, Psychometrika 65. Two equal orders say
    little where n is small, so their bounds are those of half a step less than 1 (a step: two neighbors swapped).
    """
    left, right, dropped = _complete_pairs(x, y)
    n = len(left)
    rho = _correlation(_mean_ranks(left), _mean_ranks(right))
    found = _fisher(_below_one(rho, 6 / (n * (n * n - 1)) if n > 1 else 0), n, dropped, level, _spearman_variance)
    return _at_one(found, rho)


def _mean_ranks(values: FloatArray) -> FloatArray:
    """Ranks from 1, equal values share the mean of theirs; `scipy.stats`, which has it, takes a second to import."""
    import numpy as np

    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: FloatArray = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks


def kendall(x: Values, y: Values, level: float = 0.95, *, seed: int = 0, n_boot: int = 2000) -> Interval:
    """Kendall's tau-b with a percentile bootstrap interval over the pairs.

    Above 2,000 pairs the interval is Fisher's z with variance ``0.437 / (n - 4)`` (Fieller et al. 1957): the bootstrap
    would cost ``n_boot * n^2`` and agree to the third digit. So are the bounds of two equal orders (half a step below
    1, see :func:`spearman`), of which every resample is equal too.
    """
    import numpy as np
    from scipy.stats import kendalltau

    left, right, dropped = _complete_pairs(x, y)
    n = len(left)
    varied = n > 1 and np.ptp(left) > 0 and np.ptp(right) > 0
    tau = float(kendalltau(left, right).statistic) if varied else math.nan
    if n > _KENDALL_MATRIX_LIMIT or (abs(tau) > 1 - 1e-12 and n > 4):
        found = _fisher(_below_one(tau, 2 / (n * (n - 1))), n, dropped, level, lambda r, n: 0.437 / (n - 4))
        return _at_one(found, tau)
    plan = Resampling(seed, n_boot, level)
    low, high = (math.nan, math.nan)
    if varied and n > 3:
        low, high = percentiles(_kendall_draws(left, right, plan), level)
    return Interval(tau, low, high, n, plan.name("bootstrap"), dropped, level)


def holm(pvalues: Iterable[float]) -> list[float]:
    """Holm's step-down adjustment of p-values, in the order given; NaN stays NaN and does not count as a test."""
    given = [float(p) for p in pvalues]
    for p in given:
        if p < 0 or p > 1:
            raise DataError(f"p-values must be in 0..1, got {p}")
    order = sorted((i for i, p in enumerate(given) if not math.isnan(p)), key=lambda i: given[i])
    adjusted, running = [math.nan] * len(given), 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(order) - rank) * given[i]))
        adjusted[i] = running
    return adjusted


def _mean_interval(
    values: FloatArray,
    keep: NDArray[np.bool_],
    clusters: Sequence[Hashable] | None,
    plan: Resampling,
    kind: str,
) -> Interval:
    import numpy as np

    present = values[keep]
    n, dropped = len(present), int(len(values) - keep.sum())
    sums, counts = (present, None) if clusters is None else _cluster_sums(present, _labels(clusters, keep))
    method = plan.name(kind if clusters is None else f"{kind} over {len(sums):,} clusters")
    estimate = float(present.mean()) if n else math.nan
    if len(sums) < 2:  # one value says nothing of its own error
        return Interval(estimate, math.nan, math.nan, n, method, dropped, plan.level)
    draws = []
    if shared(len(sums), plan):
        for drawn_BN in count_blocks(len(sums), plan):
            draws.append(drawn_BN @ sums / (len(sums) if counts is None else drawn_BN @ counts))
    else:  # so many rows that picking them is faster than counting them
        for rows in index_blocks(len(sums), plan):
            total = sums[rows].sum(axis=1)
            draws.append(total / (len(sums) if counts is None else counts[rows].sum(axis=1)))
    low, high = percentiles(np.concatenate(draws), plan.level)
    return Interval(estimate, low, high, n, method, dropped, plan.level)


def _kendall_draws(x: FloatArray, y: FloatArray, plan: Resampling) -> FloatArray:
    """Tau-b of every resample: a resample is a vector w of counts, and concordance is the quadratic form w'Sw."""
    import numpy as np

    n = len(x)
    sign_x, sign_y = np.sign(x[:, None] - x), np.sign(y[:, None] - y)
    forms = (sign_x * sign_y, np.abs(sign_x), np.abs(sign_y))
    draws = []
    for counts in count_blocks(n, plan):
        agree, untied_x, untied_y = (((counts @ form) * counts).sum(axis=1) for form in forms)
        spread = np.sqrt(untied_x * untied_y)
        draws.append(np.where(spread > 0, agree / np.where(spread > 0, spread, 1.0), np.nan))
    return np.concatenate(draws)


def _fisher(r: float, n: int, dropped: int, level: float, variance: Callable[[float, int], float]) -> Interval:
    check_level(level)
    method = f"Fisher z {percent(level)}"
    if math.isnan(r) or n < 4:
        return Interval(r, math.nan, math.nan, n, method, dropped, level)
    if abs(r) >= 1:
        return Interval(r, r, r, n, method, dropped, level)
    half = _normal_quantile(level) * math.sqrt(variance(r, n))
    z = math.atanh(r)
    return Interval(r, math.tanh(z - half), math.tanh(z + half), n, method, dropped, level)


def _spearman_variance(r: float, n: int) -> float:
    return (1 + r * r / 2) / (n - 3)


def _below_one(r: float, half_step: float) -> float:
    return math.copysign(1 - half_step, r) if abs(r) >= 1 - 1e-12 else r


def _at_one(found: Interval, r: float) -> Interval:
    """The interval of an order that is the same, or the reverse: it ends at the estimate."""
    if not abs(r) >= 1 - 1e-12:
        return found
    return found._replace(estimate=r, high=r) if r > 0 else found._replace(estimate=r, low=r)


def _correlation(x: FloatArray, y: FloatArray) -> float:
    import numpy as np

    if len(x) < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return math.nan
    # scaled first, so that squares of tiny or huge values neither vanish nor overflow
    dx, dy = (d / np.abs(d).max() for d in (x - x.mean(), y - y.mean()))
    r = float(dx @ dy / math.sqrt(float(dx @ dx) * float(dy @ dy)))
    return 1.0 if r > 1 - 1e-15 else -1.0 if r < -1 + 1e-15 else r


def _floats(values: Values, name: str) -> FloatArray:
    import numpy as np

    if isinstance(values, np.ndarray):
        array = values.astype(float)
    else:
        array = np.array([math.nan if v is None else v for v in values], dtype=float)
    if array.ndim != 1:
        raise DataError(f"{name} must be one-dimensional, got shape {array.shape}")
    if np.isinf(array).any():
        raise DataError(f"{name} holds an infinite value at index {int(np.isinf(array).argmax())}")
    return array


def _present(values: FloatArray) -> NDArray[np.bool_]:
    import numpy as np

    return ~np.isnan(values)


def _pair(x: Values, y: Values) -> tuple[FloatArray, FloatArray]:
    left, right = _floats(x, "the first column"), _floats(y, "the second column")
    if len(left) != len(right):
        raise DataError(f"paired columns must be equally long, got {len(left)} and {len(right)}")
    return left, right


def _complete_pairs(x: Values, y: Values) -> tuple[FloatArray, FloatArray, int]:
    left, right = _pair(x, y)
    keep = _present(left + right)
    return left[keep], right[keep], int(len(keep) - keep.sum())


def _labels(clusters: Sequence[Hashable], keep: NDArray[np.bool_]) -> list[Hashable]:
    if len(clusters) != len(keep):
        raise DataError(f"clusters must have one label a value, got {len(clusters)} for {len(keep)} values")
    return [label for label, kept in zip(clusters, keep, strict=True) if kept]


def _cluster_sums(values: FloatArray, labels: Sequence[Hashable]) -> tuple[FloatArray, FloatArray]:
    """Sum and number of values a cluster, clusters in the order they first appear."""
    import numpy as np

    position: dict[Hashable, int] = {}
    index = np.array([position.setdefault(label, len(position)) for label in labels], dtype=int)
    size = len(position)
    return np.bincount(index, values, size).astype(float), np.bincount(index, minlength=size).astype(float)


def _normal_quantile(level: float) -> float:
    """How many standard deviations on either side of the mean hold the share `level` of a normal distribution."""
    from statistics import NormalDist

    return NormalDist().inv_cdf((1 + level) / 2)
