"""One rollout made ready for learning: scores, log-probabilities, values and advantages, computed once and kept.

Shapes: ``B`` responses in the order they were sampled (those of one prompt side by side), ``T`` response columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
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
from agora.train.batch import Batch, Group, micro_batches
from agora.train.logprobs import target_logprobs
from agora.train.online_config import OnlineConfig
from agora.train.online_objectives import ResponseTerms, row_ids
from agora.train.reward_model import token_values
from agora.train.rewards import WeightedReward, score_responses
from agora.train.rollout import RolloutRecord, Sampled


@dataclass(frozen=True, slots=True)
class KeptPasses:
    """Forward passes of scoring whose graphs the first inner step learns from, instead of passing through once more.

    Each maps the ids of a micro-batch's rows to what was computed at its targets, float [N] with gradient.
    """

    policy: dict[tuple[str, ...], Any] = field(default_factory=dict)
    value: dict[tuple[str, ...], Any] = field(default_factory=dict)


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
    kept: KeptPasses

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
    step: int = 0,
    share_prompts: bool = False,
) -> Experience:
    """Score a rollout and compute everything that stays fixed while it is learned from.

    Args:
        policy, reference, value_model: the models; the last for PPO alone.
        sampled: the responses, those of one prompt side by side.
        rewards: what is maximized.
        config: of the training.
        kl_coef: weight of the KL penalty in this rollout.
        step: 0-based number of the rollout, which decides how it is cut into mini-batches.
        share_prompts: compute a prompt once for all its responses.

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
    is_ppo = config.algorithm == "ppo"
    passes = KeptPasses()
    first: list[int] = []
    if _may_keep([policy, *([value_model] if is_ppo else [])], config):
        first = _first_inner_step(groups, config, step, share_prompts)
    scoring = _Scoring(groups, length_B, config, temperature, share_prompts)
    old = scoring.logprobs(policy, first, passes.policy)
    ref = scoring.logprobs(reference)
    value = scoring.values(value_model, first, passes.value) if is_ppo else np.zeros_like(old)
    advantage, return_ = _advantages(old, ref, value, score_B, length_B, config, kl_coef)
    terms = {
        s.row.id: ResponseTerms(old[b, :n], ref[b, :n], advantage[b, :n], value[b, :n], return_[b, :n])
        for b, (s, n) in enumerate(zip(sampled, length_B.tolist(), strict=True))
    }
    metrics = _metrics(sampled, score_B, parts, old, ref, length_B)
    metrics["unscored"] = float(len(scores.total) - len(kept))
    if is_ppo and (explained := explained_variance(value, return_, length_B)) is not None:
        metrics["value/explained_variance"] = explained
    return Experience(
        tuple(sampled), tuple(groups), terms, tuple(score_B.tolist()), parts, metrics, temperature, passes
    )


def mini_batches(n_groups: int, config: OnlineConfig, step: int, epoch: int, share_prompts: bool) -> list[list[int]]:
    """Which groups each inner step of one pass over a rollout takes, in an order that is new in each pass."""
    size = config.train.batch_size
    if share_prompts:
        size = max(1, size // config.num_generations)
    order = np.random.default_rng([config.train.seed, step, epoch]).permutation(n_groups).tolist()
    return [order[start : start + size] for start in range(0, n_groups, size)]


def inner_groups(groups: Sequence[Group], share_prompts: bool) -> list[Group]:
    """What inner steps are made of: responses, or all responses of a prompt where these share it."""
    return list(groups) if share_prompts else [(row,) for group in groups for row in group]


def _may_keep(models: Sequence[Any], config: OnlineConfig) -> bool:
    """Whether a pass in evaluation mode is what training would compute: no dropout, nothing recomputed."""
    import torch

    if config.train.gradient_checkpointing or config.train.optimizer != "adamw":
        return False
    return not any(
        (isinstance(module, torch.nn.Dropout) and module.p > 0) or getattr(module, "attention_dropout", 0.0)
        for model in models
        for module in model.modules()
    )


def _first_inner_step(groups: Sequence[Group], config: OnlineConfig, step: int, share_prompts: bool) -> list[int]:
    """The inner groups of the first inner step, where their graphs take no more memory than a micro-batch may."""
    inner = inner_groups(groups, share_prompts)
    first = mini_batches(len(inner), config, step, 0, share_prompts)[0] if inner else []
    num_models = 2 if config.algorithm == "ppo" else 1
    tokens = sum(len(row) for i in first for row in inner[i])
    return first if num_models * tokens <= config.train.token_budget else []


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


class _Scoring:
    """Passes over one rollout that give a number for every response token."""

    def __init__(
        self, groups: Sequence[Group], length_B: np.ndarray, config: OnlineConfig, temperature: float, share: bool
    ) -> None:
        self._groups = groups
        self._length_B = length_B
        self._config = config
        self._temperature = temperature
        self._share = share

    def logprobs(
        self, model: Any, first: Sequence[int] = (), kept: dict[tuple[str, ...], Any] | None = None
    ) -> np.ndarray:
        """Log-probability of every token under a model, float64 [B, T].

        Args:
            model: a policy.
            first: inner groups whose graphs are kept.
            kept: where to.
        """
        return self._per_token(
            model, lambda batch: target_logprobs(model, batch, temperature=self._temperature), first, kept
        )

    def values(
        self, model: Any, first: Sequence[int] = (), kept: dict[tuple[str, ...], Any] | None = None
    ) -> np.ndarray:
        """Value before every token, float64 [B, T]; arguments as of :meth:`logprobs`."""
        return self._per_token(model, lambda batch: token_values(model, batch), first, kept)

    def _per_token(
        self,
        model: Any,
        compute: Callable[[Batch], Any],
        first: Sequence[int],
        kept: dict[tuple[str, ...], Any] | None,
    ) -> np.ndarray:
        import torch

        out = np.zeros((len(self._length_B), int(self._length_B.max())))
        place = {row.id: i for i, row in enumerate(row for group in self._groups for row in group)}
        inner = inner_groups(self._groups, self._share)
        device = next(model.parameters()).device
        train = self._config.train
        model.eval()
        rest = [inner[i] for i in sorted(set(range(len(inner))) - set(first))]
        for own, learns in (([inner[i] for i in first], True), (rest if first else list(self._groups), False)):
            # inference tensors could not be learned from
            with torch.inference_mode(not learns), torch.autocast(device.type, torch.bfloat16, enabled=train.bf16):
                for _, batch in micro_batches(own, train.token_budget, share_prompts=self._share, device=device):
                    found = compute(batch)
                    if learns and kept is not None:
                        kept[row_ids(batch)] = found
                    _spread_out(out, batch, found.detach(), place)
        return out


def _spread_out(out: np.ndarray, batch: Batch, value_N: Any, place: Mapping[str, int]) -> None:
    """Put what was computed at a micro-batch's targets into its rows of ``out`` [B, T]."""
    sequence_N = batch.sequence_N.cpu().numpy()
    row_R = np.asarray([place[row.id] for row in batch.rows])
    column_N = np.concatenate([np.arange(n) for n in np.bincount(sequence_N, minlength=len(row_R))])
    out[row_R[sequence_N], column_N] = value_N.double().cpu().numpy()


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
