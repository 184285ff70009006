"""Which models of a table can be told apart, and between which ranks each may lie.

Two models were judged on the same tasks, so their difference is taken task by task (paired): what makes a task hard
for both cancels out. The unpaired comparison, whether two intervals overlap, stands beside it: leaderboards use it.

Shape legend: T tasks, M models, B resamples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from agora.core.errors import DataError
from agora.core.resampling import Resampling, column_percentiles, count_blocks
from agora.core.stats import Interval
from agora.rooms.judge.scoring.metrics import Difference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray: TypeAlias = NDArray[np.float64]

_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models: their difference on common tasks, and whether it is more than noise.

    Args:
        difference: first minus second, on the tasks that both have a value for.
        unpaired: their separate intervals do not overlap.
    """

    difference: Difference
    unpaired: bool

    @property
    def paired(self) -> bool:
        """|z| of the paired difference is over 1.96."""
        return self.difference.separable


@dataclass(frozen=True, slots=True)
class Separability:
    """All pairs of a table.

    Args:
        pairs: in the order of the names.
        ranks: 95 % bounds of each model's rank (1 is best) over the resamples of tasks.
        num_common: tasks that every model has a value for.
        common: each model's mean on those tasks; empty without any.
    """

    names: tuple[str, ...]
    pairs: tuple[Pair, ...]
    ranks: dict[str, tuple[int, int]]
    num_common: int
    common: dict[str, float]
    n_boot: int

    @property
    def num_paired(self) -> int:
        """Pairs that are separable task by task."""
        return sum(pair.paired for pair in self.pairs)

    @property
    def num_unpaired(self) -> int:
        """Pairs whose intervals do not overlap."""
        return sum(pair.unpaired for pair in self.pairs)

    def between(self, a: str, b: str) -> Pair | None:
        """The pair in either order."""
        for pair in self.pairs:
            if {pair.difference.first, pair.difference.second} == {a, b}:
                return pair
        return None


def separability(
    values_TM: FloatArray,
    names: Sequence[str],
    *,
    scale: float = 1.0,
    shift: float = 0.0,
    seed: int = 0,
    n_boot: int = 1000,
) -> Separability:
    """Compare all pairs of models.

    Args:
        values_TM: one value a task and model, NaN where there is none.
        names: the models.
        scale, shift: shown value = scale * value + shift.
        seed, n_boot: of the bootstrap over tasks, the same draws for all models.

    Raises:
        DataError: not one name a column.
    """
    import numpy as np

    values_TM = np.asarray(values_TM, dtype=float)
    if values_TM.ndim != 2 or values_TM.shape[1] != len(names):
        raise DataError(f"need one column a model, got shape {values_TM.shape} for {len(names)} models")
    plan = Resampling(seed, n_boot, _LEVEL)
    there_TM = ~np.isnan(values_TM)
    means_BM, gaps = _resampled(values_TM, there_TM, plan)
    bounds = column_percentiles(means_BM, _LEVEL)
    gap_bounds = column_percentiles(np.stack(list(gaps.values()), axis=1), _LEVEL) if gaps else []
    pairs = []
    for (i, j), between in zip(gaps, gap_bounds, strict=True):
        apart = bounds[i][0] > bounds[j][1] or bounds[j][0] > bounds[i][1]
        pairs.append(Pair(_difference(values_TM, names, i, j, between, scale, plan), apart))
    common_T = there_TM.all(axis=1)
    common = values_TM[common_T].mean(axis=0) * scale + shift if common_T.any() else []
    return Separability(
        tuple(names),
        tuple(pairs),
        _ranks(means_BM, names),
        int(common_T.sum()),
        dict(zip(names, map(float, common), strict=True)) if len(common) else {},
        n_boot,
    )


def _resampled(
    values_TM: FloatArray, there_TM: NDArray[np.bool_], plan: Resampling
) -> tuple[FloatArray, dict[tuple[int, int], FloatArray]]:
    """Means of every model, and differences of every pair on its common tasks, in every resample."""
    import numpy as np

    num_tasks, num_models = values_TM.shape
    means: list[FloatArray] = []
    gaps: dict[tuple[int, int], list[FloatArray]] = {
        (i, j): [] for i in range(num_models) for j in range(i + 1, num_models)
    }
    if num_tasks < 2:
        return np.empty((0, num_models)), {pair: np.empty(0) for pair in gaps}
    filled_TM = np.where(there_TM, values_TM, 0.0)
    for counts_BT in count_blocks(num_tasks, plan, width=num_models):
        means.append(_ratio(counts_BT @ filled_TM, counts_BT @ there_TM))
        if there_TM.all():  # then a difference of means is the mean of the differences
            for i, j in gaps:
                gaps[i, j].append(means[-1][:, i] - means[-1][:, j])
            continue
        for i in range(num_models - 1):
            both_TM = there_TM[:, i : i + 1] & there_TM[:, i + 1 :]
            gap_TM = np.where(both_TM, filled_TM[:, i : i + 1] - filled_TM[:, i + 1 :], 0.0)
            found_BM = _ratio(counts_BT @ gap_TM, counts_BT @ both_TM)
            for j in range(i + 1, num_models):
                gaps[i, j].append(found_BM[:, j - i - 1])
    return np.concatenate(means), {pair: np.concatenate(parts) for pair, parts in gaps.items()}


def _ratio(sums: FloatArray, counts: FloatArray) -> FloatArray:
    import numpy as np

    return np.asarray(np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0))


def _difference(
    values_TM: FloatArray,
    names: Sequence[str],
    i: int,
    j: int,
    bounds: tuple[float, float],
    scale: float,
    plan: Resampling,
) -> Difference:
    gap = values_TM[:, i] - values_TM[:, j]
    gap = gap[gap == gap]
    n = len(gap)
    value = scale * float(gap.mean()) if n else None
    se = scale * float(gap.std(ddof=1)) / math.sqrt(n) if n > 1 else None
    z = None
    if value is not None and se is not None:
        z = value / se if se > 0 else math.copysign(math.inf, value) if value else 0.0
    wins, losses = int((gap > 0).sum()), int((gap < 0).sum())
    interval = None
    if value is not None and bounds[0] == bounds[0]:
        low, high = bounds
        interval = Interval(value, scale * low, scale * high, n, plan.name("paired bootstrap"))
    return Difference(names[i], names[j], n, value, se, z, wins, n - wins - losses, losses, interval)


def _ranks(means_BM: FloatArray, names: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Rank bounds; models with equal means share the better rank."""
    import numpy as np

    if not len(means_BM) or np.isnan(means_BM).any():
        return {}
    better_BM = np.stack([(means_BM > means_BM[:, m : m + 1]).sum(axis=1) for m in range(len(names))], axis=1)
    low, high = np.quantile(1 + better_BM, [0.025, 0.975], axis=0, method="nearest")
    return {name: (int(low[m]), int(high[m])) for m, name in enumerate(names)}
