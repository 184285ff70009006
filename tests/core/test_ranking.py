"""Bradley-Terry against scikit-learn and statsmodels, and the coverage of its intervals."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from agora.core.errors import DataError
from agora.core.ranking import Battle, bradley_terry
from agora.core.stats import wilson
from tests.examples import examples


def simulate(rng: np.random.Generator, strengths: list[float], num_tasks: int, games: int = 1) -> list[Battle]:
    """Battles of all pairs; `games` battles a task share one outcome, as two orders of one comparison nearly do."""
    battles = []
    for task in range(num_tasks):
        for i in range(len(strengths)):
            for j in range(i):
                won = float(rng.random() < 1 / (1 + math.exp(strengths[j] - strengths[i])))
                battles += [Battle(i, j, won, 1.0, task)] * games
    return battles


def test_strengths_are_those_of_logistic_regression() -> None:
    battles = simulate(np.random.default_rng(0), [0.0, 0.5, 1.2, -0.7], 60)
    design, won = np.zeros((len(battles), 4)), np.array([b.outcome for b in battles])
    for row, battle in zip(design, battles, strict=True):
        row[battle.first], row[battle.second] = 1, -1
    peer = LogisticRegression(C=1e8, fit_intercept=False, tol=1e-10, max_iter=1000).fit(design, won).coef_[0]
    ours = bradley_terry(battles)
    by_name = [ours.strengths[ours.names.index(i)] for i in range(4)]
    assert by_name == pytest.approx(list(peer - peer.mean()), abs=1e-4)


def test_ties_count_half_and_weights_count_as_repeats() -> None:
    tied = bradley_terry([("a", "b", 0.5, 2.0), ("a", "b", 1.0)])
    split = bradley_terry([("a", "b", 1), ("a", "b", 0), ("a", "b", 1)])
    assert tied.strengths == pytest.approx(split.strengths)
    assert tied.win_probability("a", "b") == pytest.approx(2 / 3, abs=1e-6)


def test_a_matrix_of_wins_says_the_same_as_its_battles() -> None:
    wins = np.array([[0, 7, 3], [2, 0, 5], [4, 6, 0]])
    battles = [(i, j, 1.0) for i in range(3) for j in range(3) for _ in range(wins[i, j])]
    from_matrix, from_battles = bradley_terry(wins), bradley_terry(battles)
    assert from_matrix.strengths == pytest.approx(
        [from_battles.strengths[from_battles.names.index(i)] for i in range(3)]
    )
    assert bradley_terry(wins, names=["x", "y", "z"]).names == ("x", "y", "z")


@given(st.integers(2, 7), st.integers(0, 10_000))
@settings(max_examples=examples(40), deadline=None)
def test_expected_wins_equal_observed_wins(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    wins = rng.integers(1, 20, size=(size, size)).astype(float)
    np.fill_diagonal(wins, 0)
    theta = np.array(bradley_terry(wins).strengths)
    chance = 1 / (1 + np.exp(theta[None, :] - theta[:, None]))
    expected = ((wins + wins.T) * chance).sum(axis=1)
    assert expected == pytest.approx(wins.sum(axis=1), abs=1e-4)
    assert theta.sum() == pytest.approx(0, abs=1e-9)


def test_perfect_separation_is_flagged_and_finite() -> None:
    beaten = bradley_terry([("a", "b", 1), ("b", "c", 1), ("c", "b", 1), ("a", "c", 1)], n_boot=200)
    assert beaten.separated
    assert beaten.separated_share == 1
    assert 5 < beaten.strengths[0] < 100
    assert beaten.names[int(np.argmax(beaten.strengths))] == "a"


def test_a_chain_of_wins_in_a_circle_is_not_separated() -> None:
    assert not bradley_terry([("a", "b", 1), ("b", "c", 1), ("c", "a", 1)]).separated
    assert not bradley_terry([("a", "b", 0.5)]).separated


def test_groups_that_never_met_are_separated() -> None:
    assert bradley_terry([("a", "b", 0.5), ("c", "d", 0.5)]).separated


def test_ratings_are_anchored_and_sorted() -> None:
    ranking = bradley_terry(simulate(np.random.default_rng(1), [0.0, 1.0, 0.4], 80), n_boot=300)
    ratings = ranking.ratings(anchor=0, at=1200)
    assert list(ratings) == [1, 2, 0]
    assert ratings[0][:3] == (1200, 1200, 1200)
    assert ratings[1].low < ratings[1].estimate < ratings[1].high
    assert ratings[1].estimate - 1200 == pytest.approx(400 * math.log10(math.e) * ranking.difference(1, 0).estimate)
    assert ranking.n == 80
    centered = ranking.ratings()
    assert np.mean([interval.estimate for interval in centered.values()]) == pytest.approx(1000)


def test_interval_of_one_pair_agrees_with_that_of_a_share() -> None:
    ranking = bradley_terry([("a", "b", float(k < 130)) for k in range(200)], n_boot=4000)
    ours, share = ranking.difference("a", "b"), wilson(130, 200)
    as_share = [1 / (1 + math.exp(-bound)) for bound in ours[:3]]
    assert as_share == pytest.approx(share[:3], abs=0.01)


def test_two_games_a_task_do_not_narrow_the_interval() -> None:
    rng = np.random.default_rng(5)
    once = simulate(rng, [0.0, 0.8], 150)
    twice = [battle for battle in once for _ in range(2)]
    one, two = (bradley_terry(battles, n_boot=500).difference(1, 0) for battles in (once, twice))
    assert two[:3] == pytest.approx(one[:3], abs=1e-6)


def test_without_a_bootstrap_there_are_no_bounds() -> None:
    ranking = bradley_terry([("a", "b", 1), ("b", "a", 1)])
    assert math.isnan(ranking.difference("a", "b").low)
    assert math.isnan(ranking.separated_share)


def test_the_same_seed_gives_the_same_draws() -> None:
    battles = simulate(np.random.default_rng(1), [0.0, 1.0, 0.4], 30)
    first, again = (bradley_terry(battles, n_boot=100, seed=3).draws_BM for _ in range(2))
    assert np.array_equal(first, again)


def test_order_of_battles_does_not_matter_to_strengths() -> None:
    battles = simulate(np.random.default_rng(2), [0.0, 1.0, 0.4], 30)
    forward, back = bradley_terry(battles), bradley_terry(battles[::-1])
    assert forward.ratings()[1].estimate == pytest.approx(back.ratings()[1].estimate)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: bradley_terry([]),
        lambda: bradley_terry([("a", "a", 1)]),
        lambda: bradley_terry([("a", "b", 2)]),
        lambda: bradley_terry([("a", "b", math.nan)]),
        lambda: bradley_terry([("a", "b", 1, 0)]),
        lambda: bradley_terry([("a", "b", 1, 1, "t"), ("a", "b", 1)]),
        lambda: bradley_terry(np.zeros((2, 3))),
        lambda: bradley_terry(np.zeros((2, 2))),
        lambda: bradley_terry([("a", "b", 1)], ridge=0),
        lambda: bradley_terry([("a", "b", 1)]).difference("a", "c"),
    ],
)
def test_wrong_input_is_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(DataError):
        wrong()


@pytest.mark.slow
def test_task_bootstrap_covers_the_truth_and_the_battle_bootstrap_does_not() -> None:
    truth, rounds = [0.0, 0.3, 0.9, -0.5], 500
    by_task, by_battle = 0, 0
    rng = np.random.default_rng(21)
    for seed in range(rounds):
        battles = simulate(rng, truth, 100, games=2)
        tasks = bradley_terry(battles, n_boot=200, seed=seed).difference(2, 0)
        loose = bradley_terry([b._replace(task=None) for b in battles], n_boot=200, seed=seed).difference(2, 0)
        by_task += not tasks.excludes(0.9)
        by_battle += not loose.excludes(0.9)
    assert 0.92 <= by_task / rounds <= 0.98
    assert by_battle / rounds < 0.90
