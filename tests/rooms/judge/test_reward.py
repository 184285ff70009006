from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.errors import ConfigError, DataError
from agora.core.records import Verdict
from agora.rooms.judge import (
    Counts,
    OrderPolicy,
    TaskSet,
    k_sweep,
    length_effect,
    order_bias,
    relabel,
    reward_report,
)
from tests.examples import examples
from tests.rooms.judge.support import make_pair, make_score, make_task

OUTCOMES = st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0])


def test_a_reward_is_the_mean_over_the_comparisons_that_were_made() -> None:
    verdicts = [make_pair("t0", 1.0), make_pair("t1", -0.5), make_pair("t2", None), make_pair("t3", 0.0)]
    one = reward_report(verdicts, num_tasks=8).baselines["b"]
    assert one.reward == pytest.approx(100 * 0.5 / 3)
    assert (one.n, one.num_tasks, one.coverage) == (3, 8, 0.375)
    assert one.counts == Counts(1, 0, 1, 1, 0)
    assert one.statuses == {"ok": 3, "unparsed": 1}


def test_the_published_denominator_shrinks_the_reward_and_ours_does_not() -> None:
    counts = Counts(win_much=4, win=2, tie=0, lose=2, lose_much=0)
    assert counts.reward() == pytest.approx(4 / 8)
    assert counts.reward(total=10) == pytest.approx(4 / 10)
    assert Counts().reward() is None


def test_the_mix_is_the_mean_over_baselines_with_equal_weight() -> None:
    verdicts = [
        make_pair("t0", 1.0, baseline="a"),
        make_pair("t0", -1.0, baseline="b"),
        make_pair("t1", 1.0, baseline="a"),
    ]
    report = reward_report(verdicts)
    assert report.mix == 0.0
    assert report.mix_interval is not None and report.mix_interval.estimate == 0.0


def test_a_missing_comparison_makes_the_mix_missing_and_no_zero() -> None:
    report = reward_report([make_pair("t0", 1.0, baseline="a")], baselines=["a", "b"])
    assert report.baselines["b"].reward is None
    assert (report.mix, report.mix_interval, report.mix_without_self) == (None, None, None)
    assert report.warnings == ("not compared with b: no mix",)


def test_a_baseline_against_itself_is_0_by_definition_and_marked() -> None:
    report = reward_report([make_pair("t0", 1.0, model="a", baseline="b")], baselines=["a", "b"])
    assert report.baselines["a"].is_self and report.baselines["a"].reward == 0.0
    assert report.baselines["a"].coverage == 1.0
    assert (report.mix, report.mix_without_self) == (50.0, 100.0)


def test_a_baseline_is_known_by_its_whole_name() -> None:
    report = reward_report([make_pair("t0", 1.0, model="a-large", baseline="a")], baselines=["a"])
    assert not report.baselines["a"].is_self


def test_both_orders_of_a_task_count_as_one_and_conflicts_are_counted() -> None:
    verdicts = [
        make_pair("t0", 1.0),
        make_pair("t0", -0.5, order="candidate_second"),
        make_pair("t1", 1.0),
    ]
    one = reward_report(verdicts).baselines["b"]
    assert (one.reward, one.n, one.conflicts) == (pytest.approx(100 * (0.25 + 1.0) / 2), 2, 1)


def test_groups_and_macro_of_rewards() -> None:
    tags = ["Math", "Reasoning", "Coding & Debugging", "Advice seeking", "Others"]
    tasks = TaskSet(tuple(make_task(f"t{i}", primary_tag=tag) for i, tag in enumerate(tags)))
    one = reward_report([make_pair(t.id, 0.5) for t in tasks], tasks=tasks).baselines["b"]
    assert set(one.groups.values()) == {50.0}
    assert one.macro == pytest.approx(50.0)


def test_reports_refuse_mixtures_and_repetitions() -> None:
    with pytest.raises(DataError, match="2 models: m, x"):
        reward_report([make_pair("t0", 1.0), make_pair("t0", 1.0, model="x")])
    with pytest.raises(DataError, match="in the same order, task t0"):
        reward_report([make_pair("t0", 1.0), make_pair("t0", 1.0)])


@pytest.mark.parametrize(
    ("value", "ours", "theirs", "after"),
    [
        (0.5, 1501, 1000, 0.0),  # the longer answer won slightly: a tie
        (0.5, 1500, 1000, 0.5),  # exactly K longer is not more than K
        (-0.5, 1000, 1501, 0.0),
        (0.5, 1000, 1501, 0.5),  # the shorter answer won: nothing to forgive
        (-0.5, 1501, 1000, -0.5),
        (1.0, 9999, 0, 1.0),  # much better stays
        (-1.0, 0, 9999, -1.0),
        (0.0, 9999, 0, 0.0),
    ],
)
def test_the_margin_forgives_slight_wins_of_the_longer_answer(
    value: float, ours: int, theirs: int, after: float
) -> None:
    verdict = make_pair("t0", value, n_chars=ours, baseline_n_chars=theirs)
    (changed,) = relabel([verdict], 500)
    assert changed.value == after
    assert (changed is verdict) == (after == value)
    assert relabel([verdict], None) == relabel([verdict], -1) == [verdict]


