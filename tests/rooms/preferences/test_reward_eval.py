from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.errors import AgoraError, ConfigError, DataError
from agora.core.records import Message
from agora.core.stats import wilson
from agora.core.tables import read_records, write_jsonl
from agora.rooms.preferences.pair_scores import ScoredPair, score_pairs
from agora.rooms.preferences.reward_eval import evaluate_rewards, most_confident_errors
from tests.examples import examples
from tests.rooms.preferences.rewards import bradley_terry_rows, last_word_scorer, make_pair, make_scored

FOUR = [make_scored(0, 2.0, 1.0), make_scored(1, 1.0, 2.0), make_scored(2, 1.0, 1.0), make_scored(3, 3.0, 0.0)]


def test_accuracy_has_wilsons_interval_and_ties_are_wrong() -> None:
    overall = evaluate_rewards(FOUR).overall
    assert overall.accuracy[:4] == wilson(2, 4)[:4]
    assert overall.ties == 1


@pytest.mark.parametrize(("rule", "share", "n"), [("wrong", 2 / 4, 4), ("half", 2.5 / 4, 4), ("drop", 2 / 3, 3)])
def test_the_tie_rule_is_named(rule: str, share: float, n: int) -> None:
    accuracy = evaluate_rewards(FOUR, ties=rule).overall.accuracy  # type: ignore[arg-type]
    assert (accuracy.estimate, accuracy.n) == (pytest.approx(share), n)


def test_an_unknown_tie_rule_names_those_there_are() -> None:
    with pytest.raises(DataError, match="wrong, half, drop"):
        evaluate_rewards(FOUR, ties="maybe")  # type: ignore[arg-type]


def test_missing_scores_are_counted_and_never_zero() -> None:
    rows = [make_scored(0, 1.0, None), make_scored(1, None, -1.0), make_scored(2, None, None), *FOUR]
    found = evaluate_rewards(rows)
    assert found.overall.accuracy[:4] == wilson(2, 4)[:4]
    assert found.overall.missing == 3
    assert found.scores.n == 8
    assert any("3 of 7 pairs have no score" in warning for warning in found.warnings)


def test_the_length_baseline_is_about_the_same_pairs() -> None:
    rows = [
        make_scored(0, 1.0, 0.0, chars=(9, 3)),
        make_scored(1, 1.0, 0.0, chars=(2, 3)),
        make_scored(2, 0.0, 1.0, chars=(3, 3)),
        make_scored(3, None, 1.0, chars=(9, 3)),
    ]
    overall = evaluate_rewards(rows).overall
    assert (overall.longer.estimate, overall.longer.n) == (pytest.approx(1 / 3), 3)
    assert overall.over_longer.estimate == pytest.approx(1 / 3)


def test_a_scorer_that_is_length_gains_nothing_over_length() -> None:
    rows = [make_scored(i, float(c), float(r), chars=(c, r)) for i, (c, r) in enumerate([(3, 1), (1, 2), (5, 2)] * 20)]
    found = evaluate_rewards(rows, log_odds=False)
    assert found.overall.over_longer[:3] == (0.0, 0.0, 0.0)
    assert found.length_correlation.estimate == pytest.approx(1.0)
    assert any("longer answer" in warning for warning in found.warnings)
    assert found.calibration is None


def test_groups_split_the_pairs_by_subset_and_length_sign() -> None:
    rows = [
        make_scored(0, 1.0, 0.0, chars=(9, 3), subset="chat"),
        make_scored(1, 1.0, 0.0, chars=(2, 3), subset="code"),
        make_scored(2, 0.0, 1.0, chars=(3, 3), subset="chat"),
    ]
    found = evaluate_rewards(rows)
    assert {g.name: g.accuracy.estimate for g in found.by_subset} == {"chat": 0.5, "code": 1.0}
    assert [(g.name, g.accuracy.n) for g in found.by_length] == [
        ("chosen is longer", 1),
        ("chosen is shorter", 1),
        ("equally long", 1),
    ]
    assert found.by_margin == ()


