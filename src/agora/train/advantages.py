"""From scores of sampled responses to advantages: KL penalties, GAE, whitening, and the critic-free estimators.

Everything is float64 numpy on padded arrays: ``B`` responses, ``T`` columns; row ``b`` has ``length_B[b]`` real tokens
and what lies beyond is ignored on input and 0 on output. Formulas: Ivison et al. 2024 (arXiv:2406.09279) and its
reference implementation for PPO, Ahmadian et al. 2024 for RLOO, Shao et al. 2024 for GRPO.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from agora.core.errors import ConfigError

KlEstimator = Literal["k1", "k2", "k3"]
GroupScale = Literal["std", "none"]
_GROUP_EPS = 1e-4


def token_mask(length_B: np.ndarray, width: int) -> np.ndarray:
    """True at real tokens: bool [B, T]."""
    mask: np.ndarray = np.arange(width)[None, :] < np.asarray(length_B)[:, None]
    return mask


def kl_estimate(logp: np.ndarray, reference: np.ndarray, estimator: KlEstimator = "k1") -> np.ndarray:
    """Per-token estimate of KL(policy || reference) on the policy's own samples, nats (Schulman 2020).

    ``k1`` = log ratio (unbiased, may be negative), ``k2`` = its square over 2, ``k3`` = exp(-k1) - 1 + k1 (unbiased,
    never negative).
    """
    k1: np.ndarray = np.asarray(logp, dtype=np.float64) - reference
    found: dict[str, np.ndarray] = {"k1": k1, "k2": k1**2 / 2, "k3": np.expm1(-k1) + k1}
    if estimator in found:
        return found[estimator]
    raise ConfigError(f"unknown KL estimator {estimator!r}", hint="k1, k2 or k3")


def shaped_rewards(
    logp_BT: np.ndarray,
    reference_BT: np.ndarray,
    score_B: np.ndarray,
    length_B: np.ndarray,
    *,
    kl_coef: float,
    estimator: KlEstimator = "k1",
) -> np.ndarray:
    """Reward per token: -kl_coef * KL at every token, and the score at the last real one."""
    mask = token_mask(length_B, logp_BT.shape[1])
    rewards = np.where(mask, -kl_coef * kl_estimate(logp_BT, reference_BT, estimator), 0.0)
    rewards[np.arange(len(score_B)), np.asarray(length_B) - 1] += score_B
    return rewards


class Advantages(NamedTuple):
    """Generalized advantage estimates and the returns that values are regressed on; both [B, T]."""

    advantage_BT: np.ndarray
    return_BT: np.ndarray


def gae(
    reward_BT: np.ndarray, value_BT: np.ndarray, length_B: np.ndarray, *, gamma: float = 1.0, lam: float = 0.95
) -> Advantages:
    """Generalized advantage estimation (Schulman et al. 2016): delta_t = r_t + gamma V_{t+1} - V_t, A_t = delta_t +
    gamma lambda A_{t+1}; beyond the end of a response V = A = 0. O(B T).
    """
    mask = token_mask(length_B, reward_BT.shape[1])
    reward = np.where(mask, reward_BT, 0.0)
    value = np.where(mask, value_BT, 0.0)
    advantage = np.zeros_like(reward)
    next_value = next_advantage = np.zeros(len(reward))
    for t in range(reward.shape[1] - 1, -1, -1):
        delta = reward[:, t] + gamma * next_value - value[:, t]
        next_advantage = np.where(mask[:, t], delta + gamma * lam * next_advantage, 0.0)
        next_value = value[:, t]
        advantage[:, t] = next_advantage
    return Advantages(advantage, np.where(mask, advantage + value, 0.0))


def whiten(value_BT: np.ndarray, length_B: np.ndarray, *, eps: float = 1e-6, shift_mean: bool = True) -> np.ndarray:
    """Scale real entries to unit (unbiased) variance and, with ``shift_mean``, zero mean.

    Fewer than two entries, or entries that are all the same, give zeros instead of NaN (the mean is kept when it is not
    to be shifted).
    """
    mask = token_mask(length_B, value_BT.shape[1])
    entries = np.asarray(value_BT, dtype=np.float64)[mask]
    mean = entries.mean() if len(entries) else 0.0
    variance = entries.var(ddof=1) if len(entries) > 1 else 0.0
    # rounding alone must not be blown up to unit variance
    is_flat = variance <= (1e-12 * max(1.0, abs(mean))) ** 2
    white = np.zeros_like(entries) if is_flat else (entries - mean) / np.sqrt(variance + eps)
    out = np.zeros(value_BT.shape)
    out[mask] = white if shift_mean else white + mean
    return out


def rloo_advantages(score_PK: np.ndarray) -> np.ndarray:
    """Leave-one-out: each of a prompt's K scores minus the mean of the other K - 1. [P, K] -> [P, K]."""
    k = score_PK.shape[1]
    if k < 2:
        raise ConfigError(f"RLOO needs at least 2 responses a prompt, got {k}", hint="set num_generations")
    scores = np.asarray(score_PK, dtype=np.float64)
    advantages: np.ndarray = scores - (scores.sum(axis=1, keepdims=True) - scores) / (k - 1)
    return advantages


def grpo_advantages(score_PK: np.ndarray, *, scale: GroupScale = "std") -> np.ndarray:
    """Group-relative: (score - mean) / (unbiased std + 1e-4) within each prompt; ``none`` leaves out the division."""
    if score_PK.shape[1] < 2:
        raise ConfigError(
            f"GRPO needs at least 2 responses a prompt, got {score_PK.shape[1]}", hint="set num_generations"
        )
    scores = np.asarray(score_PK, dtype=np.float64)
    centered: np.ndarray = scores - scores.mean(axis=1, keepdims=True)
    if scale == "none":
        return centered
    scaled: np.ndarray = centered / (scores.std(axis=1, ddof=1, keepdims=True) + _GROUP_EPS)
    return scaled


def explained_variance(value_BT: np.ndarray, return_BT: np.ndarray, length_B: np.ndarray) -> float | None:
    """1 - Var(return - value) / Var(return) over real tokens, at most 1; None when the returns are all the same."""
    mask = token_mask(length_B, value_BT.shape[1])
    variance = float(np.var(return_BT[mask]))
    if variance <= 1e-12:
        return None
    return 1.0 - float(np.var(return_BT[mask] - value_BT[mask])) / variance
