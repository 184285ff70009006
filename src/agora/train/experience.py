"""One rollout made ready for learning: scores, log-probabilities, values and advantages, computed once and kept.

Shapes: ``B`` responses in the order they were sampled (those of one prompt side by side), ``T`` response columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

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
from agora.train.batch import Group, micro_batches
from agora.train.logprobs import target_logprobs
from agora.train.online_config import OnlineConfig
from agora.train.online_objectives import ResponseTerms
from agora.train.reward_model import token_values
from agora.train.rewards import WeightedReward, score_responses
from agora.train.rollout import RolloutRecord, Sampled


@dataclass(frozen=True, slots=True)
class Experience:
    """A scored rollout. Responses without a score are left out of everything but the count."""

    sampled: tuple[Sampled, ...]
    groups: tuple[Group, ...]  # one a prompt
    terms: dict[str, ResponseTerms]  # by row id
    score: tuple[float, ...]
    parts: dict[str, list[float | None]]
    metrics: dict[str, float]
    temperature: float  # at which log-probabilities were taken

    def records(self, step: int, temperature: float) -> Iterator[RolloutRecord]:
        """What is stored of every response."""
        for i, (sample, score) in enumerate(zip(self.sampled, self.score, strict=True)):
            terms = self.terms[sample.row.id]
            n = sample.response.n_tokens
            yield RolloutRecord(
                sample.response.prompt_id,
                sample.sample_no,
                step,
                sample.seed,
                temperature,
                sample.response.text,
                "eos" if sample.response.finished else "length",
                tuple(sample.row.input_ids[-n:].tolist()),
                tuple(terms.old_logp.tolist()),
                tuple(terms.reference_logp.tolist()),
                tuple(terms.old_value.tolist()),
                score,
                {name: values[i] for name, values in self.parts.items()},
            )


def gather_experience(
    policy: Any,
    reference: Any,
    value_model: Any | None,
    sampled: Sequence[Sampled],
    rewards: Sequence[WeightedReward],
    config: OnlineConfig,
    *,
    kl_coef: float,
    share_prompts: bool = False,
) -> Experience:
    """Score a rollout and compute everything that stays fixed while it is learned from.

    Raises:
        AgoraError: too many responses could not be scored.
    """
    scores = score_responses(rewards, [s.response for s in sampled])
    kept = _whole_prompts(sampled, scores.total, config.num_generations)
    sampled = [sampled[i] for i in kept]
    parts = {name: [values[i] for i in kept] for name, values in scores.parts.items()}
    finished = np.asarray([s.response.finished for s in sampled])
    score_B = np.asarray([float(scores.total[i] or 0.0) for i in kept])
    if config.missing_eos_penalty is not None:
        score_B = np.where(finished, score_B, config.missing_eos_penalty)
    length_B = np.asarray([s.response.n_tokens for s in sampled])
    k = config.num_generations
    groups: list[Group] = [tuple(s.row for s in sampled[i : i + k]) for i in range(0, len(sampled), k)]
    temperature = config.temperature if config.logp_temperature == "sampling" else 1.0
    budget = config.train.token_budget
    old = _token_logprobs(policy, groups, length_B, temperature, budget, share_prompts)
    ref = _token_logprobs(reference, groups, length_B, temperature, budget, share_prompts)
    is_ppo = config.algorithm == "ppo"
    value = _token_outputs(value_model, groups, length_B, budget) if is_ppo else np.zeros_like(old)
    advantage, return_ = _advantages(old, ref, value, score_B, length_B, config, kl_coef)
    terms = {
        s.row.id: ResponseTerms(old[b, :n], ref[b, :n], advantage[b, :n], value[b, :n], return_[b, :n])
        for b, (s, n) in enumerate(zip(sampled, length_B.tolist(), strict=True))
    }
    metrics = _metrics(sampled, score_B, parts, old, ref, length_B)
    metrics["unscored"] = float(len(scores.total) - len(kept))
    if is_ppo and (explained := explained_variance(value, return_, length_B)) is not None:
        metrics["value/explained_variance"] = explained
    return Experience(tuple(sampled), tuple(groups), terms, tuple(score_B.tolist()), parts, metrics, temperature)


def _whole_prompts(sampled: Sequence[Sampled], total: Sequence[float | None], k: int) -> list[int]:
    """Indices of the responses of prompts that were scored completely; a group estimator needs all K."""
    return [
        i
        for start in range(0, len(sampled), k)
        if all(value is not None for value in total[start : start + k])
        for i in range(start, start + k)
    ]


def _advantages(
    old: np.ndarray,
    ref: np.ndarray,
    value: np.ndarray,
    score_B: np.ndarray,
    length_B: np.ndarray,
    config: OnlineConfig,
    kl_coef: float,
) -> tuple[np.ndarray, np.ndarray]:
    """(advantages, returns), both [B, T]."""
    if config.algorithm == "ppo":
        rewards = shaped_rewards(old, ref, score_B, length_B, kl_coef=kl_coef, estimator=config.kl_estimator)
        if config.whiten_rewards:
            rewards = whiten(rewards, length_B, shift_mean=False)
        found = gae(rewards, value, length_B, gamma=config.gamma, lam=config.lam)
        return whiten(found.advantage_BT, length_B), found.return_BT
    mask = token_mask(length_B, old.shape[1])
    if config.algorithm == "rloo":
        kl_B = np.where(mask, kl_estimate(old, ref, config.kl_estimator), 0.0).sum(axis=1)
        group_PK = rloo_advantages((score_B - kl_coef * kl_B).reshape(-1, config.num_generations))
    else:
        group_PK = grpo_advantages(score_B.reshape(-1, config.num_generations), scale=config.scale_rewards)
    advantage = np.where(mask, group_PK.reshape(-1, 1), 0.0)
    return advantage, np.zeros_like(advantage)


def _token_logprobs(
    model: Any, groups: Sequence[Group], length_B: np.ndarray, temperature: float, budget: int, share: bool
) -> np.ndarray:
    return _per_token(
        groups, length_B, budget, model, lambda batch: target_logprobs(model, batch, temperature=temperature), share
    )


def _token_outputs(model: Any, groups: Sequence[Group], length_B: np.ndarray, budget: int) -> np.ndarray:
    return _per_token(groups, length_B, budget, model, lambda batch: token_values(model, batch), False)


def _per_token(
    groups: Sequence[Group], length_B: np.ndarray, budget: int, model: Any, compute: Any, share: bool
) -> np.ndarray:
    """What ``compute`` gives for every target token, back in the order of the responses: float64 [B, T]."""
    import torch

    out = np.zeros((len(length_B), int(length_B.max())))
    first = np.cumsum([0, *(len(group) for group in groups)])
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        for indices, batch in micro_batches(groups, budget, share_prompts=share, device=device):
            places = np.concatenate([np.arange(first[i], first[i + 1]) for i in indices])
            sequence_N = batch.sequence_N.cpu().numpy()
            column_N = np.concatenate([np.arange(n) for n in np.bincount(sequence_N, minlength=len(places))])
            out[places[sequence_N], column_N] = compute(batch).double().cpu().numpy()
    return out


def _metrics(
    sampled: Sequence[Sampled],
    score_B: np.ndarray,
    parts: dict[str, list[float | None]],
    old: np.ndarray,
    ref: np.ndarray,
    length_B: np.ndarray,
) -> dict[str, float]:
    """Means over responses; KL is summed over a response's tokens (nats a response)."""
    mask = token_mask(length_B, old.shape[1])
    k1_B = np.where(mask, kl_estimate(old, ref, "k1"), 0.0).sum(axis=1)
    k3_B = np.where(mask, kl_estimate(old, ref, "k3"), 0.0).sum(axis=1)
    found = {
        "samples": float(len(sampled)),
        "tokens": float(sum(len(s.row) for s in sampled)),
        "response_tokens": float(length_B.mean()),
        "eos_rate": float(np.mean([s.response.finished for s in sampled])),
        "score": float(score_B.mean()),
        "score_std": float(score_B.std()),
        "kl/k1": float(k1_B.mean()),
        "kl/k1_standard_error": float(k1_B.std(ddof=1) / np.sqrt(len(k1_B))) if len(k1_B) > 1 else 0.0,
        "kl/k3": float(k3_B.mean()),
        "entropy": float(-old[mask].mean()),  # of the sampled tokens: an unbiased estimate
    }
    found.update(
        {f"reward/{name}": float(np.mean([v for v in values if v is not None])) for name, values in parts.items()}
    )
    if score_B.std() > 0 and length_B.std() > 0:
        found["score_length_correlation"] = float(np.corrcoef(score_B, length_B)[0, 1])
    return found