def test_margin_quartiles_hold_equally_many_pairs_and_a_wide_margin_is_easier() -> None:
    rows = [make_scored(i, float(i % 4 < i // 20), 0.0, margin=i / 10) for i in range(80)]
    groups = evaluate_rewards(rows).by_margin
    assert [g.accuracy.n for g in groups] == [20, 20, 20, 20]
    assert [g.accuracy.estimate for g in groups] == [0.0, 0.25, 0.5, 0.75]
    assert groups[0].name == "margin 0 to 1.9"


def test_equal_margins_stay_in_one_group() -> None:
    rows = [make_scored(i, 1.0, 0.0, margin=float(m)) for i, m in enumerate([1] * 6 + [2] * 2)]
    rows.append(make_scored(9, 1.0, 0.0))
    assert [(g.name, g.accuracy.n) for g in evaluate_rewards(rows).by_margin] == [("margin 1", 6), ("margin 2", 2)]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=30))
@settings(max_examples=examples(30), deadline=None)
def test_groups_of_a_kind_always_hold_every_pair_once(rows: list[tuple[int, int, int]]) -> None:
    scored = [
        make_scored(i, float(c), float(r), chars=(c, r), subset=str(m % 3), margin=float(m))
        for i, (c, r, m) in enumerate(rows)
    ]
    found = evaluate_rewards(scored, n_boot=100)
    for groups in (found.by_subset, found.by_length, found.by_margin):
        assert sum(g.accuracy.n for g in groups) == len(rows)
        right = sum(g.accuracy.estimate * g.accuracy.n for g in groups)
        assert right == pytest.approx(found.overall.accuracy.estimate * len(rows))


def test_several_pairs_of_one_prompt_widen_the_interval() -> None:
    rows = [make_scored(i, float(i // 10 % 2), 0.5, prompt=f"q{i // 10}") for i in range(100)]
    found = evaluate_rewards(rows)
    assert found.by_prompt is not None
    assert found.by_prompt.estimate == found.overall.accuracy.estimate
    assert found.by_prompt.low < found.overall.accuracy.low
    assert evaluate_rewards(FOUR).by_prompt is None


def test_pairs_that_annotators_called_a_tie_are_used_nowhere() -> None:
    found = evaluate_rewards([*FOUR, make_scored(9, 5.0, 0.0, tie=True)])
    assert (found.label_ties, found.overall.accuracy.n, found.scores.n) == (1, 4, 8)


def test_mean_and_spread_are_over_all_answers() -> None:
    scores = evaluate_rewards([make_scored(0, 3.0, 1.0), make_scored(1, 1.0, -1.0)]).scores
    assert (scores.mean, scores.std) == (1.0, pytest.approx(math.sqrt(2)))
    assert (scores.chosen_mean, scores.rejected_mean, scores.difference.estimate) == (2.0, 0.0, 2.0)


def test_constant_scores_are_told() -> None:
    found = evaluate_rewards([make_scored(i, 1.0, 1.0) for i in range(30)])
    assert found.overall.accuracy.estimate == 0.0
    assert math.isnan(found.length_correlation.estimate)
    assert any("same score" in warning for warning in found.warnings)


def test_swapped_labels_are_told() -> None:
    assert any("swapped" in w for w in evaluate_rewards([make_scored(i, 0.0, 1.0) for i in range(30)]).warnings)


def test_nothing_to_evaluate_is_an_error_that_says_why() -> None:
    with pytest.raises(DataError, match="no pairs"):
        evaluate_rewards([])
    with pytest.raises(DataError, match="none of 1 pairs has two scores; check that the scorer suits"):
        evaluate_rewards([make_scored(0, None, 1.0)])
    with pytest.raises(DataError, match="none of 1 pairs has two scores; too long"):
        evaluate_rewards([ScoredPair("p", "s", "q", None, 1.0, 1, 1, error="too long")])


def test_the_most_confident_errors_come_worst_first() -> None:
    rows = [make_scored(0, 0.0, 1.0), make_scored(1, 0.0, 9.0), make_scored(2, 1.0, 0.0), make_scored(3, None, 1.0)]
    assert most_confident_errors(rows) == [1, 0]
    assert most_confident_errors(rows, limit=1) == [1]


def test_json_is_plain_and_shows_the_baselines() -> None:
    shown = evaluate_rewards(bradley_terry_rows(50)).as_json()
    assert shown == json.loads(json.dumps(shown))
    assert shown["random"] == 0.5
    assert set(shown["overall"]) == {"name", "accuracy", "longer", "over_longer", "ties"}
    assert shown["rewardbench"] is None


def test_scoring_keeps_order_lengths_margins_and_subsets(tmp_path: Path) -> None:
    pairs = [make_pair(i, f"good {i}", "bad -1", subset="a" if i % 2 else None, margin=i / 2) for i in range(5)]
    rows = list(score_pairs(pairs, last_word_scorer, batch_pairs=2))
    assert [(r.id, r.chosen, r.rejected) for r in rows] == [(f"p{i}", float(i), -1.0) for i in range(5)]
    assert [r.subset for r in rows] == ["test", "a", "test", "a", "test"]
    assert (rows[3].chosen_chars, rows[3].rejected_chars, rows[3].margin) == (6, 6, 1.5)
    write_jsonl(tmp_path / "scores.jsonl", rows)
    assert list(read_records(tmp_path / "scores.jsonl", ScoredPair)) == rows


def test_scores_stand_for_a_margin_where_there_is_none() -> None:
    from dataclasses import replace

    pair = replace(make_pair(0), chosen_score=8.0, rejected_score=5.5)
    assert next(score_pairs([pair], last_word_scorer)).margin == 2.5


def test_what_is_not_finite_is_no_score() -> None:
    rows = list(score_pairs([make_pair(0, "nan", "inf"), make_pair(1, "2", "-inf")], last_word_scorer))
    assert [(r.chosen, r.rejected) for r in rows] == [(None, None), (2.0, None)]


def test_one_failing_conversation_costs_its_own_score_only() -> None:
    calls: list[int] = []

    def fragile(talks: Sequence[tuple[Message, ...]]) -> list[float | None]:
        calls.append(len(talks))
        if any("poison" in t[-1].content for t in talks):
            raise ValueError("cannot read\nthis")
        return [1.0] * len(talks)

    rows = list(score_pairs([make_pair(i, "poison" if i == 1 else "fine") for i in range(100)], fragile))
    assert [r.id for r in rows if r.chosen is None] == ["p1"]
    assert rows[1].error == "ValueError: cannot read this"
    assert rows[1].rejected == 1.0
    assert calls[0] == 200 and set(calls[1:]) == {1}


def test_a_scorer_that_keeps_failing_stops_the_work_with_the_reason() -> None:
    def broken(talks: Sequence[tuple[Message, ...]]) -> list[float | None]:
        raise RuntimeError("out of tokens")

    with pytest.raises(AgoraError, match=r"failed on 20 of 20 answers.*RuntimeError: out of tokens"):
        list(score_pairs([make_pair(i) for i in range(10)], broken))


def test_our_own_errors_pass_through_at_once() -> None:
    def misconfigured(talks: Sequence[tuple[Message, ...]]) -> list[float | None]:
        raise ConfigError("wrong key")

    with pytest.raises(ConfigError, match="wrong key"):
        list(score_pairs([make_pair(0)], misconfigured))


def test_a_scorer_must_score_everything_it_is_given() -> None:
    with pytest.raises(AgoraError, match="1 scores for 2 conversations"):
        list(score_pairs([make_pair(0)], lambda talks: [1.0]))
