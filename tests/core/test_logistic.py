from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from agora.core.logistic import fit_logistic, sigmoid
from tests.examples import examples


def rows(seed: int, n: int = 200) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(n), rng.normal(size=(n, 2))])
    return x, (rng.random(n) < sigmoid(x @ [0.3, 1.0, -0.7])).astype(float)


def test_coefficients_are_those_of_scikit_learn() -> None:
    x, y = rows(0)
    peer = LogisticRegression(C=1e8, fit_intercept=False, tol=1e-12, max_iter=1000).fit(x, y).coef_[0]
    assert fit_logistic(x, y).weights_F == pytest.approx(peer, abs=1e-4)


@given(st.integers(0, 1000))
@settings(max_examples=examples(20), deadline=None)
def test_a_weight_is_a_repeat_and_a_probability_is_a_mixture(seed: int) -> None:
    x, y = rows(seed, 60)
    soft = np.clip(0.2 + 0.6 * y, 0, 1)
    weight = np.random.default_rng(seed).integers(1, 4, size=60).astype(float)
    doubled = np.vstack([x, x]), np.concatenate([np.ones(60), np.zeros(60)])
    split = fit_logistic(*doubled, weight_N=np.concatenate([weight * soft, weight * (1 - soft)]))
    ours = fit_logistic(x, soft, weight_N=weight)
    assert ours.weights_F == pytest.approx(split.weights_F, abs=1e-6)
    assert not ours.separated


def test_perfect_separation_is_finite_and_flagged() -> None:
    x, _ = rows(1)
    found = fit_logistic(x, (x[:, 1] > 0).astype(float))
    assert np.isfinite(found.weights_F).all()
    assert found.separated
    always = fit_logistic(np.ones((5, 1)), np.ones(5))
    assert always.separated and np.isfinite(always.weights_F).all()


def test_a_column_of_zeros_has_no_effect() -> None:
    x, y = rows(2)
    with_zeros = fit_logistic(np.column_stack([x, np.zeros(len(x))]), y)
    assert with_zeros.weights_F[:3] == pytest.approx(fit_logistic(x, y).weights_F, abs=1e-8)
    assert with_zeros.weights_F[3] == 0.0
