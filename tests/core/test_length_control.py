from __future__ import annotations

import numpy as np
import pytest

from agora.core.length_control import GamedRows, is_extreme, length_controlled, scaled_gap
from agora.core.logistic import sigmoid


def study(seed: int, n: int = 400, taste: float = 0.0, strength: float = 0.5) -> tuple[np.ndarray, ...]:
    """Soft preferences that depend on the model's strength, the judge's taste for length and the task."""
    rng = np.random.default_rng(seed)
    ours, theirs = rng.integers(400, 3000, size=(2, n))
    difficulty = rng.normal(size=n)
    preference = sigmoid(strength + 0.8 * difficulty - taste * scaled_gap((theirs - ours).astype(float)))
    return (rng.random(n) < preference).astype(float), ours, theirs, difficulty


def test_swapping_model_and_baseline_mirrors_the_rate() -> None:
    y, ours, theirs, _ = study(0, taste=1.0)
    one, other = length_controlled(y, ours, theirs), length_controlled(1 - y, theirs, ours)
    assert one.rate is not None and other.rate is not None
    assert one.rate + other.rate == pytest.approx(100)
    assert one.length_weight == pytest.approx(other.length_weight)


def test_the_interval_covers_the_rate_of_the_same_study_without_a_taste() -> None:
    covered = 0
    for seed in range(100):
        found = length_controlled(*study(seed, taste=1.5))
        assert found.interval is not None
        truth = 100 * float(np.mean(sigmoid(0.5 + 0.8 * np.random.default_rng(9).normal(size=20_000))))
        covered += found.interval[0] <= truth <= found.interval[1]
    assert 90 <= covered <= 99


def test_the_standard_error_is_that_of_a_bootstrap() -> None:
    columns = study(3, taste=1.0)
    found = length_controlled(*columns)
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(300):
        rows = rng.integers(0, 400, size=400)
        draws.append(length_controlled(*(column[rows] for column in columns)).rate or 0.0)
    assert found.se == pytest.approx(np.std(draws), rel=0.15)


def test_gamed_rows_hold_the_length_term_against_a_strange_writer() -> None:
    y, _, theirs, _ = study(1, strength=0.0)
    ours = np.where(y > 0.5, 200, 6000)  # long exactly where it loses: the fit alone would call length a fault
    gamed = GamedRows(np.tanh(np.linspace(-2, 2, 805)), np.zeros(805), sigmoid(-1.5 * np.tanh(np.linspace(-2, 2, 805))))
    alone, held = length_controlled(y, ours, theirs), length_controlled(y, ours, theirs, gamed=gamed._replace(weight=2))
    assert (alone.length_weight is None) or (held.length_weight or 0) < alone.length_weight


def test_equal_gaps_leave_the_raw_rate() -> None:
    y = np.tile([1.0, 1.0, 0.0, 0.5], 10)
    found = length_controlled(y, np.full(40, 100), np.full(40, 300))
    assert found.rate == pytest.approx(100 * y.mean(), abs=1e-4)
    assert found.length_weight == 0.0


def test_all_ties_are_half() -> None:
    found = length_controlled([0.5] * 20, range(20), [5] * 20)  # type: ignore[arg-type]
    assert found.rate == pytest.approx(50)
    assert found.se == pytest.approx(0)


def test_the_warning_rule() -> None:
    assert not is_extreme(45, 50) and is_extreme(35, 50) and is_extreme(65, 50)
    assert not is_extreme(3, 4) and not is_extreme(99, 96)
