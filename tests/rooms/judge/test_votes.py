from __future__ import annotations

import numpy as np
import pytest

from agora.core.errors import DataError
from agora.rooms.judge.ranking.strengths import length_strengths, strengths
from agora.rooms.judge.ranking.votes import ScoreMatrix, pair_votes, score_votes
from tests.rooms.judge.support import make_pair, make_score


def matrix(**scores: list[float | None]) -> ScoreMatrix:
    return ScoreMatrix.of({m: [make_score(f"t{i}", v, m) for i, v in enumerate(rows)] for m, rows in scores.items()})


def test_a_gap_of_two_is_a_win_and_less_is_a_tie() -> None:
    votes = score_votes(matrix(a=[9, 5, 5, 1], b=[7, 6, 5, 3]))
    assert votes.battles.outcome_N.tolist() == [1.0, 0.5, 0.5, 0.0]
    assert int(votes.decisive.sum()) == 2


def test_a_tie_margin_leaves_out_what_lies_between() -> None:
    votes = score_votes(matrix(a=[9, 5, 5], b=[5, 3, 4]), margin=3, tie_margin=1)
    assert votes.battles.outcome_N.tolist() == [1.0, 0.5]
    with pytest.raises(DataError):
        score_votes(matrix(a=[1], b=[2]), margin=0)


def test_missing_scores_make_no_votes() -> None:
    assert len(score_votes(matrix(a=[9, None, 5], b=[7, 6, None]))) == 1
    assert len(score_votes(matrix(a=[9]))) == 0


def test_empty_and_cut_answers_make_no_votes_unless_asked() -> None:
    rows = {
        "a": [make_score("t0", 1.0, "a", n_chars=0), make_score("t1", 5.0, "a", meta={"truncated": True})],
        "b": [make_score("t0", 9.0, "b"), make_score("t1", 9.0, "b")],
    }
    made = ScoreMatrix.of(rows)
    assert len(score_votes(made)) == 0
    assert len(score_votes(made, whole_only=False)) == 2


def test_the_published_length_rule_ties_even_the_wins_of_the_shorter_answer() -> None:
    rows = {"a": [make_score("t0", 9.0, "a", n_chars=100)], "b": [make_score("t0", 2.0, "b", n_chars=5000)]}
    votes = score_votes(ScoreMatrix.of(rows))
    assert votes.shorter_won.tolist() == [True]
    assert votes.without_long_gaps(1500).battles.outcome_N.tolist() == [0.5]
    assert votes.without_long_gaps(5000).battles.outcome_N.tolist() == [1.0]


def test_comparisons_are_votes_and_much_better_may_weigh_more() -> None:
    rows = [make_pair("t0", 1.0), make_pair("t1", -0.5), make_pair("t2", 0.0), make_pair("t3", None)]
    plain, heavy = pair_votes(rows), pair_votes(rows, much=3.0)
    assert plain.battles.names == ("b", "m")
    assert plain.battles.outcome_N.tolist() == [1.0, 0.25, 0.5]
    assert heavy.battles.outcome_N.tolist() == [1.0, 0.0, 0.5]
    assert heavy.battles.weights().tolist() == [3.0, 1.0, 1.0]


def test_ratings_are_given_where_the_votes_determine_them_and_a_reason_where_not() -> None:
    rng = np.random.default_rng(0)
    scores = {m: [float(v) for v in rng.integers(1, 11, 60)] for m in "abc"}
    found = strengths(score_votes(matrix(**scores)), n_boot=100, anchor="a")
    assert found.ratings["a"][:3] == (1000, 1000, 1000)
    assert sum(x.low <= x.estimate <= x.high for x in found.ratings.values()) == 3
    beaten = strengths(score_votes(matrix(a=[9] * 5, b=[1] * 5)), n_boot=100)
    assert not beaten.ratings and "not identifiable" in beaten.reason
    assert strengths(score_votes(matrix(a=[9]))).reason == "no two models have a common task"


def test_ties_alone_leave_all_equal() -> None:
    found = strengths(score_votes(matrix(a=[5] * 9, b=[5] * 9, c=[6] * 9)), n_boot=100)
    assert {round(x.estimate, 6) for x in found.ratings.values()} == {1000.0}


def test_unknown_lengths_make_no_length_controlled_ratings() -> None:
    rows = {m: [make_score(f"t{i}", float(1 + i % 9), m, n_chars=None) for i in range(9)] for m in "ab"}
    found = length_strengths(score_votes(ScoreMatrix.of(rows)))
    assert not found.ratings and "length" in found.reason
