from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agora.core.errors import DataError
from agora.rooms.preferences.comparisons import annotator_agreement, judge_statistics, longer_wins, win_rate


def test_ties_count_half_and_what_was_not_judged_not_at_all() -> None:
    found = win_rate([2, 2, 1, 0, 1.5, None])
    assert (found.rate.estimate, found.rate.n) == (3 / 5, 5)
    assert (found.wins, found.losses, found.ties, found.missing) == (2, 1, 2, 1)


@pytest.mark.parametrize(("ties", "rate"), [(0.0, 0.5), (0.5, 0.75), (1.0, 1.0)])
def test_what_a_tie_is_worth_can_be_said(ties: float, rate: float) -> None:
    assert win_rate([2, 0], ties=ties).rate.estimate == rate


@given(st.lists(st.sampled_from([0, 1, 2, 1.5, 1.25, 1.9, None]), min_size=1))
def test_both_sides_share_one_win_a_comparison(preferences: list[float | None]) -> None:
    first, second = win_rate(preferences, side=1, n_boot=100), win_rate(preferences, side=2, n_boot=100)
    if first.rate.n:
        assert first.rate.estimate + second.rate.estimate == pytest.approx(1)
    assert (first.wins, first.losses, first.ties) == (second.losses, second.wins, second.ties)
    assert first.wins + first.losses + first.ties + first.missing == len(preferences)


def test_without_ties_the_interval_is_wilsons() -> None:
    assert "Wilson" in win_rate([1, 2]).rate.method
    assert "bootstrap" in win_rate([1, 2, 1.2]).rate.method
    assert math.isnan(win_rate([None]).rate.estimate)


@pytest.mark.parametrize("wrong", [3, -1, 0.5])
def test_what_is_no_preference_is_refused(wrong: float) -> None:
    with pytest.raises(DataError, match=r"1, 2, a tie"):
        win_rate([1, wrong])


def test_length_predicts_winners_only() -> None:
    found = longer_wins([2, 1, 0, None, 2, 1], [1, 9, 5, 5, 4, 2], [3, 2, 9, 9, 4, 3])
    assert (found.estimate, found.n, found.dropped) == (0.5, 4, 2)  # equal lengths predict no winner
    with pytest.raises(DataError, match="equally many"):
        longer_wins([1], [1, 2], [1])


def test_a_judge_that_follows_the_position_is_right_half_the_time_and_never_consistent() -> None:
    found = judge_statistics([1, 2, 1, 2], [1, 1, 1, 1], [2, 2, 2, 2])
    assert (found.average, found.both.estimate, found.consistent.estimate) == (0.5, 0, 0)


def test_replies_without_a_verdict_are_wrong_and_agree_only_when_asked() -> None:
    gold, replies = [1, 1], [None, 1]
    assert judge_statistics(gold, replies, replies).consistent.estimate == 0.5
    found = judge_statistics(gold, replies, replies, unparsed_agree=True)
    assert (found.consistent.estimate, found.both.estimate, found.average) == (1.0, 0.5, 0.5)


def test_agreement_is_on_the_winner_and_a_tie_is_half_way() -> None:
    found = annotator_agreement([2, 1, 0, -1, 1, None], [1, 0, 0, 2, None, 1])
    assert (found.exact.estimate, found.exact.n, found.exact.dropped) == (0.5, 4, 2)
    assert found.relaxed.estimate == (1 + 0.5 + 1 + 0) / 4


@given(st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2)), min_size=1))
def test_agreement_has_no_direction(rows: list[tuple[int, int]]) -> None:
    first, second = zip(*rows, strict=True)
    there, back = (annotator_agreement(a, b, n_boot=100) for a, b in ((first, second), (second, first)))
    assert there.exact.estimate == back.exact.estimate <= there.relaxed.estimate == back.relaxed.estimate


def test_columns_must_be_equally_long() -> None:
    with pytest.raises(DataError):
        annotator_agreement([1], [])
    with pytest.raises(DataError):
        judge_statistics([1], [1], [])
