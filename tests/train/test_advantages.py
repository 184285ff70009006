"""Advantages against slow, direct formulas on random inputs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.errors import ConfigError
from agora.train.advantages import (
    explained_variance,
    gae,
    grpo_advantages,
    kl_estimate,
    rloo_advantages,
    shaped_rewards,
    token_mask,
    whiten,
)
from tests.examples import examples


def _case(seed: int, rows: int, width: int) -> tuple[np.random.Generator, np.ndarray]:
    rng = np.random.default_rng(seed)
    length = rng.integers(1, width + 1, rows)
    length[0] = width
    return rng, length


@settings(max_examples=examples(1000), deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(1, 9), st.floats(0, 1), st.floats(0, 1))
def test_gae_equals_the_direct_double_sum(seed: int, rows: int, width: int, gamma: float, lam: float) -> None:
    rng, length = _case(seed, rows, width)
    reward, value = rng.normal(size=(2, rows, width))
    found = gae(reward, value, length, gamma=gamma, lam=lam)
    for b in range(rows):
        n = int(length[b])
        v = [*value[b, :n], 0.0]
        deltas = [reward[b, t] + gamma * v[t + 1] - v[t] for t in range(n)]
        for t in range(n):
            direct = sum((gamma * lam) ** (s - t) * deltas[s] for s in range(t, n))
            assert found.advantage_BT[b, t] == pytest.approx(direct, abs=1e-10)
            assert found.return_BT[b, t] == pytest.approx(direct + v[t], abs=1e-10)
        assert not found.advantage_BT[b, n:].any() and not found.return_BT[b, n:].any()


@settings(max_examples=examples(200), deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 8))
def test_whitening_gives_zero_mean_and_unit_variance_over_real_tokens_alone(seed: int, rows: int, width: int) -> None:
    rng, length = _case(seed, rows, width)
    values = rng.normal(3, 5, (rows, width))
    mask = token_mask(length, width)
    white = whiten(values, length)
    noisy = np.where(mask, values, 1e9)  # what lies beyond the end must not matter
    assert np.array_equal(white, whiten(noisy, length))
    entries = [values[b, t] for b in range(rows) for t in range(int(length[b]))]
    if len(entries) < 2:
        assert not white.any()
        return
    mean = sum(entries) / len(entries)
    variance = sum((e - mean) ** 2 for e in entries) / (len(entries) - 1)
    for b in range(rows):
        for t in range(int(length[b])):
            assert white[b, t] == pytest.approx((values[b, t] - mean) / (variance + 1e-6) ** 0.5, abs=1e-9)
    kept = whiten(values, length, shift_mean=False)
    assert kept[mask].mean() == pytest.approx(mean, abs=1e-9)


@pytest.mark.parametrize("value", [0.0, 2.5, -1e6, 0.1])
def test_whitening_equal_values_gives_zeros_and_never_nan(value: float) -> None:
    flat = np.full((3, 4), value)
    assert np.array_equal(whiten(flat, np.asarray([4, 2, 1])), np.zeros((3, 4)))


@settings(max_examples=examples(100), deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(1, 7))
def test_shaped_rewards_add_up_to_the_score_minus_the_penalty(seed: int, rows: int, width: int) -> None:
    rng, length = _case(seed, rows, width)
    logp, ref = rng.normal(size=(2, rows, width))
    score = rng.normal(size=rows)
    rewards = shaped_rewards(logp, ref, score, length, kl_coef=0.3)
    for b in range(rows):
        n = int(length[b])
        for t in range(n):
            expected = -0.3 * (logp[b, t] - ref[b, t]) + (score[b] if t == n - 1 else 0.0)
            assert rewards[b, t] == pytest.approx(expected, abs=1e-12)
        assert not rewards[b, n:].any()


def test_kl_estimators_agree_in_the_mean_on_samples_of_the_policy() -> None:
    rng = np.random.default_rng(0)
    p, q = np.asarray([0.5, 0.3, 0.2]), np.asarray([0.4, 0.4, 0.2])
    drawn = rng.choice(3, size=400_000, p=p)
    true = float((p * np.log(p / q)).sum())
    assert kl_estimate(np.log(p[drawn]), np.log(q[drawn]), "k1").mean() == pytest.approx(true, abs=2e-3)
    k3 = kl_estimate(np.log(p[drawn]), np.log(q[drawn]), "k3")
    assert k3.mean() == pytest.approx(true, abs=2e-3) and k3.min() >= 0


@settings(max_examples=examples(100), deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 4), st.integers(2, 6))
def test_group_advantages_sum_to_zero_and_rloo_leaves_one_out(seed: int, prompts: int, k: int) -> None:
    scores = np.random.default_rng(seed).normal(size=(prompts, k))
    rloo = rloo_advantages(scores)
    for p in range(prompts):
        for i in range(k):
            others = [scores[p, j] for j in range(k) if j != i]
            assert rloo[p, i] == pytest.approx(scores[p, i] - sum(others) / len(others), abs=1e-10)
    assert np.allclose(grpo_advantages(scores).sum(axis=1), 0, atol=1e-9)


def test_one_response_a_prompt_is_refused_by_group_estimators() -> None:
    for estimator in (rloo_advantages, grpo_advantages):
        with pytest.raises(ConfigError, match="at least 2 responses"):
            estimator(np.zeros((3, 1)))


def test_explained_variance_is_one_for_a_perfect_value_model_and_missing_for_flat_returns() -> None:
    returns, length = np.random.default_rng(0).normal(size=(3, 4)), np.asarray([4, 3, 1])
    assert explained_variance(returns, returns, length) == 1.0
    assert explained_variance(np.zeros((3, 4)), returns, length) == pytest.approx(0.0)
    assert explained_variance(returns, np.ones((3, 4)), length) is None
