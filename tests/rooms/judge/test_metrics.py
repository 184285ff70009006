from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.errors import DataError
from agora.rooms.judge import TaskSet, macro, paired_difference, score_report, wb_scale
from agora.rooms.judge.types import GROUP_WEIGHTS, GROUP_WEIGHTS_JUNE, GROUPS, Outcome, groups_of, unknown_tags
from tests.examples import examples
from tests.rooms.judge.support import make_pair, make_score, make_task

TAGS = [tags[0] for tags in GROUPS.values()]
FIVE = TaskSet(tuple(make_task(f"t{i}", primary_tag=tag) for i, tag in enumerate(TAGS)))


def test_the_published_scale_runs_from_minus_80_to_100() -> None:
    assert (wb_scale(1), wb_scale(5), wb_scale(10)) == (-80, 0, 100)


def test_a_score_is_the_mean_over_judged_tasks_with_its_error() -> None:
    report = score_report([make_score(f"t{i}", v) for i, v in enumerate([4.0, 6.0, 8.0])])
    assert report.wb_score == 20.0
    assert report.se == pytest.approx(20 * 2 / math.sqrt(3))
    assert report.interval.low < 20 < report.interval.high
    assert (report.n, report.coverage, report.bounds) == (3, 1.0, (20.0, 20.0))


def test_what_was_not_scored_is_missing_counted_and_bounds_the_value() -> None:
    verdicts = [make_score("t0", 7.0), make_score("t1", None), make_score("t2", None, status="refused")]
    report = score_report(verdicts, num_tasks=4)
    assert report.wb_score == 40.0
    assert report.statuses == {"ok": 1, "unparsed": 1, "refused": 1, "missing": 1}
    assert (report.n, report.num_tasks, report.coverage) == (1, 4, 0.25)
    assert report.bounds == (wb_scale((7 + 3) / 4), wb_scale((7 + 30) / 4))
    assert report.withheld
    assert "3 of 4 tasks have no score (75.0 %)" in report.warnings


def test_nothing_scored_is_no_number() -> None:
    report = score_report([make_score("t0", None)])
    assert (report.wb_score, report.se, report.mean_chars) == (None, None, None)
    assert report.bounds == (-80, 100)


def test_one_score_or_equal_scores_make_no_division_error() -> None:
    assert score_report([make_score("t0", 5.0)]).se is None
    assert score_report([make_score(f"t{i}", 5.0) for i in range(3)]).se == 0.0


def test_a_task_counts_in_each_group_of_its_tags_once() -> None:
    task = make_task(primary_tag="Math", secondary_tags=("Data Analysis", "Reasoning", "Planning", "math"))
    assert groups_of(task) == {"Math & Data Analysis", "Planning & Reasoning"}


def test_unknown_tags_count_as_others_and_are_told() -> None:
    task = make_task(primary_tag="Sports", secondary_tags=("Math",))
    assert groups_of(task) == {"Creative Tasks", "Math & Data Analysis"}
    assert unknown_tags(task) == ("Sports",)
    assert groups_of(make_task(primary_tag="")) == frozenset()
    report = score_report([make_score("t1", 5.0)], tasks=TaskSet((task,)))
    assert report.warnings == ("1 tasks have tags outside the twelve, such as 'Sports': they count as Others",)


def test_group_values_and_both_macros() -> None:
    values = dict(zip([t.id for t in FIVE], [6.0, 7.0, 8.0, 9.0, 10.0], strict=True))
    report = score_report([make_score(t, v) for t, v in values.items()], tasks=FIVE)
    by_group = {group: wb_scale(v) for group, v in zip(GROUPS, values.values(), strict=True)}
    assert {g: v.value for g, v in report.groups.items()} == by_group
    expected = sum(GROUP_WEIGHTS[g] * v for g, v in by_group.items()) / 4.75
    june = sum(GROUP_WEIGHTS_JUNE[g] * v for g, v in by_group.items()) / 4.5
    assert report.macro == pytest.approx(expected)
    assert report.macro_june == pytest.approx(june)


