"""Two methods on the same few data sets: is the mean difference more than the spread between the sets?

With five sets a t test leans on normality and sees large effects only; the sign test leans on nothing and sees less
still. Both p-values are given, raw and after Holm's correction over all columns that were looked at.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agora.core.errors import DataError
from agora.core.stats import Interval, holm


@dataclass(frozen=True, slots=True)
class PairedTest:
    """Differences of two methods over data sets.

    Attributes:
        difference: mean of treatment minus baseline with the t interval; `dropped` counts sets that lack a value.
        t: Student's t with n - 1 degrees of freedom; NaN for fewer than two sets or equal differences.
        p: two-sided p-value of t.
        p_sign: two-sided p-value of the sign test; sets without a difference do not count.
        p_holm: `p` after Holm's correction over all columns tested together; `p` itself where it stands alone.
    """

    name: str
    difference: Interval
    t: float
    p: float
    p_sign: float
    p_holm: float


def paired_t_by_dataset(
    baseline: Sequence[float | None], treatment: Sequence[float | None], *, name: str = "", level: float = 0.95
) -> PairedTest:
    """A paired t test with data sets as the units.

    Args:
        baseline, treatment: one score a data set, in the same order; sets with a missing score are left out.
        name: of what was scored.
        level: coverage of the interval.

    Raises:
        DataError: columns of different lengths.

    Example:
        ``paired_t_by_dataset([56.7, 54.7, 57.8], [57.3, 55.9, 57.9]).p``
    """
    import numpy as np
    from scipy.stats import binomtest
    from scipy.stats import t as student

    if len(baseline) != len(treatment):
        raise DataError(f"both methods must be scored on the same sets, got {len(baseline)} and {len(treatment)}")
    pairs = [(a, b) for a, b in zip(baseline, treatment, strict=True) if a is not None and b is not None]
    gap = np.array([b - a for a, b in pairs], dtype=float)
    n, dropped = len(gap), len(baseline) - len(pairs)
    mean = float(gap.mean()) if n else math.nan
    error = float(gap.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    half = float(student.ppf((1 + level) / 2, n - 1)) * error if n > 1 else math.nan
    t = mean / error if n > 1 and error > 0 else math.nan
    p = float(2 * student.sf(abs(t), n - 1)) if not math.isnan(t) else math.nan
    up, down = int((gap > 0).sum()), int((gap < 0).sum())
    p_sign = float(binomtest(up, up + down).pvalue) if up + down else math.nan
    method = f"Student's t {100 * level:g} %, data sets as units"
    interval = Interval(mean, mean - half, mean + half, n, method, dropped, level)
    return PairedTest(name, interval, t, p, p_sign, p)


def compare_by_dataset(
    baseline: Mapping[str, Mapping[str, float | None]],
    treatment: Mapping[str, Mapping[str, float | None]],
    columns: Sequence[str],
    *,
    level: float = 0.95,
) -> list[PairedTest]:
    """Test several columns at once, with Holm's correction over all of them.

    Args:
        baseline, treatment: data set -> column -> score; only sets that both have are used.
        columns: what to test; all of them form the family that is corrected for.

    Raises:
        DataError: the two have no data set in common.
    """
    common = [name for name in baseline if name in treatment]
    if not common:
        raise DataError("the two methods have no data set in common")
    tests = [
        paired_t_by_dataset(
            [baseline[name].get(column) for name in common],
            [treatment[name].get(column) for name in common],
            name=column,
            level=level,
        )
        for column in columns
    ]
    corrected = holm([test.p for test in tests])
    return [
        PairedTest(test.name, test.difference, test.t, test.p, test.p_sign, p)
        for test, p in zip(tests, corrected, strict=True)
    ]
