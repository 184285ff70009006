from __future__ import annotations

import math

import numpy as np
import pytest

from agora.core.dependent_correlation import correlation_difference
from agora.core.errors import DataError
from agora.core.stats import pearson


def sample(correlations: np.ndarray, n: int, seed: int = 0) -> np.ndarray:
    """Rows whose sample correlations are exactly these."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    x -= x.mean(axis=0)
    white = x @ np.linalg.inv(np.linalg.cholesky(x.T @ x / n)).T
    return white @ np.linalg.cholesky(correlations).T


def test_the_interval_of_the_published_example() -> None:
    # Zou 2007: r12 = .396, r13 = .179, r23 = .088, n = 66 gives -0.093 to 0.517
    rows = sample(np.array([[1, 0.088, 0.396], [0.088, 1, 0.179], [0.396, 0.179, 1]]), 66)
    found = correlation_difference(*rows.T)
    assert found[:3] == pytest.approx((0.217, -0.093, 0.517), abs=6e-4)
    assert (found.n, found.excludes(0)) == (66, False)


def test_swapping_the_two_measures_mirrors_the_interval() -> None:
    rows = sample(np.array([[1, 0.7, 0.9], [0.7, 1, 0.5], [0.9, 0.5, 1]]), 20)
    one, other = correlation_difference(*rows.T), correlation_difference(rows[:, 1], rows[:, 0], rows[:, 2])
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))
    assert one.estimate == pytest.approx(
        pearson(rows[:, 0], rows[:, 2]).estimate - pearson(rows[:, 1], rows[:, 2]).estimate
    )


def test_it_covers_the_true_difference_at_its_rate() -> None:
    truth = np.array([[1, 0.8, 0.9], [0.8, 1, 0.8], [0.9, 0.8, 1]])
    root, covered = np.linalg.cholesky(truth), 0
    for seed in range(400):
        rows = np.random.default_rng(seed).normal(size=(14, 3)) @ root.T
        found = correlation_difference(*rows.T)
        covered += found.low <= 0.1 <= found.high
    assert 0.92 <= covered / 400 <= 0.985


def test_missing_values_are_dropped_and_too_few_rows_have_no_bounds() -> None:
    found = correlation_difference([1, 2, None, 4], [2, 1, 3, 5], [1, 2, 3, math.nan])
    assert (found.n, found.dropped) == (2, 2)
    assert math.isnan(found.low)
    assert math.isnan(correlation_difference([1, 1, 1, 1, 1], [2, 1, 3, 5, 4], [1, 2, 3, 4, 5]).estimate)
    with pytest.raises(DataError):
        correlation_difference([1], [1, 2], [1])
