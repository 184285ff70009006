from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from agora.core.errors import DataError
from agora.core.stats import holm
from agora.rooms.preferences.paired_tests import compare_by_dataset, paired_t_by_dataset

scores = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), min_size=2, max_size=12)


@given(scores)
def test_t_and_p_are_those_of_scipy(rows: list[tuple[int, int]]) -> None:
    a, b = zip(*rows, strict=True)
    found = paired_t_by_dataset(a, b)
    if len({y - x for x, y in rows}) == 1:
        assert math.isnan(found.t) and math.isnan(found.p)
        return
    expected = ttest_rel(b, a)
    assert (found.t, found.p) == (pytest.approx(expected.statistic), pytest.approx(expected.pvalue))
    interval = expected.confidence_interval()
    assert found.difference[1:3] == (pytest.approx(interval.low), pytest.approx(interval.high))


def test_the_sign_test_of_five_wins_in_five() -> None:
    found = paired_t_by_dataset([1, 2, 3, 4, 5], [2, 4, 4, 9, 6])
    assert found.p_sign == pytest.approx(2 / 2**5)
    assert found.p_holm == found.p


def test_sets_with_a_missing_score_are_left_out_and_counted() -> None:
    found = paired_t_by_dataset([1.0, None, 3.0], [2.0, 5.0, 5.0])
    assert (found.difference.n, found.difference.dropped, found.difference.estimate) == (2, 1, 1.5)


def test_one_set_has_a_difference_and_no_test() -> None:
    found = paired_t_by_dataset([1.0], [2.0])
    assert found.difference.estimate == 1.0 and math.isnan(found.p) and math.isnan(found.difference.low)


def test_p_values_are_corrected_over_all_columns() -> None:
    dpo = {name: {"x": 1.0 + i, "y": 1.0} for i, name in enumerate("abcd")}
    ppo = {name: {"x": 2.0 + i + 0.1 * i, "y": 1.0 + i % 2} for i, name in enumerate("abcd")} | {
        "e": {"x": 1.0, "y": 1.0}
    }
    tests = compare_by_dataset(dpo, ppo, ["x", "y"])
    assert [t.name for t in tests] == ["x", "y"]
    assert [t.p_holm for t in tests] == holm([t.p for t in tests])
    assert {t.difference.n for t in tests} == {4}


def test_methods_must_share_data_sets() -> None:
    with pytest.raises(DataError, match="no data set in common"):
        compare_by_dataset({"a": {}}, {"b": {}}, ["x"])
    with pytest.raises(DataError, match="same sets"):
        paired_t_by_dataset([1.0], [])
