from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agora.core.errors import DataError
from agora.rooms.preferences.calibration import BRIER_OF_CHANCE, LOG_LOSS_OF_CHANCE, calibration
from tests.rooms.preferences.rewards import bradley_terry_rows


def differences(n: int, *, scale: float = 1.0, seed: int = 0) -> list[float]:
    return [row.chosen - row.rejected for row in bradley_terry_rows(n, seed, scale=scale)]  # type: ignore[operator]


def test_labels_drawn_from_the_claimed_probabilities_are_calibrated() -> None:
    found = calibration(differences(10_000))
    assert found.error < 0.03
    assert found.temperature == pytest.approx(1.0, abs=0.08)
    for group in found.bins:
        assert group.accuracy.low - 0.03 < group.confidence < group.accuracy.high + 0.03  # type: ignore[operator]


@pytest.mark.parametrize("scale", [0.25, 4.0])
def test_the_temperature_undoes_a_scale(scale: float) -> None:
    plain, scaled = calibration(differences(3000)), calibration(differences(3000, scale=scale))
    assert scaled.temperature == pytest.approx(scale * plain.temperature)  # type: ignore[operator]
    assert scaled.error > 5 * plain.error
    assert scaled.log_loss.estimate > plain.log_loss.estimate


def test_a_scorer_that_knows_nothing_scores_as_chance() -> None:
    found = calibration([0.0] * 10)
    assert found.brier.estimate == BRIER_OF_CHANCE
    assert found.log_loss.estimate == pytest.approx(LOG_LOSS_OF_CHANCE)
    assert found.error == 0.0
    assert found.temperature is None


def test_values_by_hand() -> None:
    found = calibration([math.log(3), -math.log(3), math.log(3), math.log(19)], num_bins=5)
    assert found.brier.estimate == pytest.approx((0.25**2 + 0.75**2 + 0.25**2 + 0.05**2) / 4)
    assert found.log_loss.estimate == pytest.approx(-(2 * math.log(0.75) + math.log(0.25) + math.log(0.95)) / 4)
    assert [(b.n, b.confidence) for b in found.bins if b.n] == [(3, pytest.approx(0.75)), (1, pytest.approx(0.95))]
    assert found.error == pytest.approx((3 * abs(0.75 - 2 / 3) + 0.05) / 4)


@pytest.mark.parametrize("always", [[1.0, 2.0], [-1.0, -2.0], [1.0, -1.0]])
def test_no_finite_temperature_is_none(always: list[float]) -> None:
    assert calibration(always).temperature is None


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=40))
def test_the_temperature_has_the_least_log_loss(values: list[float]) -> None:
    found = calibration(values, n_boot=100)
    assert sum(b.n for b in found.bins) == found.n == len(values)
    assert 0 <= found.error <= 1
    if found.temperature is None:
        return
    diff = np.array(values)
    best = float(np.mean(np.logaddexp(0, -diff / found.temperature)))
    for factor in (0.9, 1.1):
        assert best <= float(np.mean(np.logaddexp(0, -diff / (factor * found.temperature)))) + 1e-12


def test_huge_differences_do_not_overflow() -> None:
    found = calibration([1e6, -1e6, 2e6])
    assert found.log_loss.estimate == pytest.approx(1e6 / 3)
    assert found.temperature is not None


def test_missing_differences_are_left_out() -> None:
    assert calibration([1.0, None, math.nan]).n == 1
    assert math.isnan(calibration([None]).error)


def test_wrong_use_is_refused() -> None:
    with pytest.raises(DataError, match="num_bins"):
        calibration([1.0], num_bins=0)
    with pytest.raises(DataError, match="infinite"):
        calibration([math.inf])
