from __future__ import annotations

import random

import pytest

from agora.core.errors import DataError, UsageError
from agora.rooms.judge.trust.judge_agreement import judge_pairs_agreement, panel_alpha, read_families, self_preference
from tests.rooms.judge.support import make_pair, make_score


def panel(n: int = 60, favor: float = 0.0) -> list[object]:
    """Three judges of the models own and other; judge "a" adds `favor` to its own."""
    rng = random.Random(0)
    rows = []
    for i in range(n):
        for model in ("own", "other"):
            merit = rng.uniform(3, 7)
            for judge in "abc":
                value = merit + rng.gauss(0, 0.5) + (favor if judge == "a" and model == "own" else 0)
                rows.append(make_score(f"t{i}", min(10.0, max(1.0, value)), model, judge))
    return rows


def test_judges_are_compared_on_the_answers_that_both_judged() -> None:
    rows = [make_score("t0", 5.0, judge="a"), make_score("t1", 7.0, judge="a"), make_score("t2", 3.0, judge="a")]
    rows += [make_score("t0", 4.0, judge="b"), make_score("t1", 7.0, judge="b"), make_score("t9", 3.0, judge="b")]
    (pair,) = judge_pairs_agreement(rows)
    assert (pair.first, pair.second, pair.n, pair.mean_first, pair.mean_second) == ("a", "b", 2, 6.0, 5.5)
    assert (pair.shift.estimate, pair.equal, pair.within_one) == (0.5, 0.5, 1.0)
    with pytest.raises(DataError, match="no two judges judged the same answers"):
        judge_pairs_agreement([rows[0], rows[-1]])


def test_scores_and_comparisons_are_never_mixed_and_orders_stay_apart() -> None:
    rows = [make_pair("t0", 0.5, judge="a"), make_pair("t0", 0.5, judge="b", order="candidate_second")]
    with pytest.raises(DataError):
        judge_pairs_agreement(rows)
    same = [make_pair(f"t{i}", v, judge=j) for i, v in enumerate((0.5, -1.0, 0.0)) for j in "ab"]
    (pair,) = judge_pairs_agreement(same)
    assert pair.kappa.estimate == pytest.approx(1.0) and pair.alpha == pytest.approx(1.0) and pair.equal == 1.0


def test_a_judge_that_favors_its_family_is_found_and_a_fair_one_is_not() -> None:
    unfair = self_preference(panel(favor=1.0), "a", ["own"])  # type: ignore[arg-type]
    assert unfair.preference.low > 0 and unfair.preference.estimate == pytest.approx(1.0, abs=0.25)
    assert not self_preference(panel(), "a", ["own"]).preference.excludes(0)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no other judge judged both"):
        self_preference(panel(), "a", ["elsewhere"])  # type: ignore[arg-type]


def test_alpha_of_a_panel_with_gaps() -> None:
    rows = panel()
    assert 0.5 < panel_alpha(rows[::1]) < 1  # type: ignore[arg-type]
    assert panel_alpha(rows[1:]) == pytest.approx(panel_alpha(rows), abs=0.02)  # type: ignore[arg-type]


def test_families_are_read_from_the_command_line() -> None:
    assert read_families(["a=x, y", "b=z"]) == {"a": ["x", "y"], "b": ["z"]}
    for wrong in ("a", "=x", "a="):
        with pytest.raises(UsageError):
            read_families([wrong])