def test_the_margin_needs_lengths() -> None:
    with pytest.raises(DataError, match="lacks the answers' lengths"):
        relabel([make_pair("t0", 0.5, n_chars=None)], 500)
    assert relabel([make_pair("t0", 1.0, n_chars=None), make_score("t0", 5.0)], 500)


def pairs(rows: list[tuple[float, int, int]]) -> list[Verdict]:
    return [make_pair(f"t{i}", v, n_chars=a, baseline_n_chars=b) for i, (v, a, b) in enumerate(rows)]


@settings(deadline=None, max_examples=examples(30))
@given(st.lists(st.tuples(OUTCOMES, st.integers(0, 3000), st.integers(0, 3000)), min_size=1), st.integers(0, 3000))
def test_a_sweep_equals_relabelling_at_each_margin(rows: list[tuple[float, int, int]], margin: int) -> None:
    verdicts = pairs(rows)
    for row, k in zip(k_sweep(verdicts, [None, 0, margin, -1]), [None, 0, margin, None], strict=True):
        report = reward_report(verdicts, margin=k, n_boot=100).baselines["b"]
        assert row.counts == report.counts
        assert row.reward == pytest.approx(report.reward)


@settings(deadline=None)
@given(st.lists(st.tuples(OUTCOMES, st.integers(0, 3000), st.integers(0, 3000)), min_size=1))
def test_margins_leave_much_alone_and_ties_grow_as_slight_outcomes_fall(rows: list[tuple[float, int, int]]) -> None:
    off, k500 = (row.counts for row in k_sweep(pairs(rows), [None, 500]))
    assert (off.win_much, off.lose_much) == (k500.win_much, k500.lose_much)
    assert k500.tie - off.tie == (off.win - k500.win) + (off.lose - k500.lose)


def test_order_policies() -> None:
    ids = [f"t{i}" for i in range(400)]
    hashed = [OrderPolicy.parse("hash").orders(t, "m", seed=1) for t in ids]
    assert hashed == [OrderPolicy.parse("hash").orders(t, "m", seed=1) for t in ids]
    assert hashed != [OrderPolicy.parse("hash").orders(t, "m", seed=2) for t in ids]
    assert hashed != [OrderPolicy.parse("hash").orders(t, "other", seed=1) for t in ids]
    assert 150 < sum(o == ("candidate_first",) for o in hashed) < 250
    assert {len(OrderPolicy.parse("both").orders(t, "m")) for t in ids} == {2}
    sampled = [OrderPolicy.parse("sample-both:0.25").orders(t, "m", seed=1) for t in ids]
    assert 60 < sum(len(o) == 2 for o in sampled) < 140
    assert all(o == h for o, h in zip(sampled, hashed, strict=True) if len(o) == 1)
    assert OrderPolicy.parse("sample-both").share == 0.1


@pytest.mark.parametrize(
    "text", ["", "random", "both:2", "sample-both:x", "sample-both:1.5", "sample-both:-1", "hash:1"]
)
def test_an_unknown_order_policy_names_the_known_ones(text: str) -> None:
    with pytest.raises(ConfigError, match="hash, both, sample-both:p"):
        OrderPolicy.parse(text)


def test_a_judge_that_likes_the_first_answer_is_found_out() -> None:
    rng = random.Random(0)
    verdicts = []
    for i in range(600):
        first = rng.random() < 0.5
        likes_first = rng.random() < 0.8
        order = "candidate_first" if first else "candidate_second"
        verdicts.append(make_pair(f"t{i}", 0.5 if first == likes_first else -0.5, order=order))
    bias = order_bias(verdicts)
    assert bias.n_first + bias.n_second == 600
    assert bias.difference.low > 40 and bias.first_wins.low > 0.7


def test_a_fair_judge_shows_no_order_bias_and_conflicts_are_counted() -> None:
    verdicts = [
        make_pair(f"t{i}", value, order=order)
        for i, value in enumerate([0.5, -0.5, 1.0, -1.0] * 20)
        for order in ("candidate_first", "candidate_second")
    ]
    bias = order_bias(verdicts)
    assert (bias.n_both, bias.conflicts, bias.difference.estimate) == (80, 0, 0.0)
    turned = [make_pair("t0", 0.5), make_pair("t0", -0.5, order="candidate_second")]
    assert order_bias(turned).conflicts == 1


def test_verdicts_without_a_call_say_nothing_on_order() -> None:
    bias = order_bias([make_pair("t0", -1.0, meta={"skipped": "empty"})])
    assert (bias.n_first, bias.mean_first) == (0, None)
    assert math.isnan(bias.difference.estimate)


def test_length_effects() -> None:
    scores = [make_score(f"t{i}", float(1 + i % 10), n_chars=100 * (1 + i % 10)) for i in range(50)]
    wins = [make_pair(f"t{i}", 0.5, n_chars=200, baseline_n_chars=100) for i in range(9)]
    wins += [
        make_pair("t9", 1.0, n_chars=100, baseline_n_chars=200),
        make_pair("t10", 0.0, n_chars=1, baseline_n_chars=2),
    ]
    effect = length_effect(scores + wins)
    assert effect.scores is not None and effect.scores.estimate == pytest.approx(1.0)
    assert effect.longer_wins is not None and effect.longer_wins.estimate == pytest.approx(0.9)
    assert effect.longer_wins.n == 10
    assert length_effect([]).scores is None
