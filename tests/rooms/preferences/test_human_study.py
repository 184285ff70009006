from __future__ import annotations

import math
from dataclasses import replace

import pytest

from agora.core.errors import DataError
from agora.rooms.preferences.human_study import HumanComparison, study_results, without_repeats

ROW = HumanComparison("i1", "t1", "r1", 1, "a", "b", 2, True, False)


def test_the_latest_comparison_of_a_person_replaces_the_earlier_ones() -> None:
    rows = [replace(ROW, order=5, outcome=-1), ROW, replace(ROW, rater="r2", order=3)]
    assert [(r.rater, r.order) for r in without_repeats(rows)] == [("r2", 3), ("r1", 5)]


def test_the_earliest_comparison_of_a_task_counts() -> None:
    (result,) = study_results([replace(ROW, rater="r2", order=9, outcome=-2), ROW])
    assert (result.n, result.counts, result.num_annotations, result.num_double) == (1, (1, 0, 0, 0, 0), 2, 1)
    assert result.agreement.exact.estimate == 0.0


def test_the_order_in_which_models_are_shown_does_not_matter() -> None:
    shown_b_first = replace(ROW, task="t2", first="b", second="a", first_acceptable=False, second_acceptable=True)
    (result,) = study_results([ROW, shown_b_first])
    assert (result.first, result.second, result.counts) == ("a", "b", (1, 0, 0, 0, 1))
    assert {model: share.estimate for model, share in result.acceptance.items()} == {"a": 1.0, "b": 0.0}


def test_without_doubly_rated_tasks_agreement_is_unknown() -> None:
    (result,) = study_results([ROW])
    assert result.num_double == 0 and math.isnan(result.agreement.exact.estimate)


@pytest.mark.parametrize("change", [{"second": "a"}, {"outcome": 3}])
def test_what_is_no_comparison_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(DataError, match="not a comparison"):
        study_results([replace(ROW, **change)])  # type: ignore[arg-type]
