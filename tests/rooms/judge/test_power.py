from __future__ import annotations

import math

import numpy as np
import pytest

from agora.core.errors import DataError
from agora.rooms.judge.trust.power import power_report, smallest_gap, subset_stability, tasks_needed


def test_the_number_of_tasks_is_that_of_the_paired_test() -> None:
    assert tasks_needed(3.0, 35.0) == math.ceil(((1.959964 + 0.841621) * 35 / 3) ** 2)
    assert tasks_needed(-3.0, 35.0) == tasks_needed(3.0, 35.0)
    assert smallest_gap(tasks_needed(3.0, 35.0), 35.0) == pytest.approx(3.0, rel=1e-3)


def test_that_many_tasks_find_the_gap_as_often_as_stated() -> None:
    n, rng = tasks_needed(0.3, 1.0), np.random.default_rng(0)
    gaps = rng.normal(0.3, 1.0, size=(2000, n))
    z = gaps.mean(axis=1) / (gaps.std(axis=1, ddof=1) / math.sqrt(n))
    assert (z > 1.96).mean() == pytest.approx(0.8, abs=0.03)


@pytest.mark.parametrize(("gap", "spread", "power"), [(0, 1, 0.8), (1, -1, 0.8), (1, 1, 1.0), (1, math.nan, 0.8)])
def test_what_has_no_answer_is_refused(gap: float, spread: float, power: float) -> None:
    with pytest.raises(DataError):
        tasks_needed(gap, spread, power=power)


def test_the_hardest_pairs_come_first_and_equal_models_need_more_than_any_number() -> None:
    rng = np.random.default_rng(1)
    base = rng.integers(1, 11, size=200).astype(float)
    values = np.column_stack([base, base, base - 0.2 + rng.normal(0, 1, 200), base - 3])
    values[:5, 3] = math.nan
    report = power_report(values, ("a", "b", "c", "d"), scale=20)
    first, *rest = report.needs
    assert (first.first, first.second, first.needed, first.found) == ("a", "b", None, False)
    assert [need.needed for need in rest] == sorted((n.needed for n in rest if n.needed), reverse=True)
    assert next(need for need in report.needs if (need.first, need.second) == ("a", "d")).found
    with pytest.raises(DataError, match="no two models have two common tasks"):
        power_report(np.array([[1.0, math.nan], [math.nan, 2.0]]), ("a", "b"))


def test_more_tasks_keep_the_ranking_better_and_all_of_them_keep_it_whole() -> None:
    rng = np.random.default_rng(2)
    values = rng.normal(size=(300, 5)) + np.arange(5) * 0.15
    found = subset_stability(values, (20, 100, 300), draws=100)
    assert [row.mean for row in found] == sorted(row.mean for row in found)
    assert found[-1].mean == pytest.approx(1.0) and found[-1].sd == pytest.approx(0.0)
    with pytest.raises(DataError):
        subset_stability(values, (301,))
    with pytest.raises(DataError):
        subset_stability(values[:, :1], (10,))