def test_the_macro_is_missing_while_a_group_is() -> None:
    verdicts = [make_score(t.id, 9.0) for t in FIVE.tasks[:4]]
    report = score_report(verdicts, tasks=FIVE)
    assert report.macro is None
    assert report.wb_score == 80.0
    assert macro({"Creative Tasks": 1.0}) is None


def test_an_empty_answer_counts_everywhere_with_1() -> None:
    empty = make_score("t3", 1.0, n_chars=0, meta={"skipped": "empty"})
    report = score_report([*[make_score(t.id, 9.0) for t in FIVE if t.id != "t3"], empty], tasks=FIVE)
    assert report.empty == 1
    assert report.groups[list(GROUPS)[3]].value == -80
    assert report.n == 5
    assert report.mean_chars == 10


def test_reports_refuse_mixtures_and_repetitions() -> None:
    with pytest.raises(DataError, match="two verdicts by j on m's answer to task t0"):
        score_report([make_score("t0", 5.0), make_score("t0", 6.0)])
    with pytest.raises(DataError, match="got the models a, b"):
        score_report([make_score("t0", 5.0, "a"), make_score("t1", 6.0, "b")])
    with pytest.raises(DataError, match="got the judges j, k"):
        score_report([make_score("t0", 5.0), make_score("t1", 6.0, judge="k")])
    with pytest.raises(DataError, match="pair verdict stands among score"):
        score_report([make_pair("t0", 0.5)])
    with pytest.raises(DataError, match="1 verdicts are on tasks outside the benchmark, the first on t9"):
        score_report([make_score("t9", 5.0)], tasks=FIVE)
    with pytest.raises(DataError, match="no score verdicts"):
        score_report([])


def test_a_constant_answer_and_a_judge_of_itself_are_pointed_out() -> None:
    same = [make_score(f"t{i}", 9.0, model="x", judge="hf:x", meta={"answer": "aa"}) for i in range(3)]
    warnings = score_report(same).warnings
    assert any("3 of 3 answers are the same text" in w for w in warnings)
    assert any("the judge is the judged model" in w for w in warnings)


def test_models_are_compared_on_their_common_tasks_only() -> None:
    a = [make_score("t0", 9.0, "a"), make_score("t1", 5.0, "a"), make_score("t2", None, "a")]
    b = [make_score("t0", 5.0, "b"), make_score("t1", 5.0, "b"), make_score("t2", 1.0, "b"), make_score("t3", 1.0, "b")]
    found = paired_difference(a, b)
    assert (found.first, found.second, found.n_common) == ("a", "b", 2)
    assert found.value == 40.0
    assert (found.wins, found.ties, found.losses) == (1, 1, 0)
    assert not found.separable


def test_equal_models_and_no_common_tasks_make_no_error() -> None:
    same = {"t0": 5.0, "t1": 6.0}
    assert paired_difference(same, same, names=("a", "b")).z == 0.0
    apart = paired_difference(same, {"t9": 5.0}, names=("a", "b"))
    assert (apart.n_common, apart.value, apart.separable) == (0, None, False)
    always = paired_difference({"t0": 6.0, "t1": 7.0}, same, names=("a", "b"))
    assert always.z == math.inf and always.separable


@settings(deadline=None, max_examples=examples(30))
@given(st.lists(st.integers(1, 10), min_size=2, max_size=30), st.randoms())
def test_the_order_of_verdicts_changes_nothing(values: list[int], rng: random.Random) -> None:
    verdicts = [make_score(f"t{i}", float(v)) for i, v in enumerate(values)]
    first = score_report(verdicts, n_boot=100)
    rng.shuffle(verdicts)
    second = score_report(verdicts, n_boot=100)
    assert (first.wb_score, first.bounds, first.n) == (second.wb_score, second.bounds, second.n)
    assert first.se == pytest.approx(second.se)


def test_outcomes_know_what_is_slight() -> None:
    assert [o for o in Outcome if o.slight] == [Outcome.BETTER, Outcome.WORSE]
