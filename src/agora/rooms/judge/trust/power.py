"""How many tasks a comparison needs, and how stable a ranking is on fewer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from agora.core.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray: TypeAlias = NDArray[np.float64]


def tasks_needed(gap: float, spread: float, *, power: float = 0.8, level: float = 0.95) -> int:
    """Tasks at which a true difference is found with the stated power (two-sided normal test).

    Args:
        gap: the true difference of two means.
        spread: standard deviation of the difference of one task (paired), on the same scale.
        power: probability to find it, in (0, 1).
        level: 1 minus the probability to find a difference that is not there.

    Raises:
        DataError: a gap of 0, a negative spread, or a probability outside (0, 1).
    """
    from statistics import NormalDist

    if gap == 0 or not spread >= 0:
        raise DataError(f"the gap must not be 0 and the spread not negative, got {gap} and {spread}")
    if not (0 < power < 1 and 0 < level < 1):
        raise DataError(f"power and level must be between 0 and 1, got {power} and {level}")
    z = NormalDist().inv_cdf((1 + level) / 2) + NormalDist().inv_cdf(power)
    return max(2, math.ceil((z * spread / gap) ** 2))


def smallest_gap(num_tasks: int, spread: float, *, power: float = 0.8, level: float = 0.95) -> float:
    """The true difference that so many tasks find with the stated power; see :func:`tasks_needed`."""
    from statistics import NormalDist

    if num_tasks < 2:
        raise DataError(f"a comparison needs at least 2 tasks, got {num_tasks}")
    return (NormalDist().inv_cdf((1 + level) / 2) + NormalDist().inv_cdf(power)) * spread / math.sqrt(num_tasks)


class Need(NamedTuple):
    """Two models and what it takes to tell them apart; figures on the shown scale.

    Attributes:
        gap: measured difference on their common tasks, first minus second.
        spread: standard deviation of a task's difference.
        needed: tasks for the stated power if the gap is the true one; None where the two are equal.
        found: whether the tasks at hand separate them.
    """

    first: str
    second: str
    gap: float
    spread: float
    needed: int | None
    found: bool


@dataclass(frozen=True, slots=True)
class PowerReport:
    """What a table's tasks can tell.

    Args:
        num_tasks: tasks at hand.
        spread: median over pairs of the standard deviation of a task's difference.
        detectable: the smallest true gap that they find with the stated power, at that spread.
        needs: every pair, the hardest first.
        power: the stated power.
    """

    num_tasks: int
    spread: float
    detectable: float
    needs: tuple[Need, ...]
    power: float


def power_report(
    values_TM: FloatArray, names: tuple[str, ...], *, scale: float = 1.0, power: float = 0.8
) -> PowerReport:
    """What the tasks at hand can tell of each two models.

    Args:
        values_TM: one value a task and model, NaN where there is none.
        names: the models.
        scale: shown units of one unit of value.
        power: in (0, 1).

    Raises:
        DataError: no two models have two common tasks.
    """
    import numpy as np

    needs = []
    for i in range(len(names)):
        for j in range(i + 1, len(names)):
            gap_T = values_TM[:, i] - values_TM[:, j]
            gap_T = scale * gap_T[~np.isnan(gap_T)]
            if len(gap_T) < 2:
                continue
            gap, spread = float(gap_T.mean()), float(gap_T.std(ddof=1))
            needed = tasks_needed(gap, spread, power=power) if gap else None
            found = abs(gap) > 1.96 * spread / math.sqrt(len(gap_T))
            needs.append(Need(names[i], names[j], gap, spread, needed, found))
    if not needs:
        raise DataError("no two models have two common tasks")
    needs.sort(key=lambda need: (need.needed is not None, -(need.needed or 0)))
    spread = float(np.median([need.spread for need in needs]))
    num_tasks = len(values_TM)
    return PowerReport(num_tasks, spread, smallest_gap(num_tasks, spread, power=power), tuple(needs), power)


class Stability(NamedTuple):
    """How well random subsets of tasks keep the ranking of all: Spearman's rho over draws."""

    num_tasks: int
    mean: float
    sd: float


def subset_stability(
    values_TM: FloatArray, sizes: tuple[int, ...], *, draws: int = 500, seed: int = 0
) -> list[Stability]:
    """Rank models on random subsets of tasks and compare with the ranking on all.

    Args:
        values_TM: one value a task and model; tasks with a missing value are left out.
        sizes: numbers of tasks.
        draws: subsets of each size.

    Raises:
        DataError: a size above the number of complete tasks, or fewer than 2 models.
    """
    import numpy as np
    from scipy.stats import rankdata

    complete_TM = values_TM[~np.isnan(values_TM).any(axis=1)]
    num_tasks, num_models = complete_TM.shape
    if num_models < 2:
        raise DataError("a ranking needs at least 2 models")
    if any(not 0 < size <= num_tasks for size in sizes):
        raise DataError(f"sizes must be from 1 to the {num_tasks} tasks that every model has, got {list(sizes)}")
    rng = np.random.default_rng(seed)
    whole_M = rankdata(complete_TM.mean(axis=0))
    whole_M = whole_M - whole_M.mean()
    out = []
    for size in sizes:
        means_DM = np.stack(
            [complete_TM[rng.choice(num_tasks, size, replace=False)].mean(axis=0) for _ in range(draws)]
        )
        ranks_DM = rankdata(means_DM, axis=1)
        ranks_DM = ranks_DM - ranks_DM.mean(axis=1, keepdims=True)
        spread_D = np.sqrt((ranks_DM**2).sum(axis=1) * float(whole_M @ whole_M))
        rho_D = (ranks_DM @ whole_M)[spread_D > 0] / spread_D[spread_D > 0]
        out.append(Stability(size, float(rho_D.mean()), float(rho_D.std())))
    return out
