from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from agora.core.controlled_ranking import controlled_bradley_terry, root_mean_square
from agora.core.errors import DataError
from agora.core.logistic import sigmoid
from agora.core.ranking import BattleColumns, bradley_terry

NAMES = ("a", "b", "c", "d")
TRUTH = np.array([0.6, 0.1, -0.2, -0.5])


def simulate(seed: int, taste: float = 0.8, num_tasks: int = 300) -> tuple[BattleColumns, np.ndarray]:
    """All pairs on each task; the judge likes what is long, and the strong write long."""
    rng = np.random.default_rng(seed)
    size_TM = rng.normal(size=(num_tasks, 4)) + TRUTH
    pairs = [(i, j) for i in range(4) for j in range(i)]
    first, second = (np.tile([pair[k] for pair in pairs], num_tasks) for k in (0, 1))
    task = np.repeat(np.arange(num_tasks), len(pairs))
    gap = size_TM[task, first] - size_TM[task, second]
    chance = sigmoid(TRUTH[first] - TRUTH[second] + taste * gap)
    outcome = (rng.random(len(task)) < chance).astype(float)
    return BattleColumns(NAMES, first, second, outcome, None, task), gap


def test_without_features_it_is_bradley_terry() -> None:
    battles, _ = simulate(0)
    plain, ours = bradley_terry(battles, n_boot=400), controlled_bradley_terry(battles, {}, n_boot=400)
    assert ours.ranking.strengths == pytest.approx(plain.strengths, abs=1e-6)
    for a, b in (("a", "b"), ("a", "d"), ("b", "c")):
        # the same resamples; one step instead of many
        assert ours.ranking.difference(a, b)[:3] == pytest.approx(plain.difference(a, b)[:3], abs=0.002)


def test_strengths_and_coefficient_are_those_of_logistic_regression() -> None:
    battles, gap = simulate(1)
    design = np.zeros((len(gap), 5))
    rows = np.arange(len(gap))
    design[rows, battles.first_N], design[rows, battles.second_N] = 1, -1
    design[:, 4] = root_mean_square(gap)
    peer = LogisticRegression(C=1e8, fit_intercept=False, tol=1e-12, max_iter=2000).fit(design, battles.outcome_N)
    ours = controlled_bradley_terry(battles, {"length": gap})
    expected = peer.coef_[0][:4] - peer.coef_[0][:4].mean()
    assert ours.ranking.strengths == pytest.approx(expected, abs=1e-4)
    assert ours.coefficients["length"].estimate == pytest.approx(peer.coef_[0][4], abs=1e-4)


def test_control_takes_back_what_length_bought() -> None:
    battles, gap = simulate(2, taste=1.0, num_tasks=3000)
    plain, ours = bradley_terry(battles), controlled_bradley_terry(battles, {"length": gap}).ranking
    truth = TRUTH - TRUTH.mean()
    errors = [np.abs(np.array(found.strengths) - truth).max() for found in (plain, ours)]
    assert errors[0] > 0.25 and errors[1] < 0.12


def test_who_is_called_first_changes_nothing() -> None:
    battles, gap = simulate(3)
    turned = np.arange(len(gap)) % 2 == 0
    swapped = battles._replace(
        first_N=np.where(turned, battles.second_N, battles.first_N),
        second_N=np.where(turned, battles.first_N, battles.second_N),
        outcome_N=np.where(turned, 1 - battles.outcome_N, battles.outcome_N),
    )
    one = controlled_bradley_terry(battles, {"length": gap}, n_boot=100)
    other = controlled_bradley_terry(swapped, {"length": np.where(turned, -gap, gap)}, n_boot=100)
    assert other.ranking.strengths == pytest.approx(one.ranking.strengths, abs=1e-8)
    assert other.coefficients["length"][:3] == pytest.approx(one.coefficients["length"][:3], abs=1e-6)


def test_what_cannot_be_told_apart_is_flagged() -> None:
    battles, _ = simulate(4)
    by_model = np.array([3.0, 1.0, 0.0, -2.0])  # each model always writes the same length
    gap = by_model[battles.first_N] - by_model[battles.second_N]
    assert not controlled_bradley_terry(battles, {"length": gap}).identified
    assert controlled_bradley_terry(battles, {"length": np.zeros(len(gap))}, n_boot=100).ranking.strengths == (
        pytest.approx(bradley_terry(battles).strengths, abs=1e-6)
    )


def test_a_model_that_never_loses_is_finite_and_flagged() -> None:
    task = np.arange(40)
    battles = BattleColumns(("a", "b"), np.zeros(40, int), np.ones(40, int), np.ones(40), None, task)
    found = controlled_bradley_terry(battles, {"length": np.linspace(-1, 1, 40)}, n_boot=100)
    assert found.ranking.separated
    assert np.isfinite(found.ranking.strengths).all()


def test_wrong_columns_are_refused() -> None:
    battles, gap = simulate(5, num_tasks=3)
    with pytest.raises(DataError, match="one value a battle"):
        controlled_bradley_terry(battles, {"length": gap[:-1]})
    with pytest.raises(DataError, match="battle 0: the outcome must be in"):
        bradley_terry(battles._replace(outcome_N=battles.outcome_N + 2))
    with pytest.raises(DataError, match="compared with itself"):
        bradley_terry(battles._replace(second_N=battles.first_N))
    with pytest.raises(DataError, match="equally long"):
        bradley_terry(battles._replace(task_N=np.zeros(2, int)))
