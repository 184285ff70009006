"""Training on a policy's own samples: sample, score, turn scores into advantages, take clipped steps. PPO, RLOO, GRPO.

Per step as in Ivison et al. 2024 (arXiv:2406.09279) and its reference implementation, with one difference: old
log-probabilities and values are computed once per rollout and kept for all inner mini-batches, so that the clip acts
(the reference recomputes them inside each mini-batch, where the ratio is always 1).
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from agora.core.errors import ConfigError
from agora.core.schemas import to_row
from agora.core.tables import write_jsonl
from agora.engines.hf import HfEngine
from agora.train.alarms import Alarms
from agora.train.batch import Group
from agora.train.checkpoint import Checkpoints, rows_digest
from agora.train.experience import Experience, gather_experience, inner_groups, mini_batches
from agora.train.logprobs import can_share_prompts
from agora.train.loop import FREE_SETTINGS, MAX_BAD_STEPS, groups_of_step, not_finite, optimizer_step
from agora.train.models import recompute_activations
from agora.train.objectives import Objective
from agora.train.online_config import OnlineConfig
from agora.train.online_objectives import PolicyLoss, ValueLoss
from agora.train.optim import build_optimizers, learning_rate
from agora.train.rewards import WeightedReward
from agora.train.rollout import Prompt, sample_responses

OnOnlineStep = Callable[["OnlineStepLog"], None]


@dataclass(frozen=True, slots=True)
class OnlineStepLog:
    """What one rollout and its updates did. ``seconds`` holds the time of each part."""

    step: int  # 1-based
    total_steps: int
    metrics: dict[str, float]
    seconds: dict[str, float]


@dataclass(frozen=True, slots=True)
class OnlineResult:
    """Summary of a finished training."""

    steps: int
    samples: int
    tokens: int  # real tokens of all rollouts, prompts included
    response_tokens: int
    seconds: float
    alarms: tuple[str, ...]
    stopped: str | None  # why training ended before its last step
    log: tuple[dict[str, Any], ...]


@dataclass(slots=True)
class _Learner:
    """One model with its optimizers and its own learning rate."""

    model: Any
    config: Any
    optimizers: list[Any] = field(default_factory=list)
    bad_steps: int = 0


def num_rollouts(n_prompts: int, config: OnlineConfig) -> int:
    """Steps of a run: as configured, or as many as ``train.epochs`` passes over the prompts need."""
    if config.steps is not None:
        return config.steps
    return max(1, round(-(-n_prompts // config.prompts_per_step) * config.train.epochs))


def train_online(
    policy: Any,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    rewards: Sequence[WeightedReward],
    config: OnlineConfig,
    *,
    value_model: Any | None = None,
    reference: Any | None = None,
    checkpoint_dir: Path | None = None,
    rollout_dir: Path | None = None,
    on_step: OnOnlineStep | None = None,
) -> OnlineResult:
    """Train ``policy`` in place.

    Args:
        policy: a `transformers` causal language model in fp32.
        tokenizer: its tokenizer.
        prompts: from :func:`agora.train.rollout.encode_prompts`.
        rewards: what is maximized, as a weighted sum.
        config: how.
        value_model: from :mod:`agora.train.reward_model`, trained in place; needed by PPO alone.
        reference: what KL is measured against; by default a copy of the policy as it is now. For a policy with adapters
            give :meth:`agora.train.lora.Adapters.without`, which needs no memory.
        checkpoint_dir: where to keep checkpoints; an existing one is resumed exactly.
        rollout_dir: where every step's responses are stored, one file a step.
        on_step: called after each step.

    Raises:
        ConfigError: PPO without a value model.
        AgoraError: rewards failed, or loss or gradient was not finite three times in a row.
    """
    if config.algorithm == "ppo" and value_model is None:
        raise ConfigError("PPO needs a value model", hint="start it from the reward model, or use rloo or grpo")
    reference = copy.deepcopy(policy) if reference is None else reference
    reference.eval().requires_grad_(False)
    learners = _learners(policy, value_model, config)
    checkpoints = _checkpoints(checkpoint_dir, config, prompts, rewards)
    first, log, state = 0, [], {"kl_coef": config.kl_coef}
    models = {name: learner.model for name, learner in learners.items()}
    optimizers = {name: learner.optimizers for name, learner in learners.items()}
    if checkpoints and (found := checkpoints.load(models, optimizers)):
        first, log, state = found.step, found.log, found.state
    engine = HfEngine.from_model(policy, tokenizer)
    share = config.train.share_prompts and config.num_generations > 1 and can_share_prompts(policy)
    alarms, stopped = Alarms.replay(log, config), None
    total_steps = num_rollouts(len(prompts), config)
    started = last_saved = time.monotonic()
    for step in range(first, total_steps):
        clock = _Clock()
        chosen = groups_of_step(len(prompts), config.prompts_per_step, config.train.seed, step)
        for learner in learners.values():
            learner.model.eval()
        sampled = sample_responses(
            engine,
            [prompts[i] for i in chosen],
            num_generations=config.num_generations,
            temperature=config.temperature,
            max_tokens=config.response_length,
            seed=config.train.seed,
            step=step,
        )
        clock.lap("sampling")
        got = gather_experience(
            policy,
            reference,
            value_model,
            sampled,
            rewards,
            config,
            kl_coef=state["kl_coef"],
            step=step,
            share_prompts=share,
        )
        clock.lap("scoring")
        if rollout_dir is not None:
            _store(rollout_dir, step, got, config)
        row: dict[str, Any] = {"step": step + 1, **got.metrics, "kl_coef": state["kl_coef"]}
        if got.metrics["kl/k1"] > config.max_kl:
            stopped = (
                f"KL {got.metrics['kl/k1']:.1f} nats a response exceeds max_kl {config.max_kl:g} at step {step + 1}"
            )
            break
        row.update(_update(learners, got, config, step, total_steps, share))
        clock.lap("updating")
        state["kl_coef"] = _next_kl_coef(state["kl_coef"], got, config)
        log.append(row)
        alarms.add(row)
        if on_step:
            on_step(OnlineStepLog(step + 1, total_steps, {k: v for k, v in row.items() if k != "step"}, clock.laps))
        if checkpoints and time.monotonic() - last_saved > config.train.checkpoint_every_s:
            checkpoints.save(models, optimizers, step + 1, log, state)
            last_saved = time.monotonic()
    policy.eval()
    return OnlineResult(
        len(log),
        round(sum(row["samples"] for row in log)),
        round(sum(row["tokens"] for row in log)),
        round(sum(row["samples"] * row["response_tokens"] for row in log)),
        time.monotonic() - started,
        (*alarms.found(), *([stopped] if stopped else [])),
        stopped,
        tuple(log),
    )


def _learners(policy: Any, value_model: Any | None, config: OnlineConfig) -> dict[str, _Learner]:
    learners = {"policy": _Learner(policy, config.train)}
    if config.algorithm == "ppo":
        rate = config.value_learning_rate or config.train.learning_rate
        learners["value"] = _Learner(value_model, config.train.model_copy(update={"learning_rate": rate}))
    for learner in learners.values():
        if config.train.gradient_checkpointing:
            recompute_activations(learner.model)
        learner.optimizers = build_optimizers(learner.model, learner.config)
    return learners


def _update(
    learners: dict[str, _Learner], got: Experience, config: OnlineConfig, step: int, total_steps: int, share: bool
) -> dict[str, float]:
    """All inner mini-batches over one rollout; returns means of their metrics."""
    objectives: dict[str, Objective] = {
        "policy": PolicyLoss(
            got.terms,
            cliprange=config.cliprange,
            temperature=got.temperature,
            aggregation=config.aggregation,
            kl_weight=config.kl_coef if config.algorithm == "grpo" else 0.0,
            max_tokens=config.response_length,
            kept=got.kept.policy,
        ),
        "value": ValueLoss(
            got.terms, cliprange=config.cliprange_value, coefficient=config.vf_coef, kept=got.kept.value
        ),
    }
    sums: dict[str, float] = {}
    num_updates = 0
    groups = inner_groups(got.groups, share)
    for epoch in range(config.num_ppo_epochs):
        for chosen in mini_batches(len(groups), config, step, epoch, share):
            batch: list[Group] = [groups[i] for i in chosen]
            num_updates += 1
            for name, learner in learners.items():
                learner.model.train()
                rate = learning_rate(learner.config, step, total_steps)
                done = optimizer_step(
                    learner.model,
                    learner.optimizers,
                    batch,
                    objectives[name],
                    learner.config,
                    rate=rate,
                    share_prompts=share,
                )
                learner.bad_steps = 0 if done.is_finite else learner.bad_steps + 1
                if learner.bad_steps >= MAX_BAD_STEPS:
                    raise not_finite(learner.bad_steps, step + 1, batch)
                shown = {f"{name}/objective": done.loss, f"{name}/grad_norm": done.grad_norm, **done.metrics}
                for key, value in shown.items():
                    sums[key] = sums.get(key, 0.0) + value
    return {key: value / num_updates for key, value in sums.items()}


def _next_kl_coef(coefficient: float, got: Experience, config: OnlineConfig) -> float:
    """Proportional controller of Ziegler et al. 2019: at most a tenth more or less each step."""
    if config.kl_target is None:
        return coefficient
    error = float(np.clip(got.metrics["kl/k1"] / config.kl_target - 1, -0.2, 0.2))
    return coefficient * (1 + 0.5 * error)


def _checkpoints(
    folder: Path | None, config: OnlineConfig, prompts: Sequence[Prompt], rewards: Sequence[WeightedReward]
) -> Checkpoints | None:
    if folder is None:
        return None
    settings = config.model_dump(mode="json")
    for name in FREE_SETTINGS:
        settings["train"].pop(name)
    train = settings.pop("train")
    from agora.train.batch import EncodedSequence

    rows: list[Group] = [(EncodedSequence(p.id, p.ids, np.zeros(len(p.ids), np.uint8)),) for p in prompts]
    terms = [f"{term.reward.name} * {term.weight:g}" for term in rewards]
    return Checkpoints(folder, {**train, **settings, "prompts": rows_digest(rows), "rewards": terms})


def _store(folder: Path, step: int, got: Experience, config: OnlineConfig) -> None:
    """One file a step, written whole: a step that runs again after a kill writes the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    write_jsonl(
        folder / f"step-{step + 1:06d}.jsonl.gz", (to_row(r) for r in got.records(step + 1, config.temperature))
    )


class _Clock:
    """Seconds of each part of a step."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name] = now - self._last
        self._last = now
