"""The one step loop: fetch groups, split into micro-batches, forward, backward, clip, step, log, checkpoint.

Which rows a step sees is a pure function of (seed, epoch, step), so the step number is the whole data cursor and a run
resumed from a checkpoint ends with the same weights as an unbroken one (bit for bit on CPU).
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from agora.core.errors import AgoraError, DataError
from agora.train.batch import Group, collate, plan_micro_batches
from agora.train.checkpoint import Checkpoints
from agora.train.config import TrainConfig
from agora.train.objectives import Objective
from agora.train.optim import build_optimizers, learning_rate

OnStep = Callable[["StepLog"], None]
MAX_BAD_STEPS = 3  # non-finite steps in a row before the run stops


@dataclass(frozen=True, slots=True)
class StepLog:
    """What one optimizer step did."""

    step: int  # 1-based
    total_steps: int
    loss: float
    learning_rate: float
    grad_norm: float
    tokens: int  # real tokens of the step
    seconds: float
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrainResult:
    """Summary of a finished training."""

    steps: int
    tokens: int
    target_tokens: int
    final_loss: float
    seconds: float
    log: tuple[dict[str, Any], ...]


def num_steps(n_groups: int, config: TrainConfig) -> int:
    """Optimizer steps of a run; the last batch of an epoch may be smaller, none is dropped."""
    per_epoch = math.ceil(n_groups / config.batch_size)
    return max(1, round(per_epoch * config.epochs))


def groups_of_step(n_groups: int, config: TrainConfig, step: int) -> list[int]:
    """Indices of the groups that 0-based ``step`` trains on."""
    per_epoch = math.ceil(n_groups / config.batch_size)
    epoch, within = divmod(step, per_epoch)
    order = np.random.default_rng([config.seed, epoch]).permutation(n_groups)
    return [int(i) for i in order[within * config.batch_size : (within + 1) * config.batch_size]]


def train(
    model: Any,
    groups: Sequence[Group],
    objective: Objective,
    config: TrainConfig,
    *,
    checkpoint_dir: Path | None = None,
    on_step: OnStep | None = None,
) -> TrainResult:
    """Train ``model`` in place.

    Args:
        model: a `transformers` causal language model, fp32 weights, already on its device.
        groups: rows as the objective wants them: (row,) for SFT, (chosen, rejected) for DPO.
        objective: the loss.
        config: how to step.
        checkpoint_dir: where to keep checkpoints; an existing one is resumed exactly.
        on_step: called after each optimizer step.

    Raises:
        DataError: nothing to train on.
        AgoraError: the loss or gradient was not finite three steps in a row.
    """
    import torch

    if not groups or not any(row.n_targets for group in groups for row in group):
        raise DataError(f"nothing to train on: {len(groups)} rows with targets", hint="check the filters' funnel")
    total_steps = num_steps(len(groups), config)
    optimizers = build_optimizers(model, config)
    torch.manual_seed(config.seed)
    checkpoints = Checkpoints(checkpoint_dir, config, groups, objective.name) if checkpoint_dir else None
    first, log = checkpoints.load(model, optimizers) if checkpoints else (0, [])
    model.train()
    started = last_saved = time.monotonic()
    bad_steps = 0
    for step in range(first, total_steps):
        rate = learning_rate(config, step, total_steps)
        chosen = [groups[i] for i in groups_of_step(len(groups), config, step)]
        entry = _step(model, optimizers, chosen, objective, config, rate, step, total_steps)
        bad_steps = 0 if math.isfinite(entry.loss) and math.isfinite(entry.grad_norm) else bad_steps + 1
        if bad_steps >= MAX_BAD_STEPS:
            raise AgoraError(
                f"loss or gradient was not finite in {bad_steps} steps in a row, the last at step {step + 1}",
                hint="lower the learning rate; the last good checkpoint is intact",
            )
        log.append(_log_row(entry))
        if on_step:
            on_step(entry)
        if checkpoints and bad_steps == 0 and time.monotonic() - last_saved > config.checkpoint_every_s:
            checkpoints.save(model, optimizers, step + 1, log)
            last_saved = time.monotonic()
    model.eval()
    tokens = sum(row["tokens"] for row in log)
    targets = sum(
        row.n_targets for s in range(total_steps) for i in groups_of_step(len(groups), config, s) for row in groups[i]
    )
    losses = [row["loss"] for row in log[-max(1, len(log) // 20) :]]
    return TrainResult(total_steps, tokens, targets, float(np.mean(losses)), time.monotonic() - started, tuple(log))


def write_log(path: Path, result: TrainResult) -> None:
    """One JSON line per step, in the order of steps."""
    path.write_text("".join(json.dumps(row) + "\n" for row in result.log), encoding="utf-8")


def _step(
    model: Any,
    optimizers: list[Any],
    groups: Sequence[Group],
    objective: Objective,
    config: TrainConfig,
    rate: float,
    step: int,
    total_steps: int,
) -> StepLog:
    import torch

    started = time.monotonic()
    device = next(model.parameters()).device
    normalizer = objective.normalizer(groups)
    loss_sum = 0.0
    metrics: dict[str, float] = {}
    for optimizer in optimizers:
        optimizer.zero_grad(set_to_none=True)
    for indices in plan_micro_batches(groups, config.token_budget):
        micro = [groups[i] for i in indices]
        batch = collate([row for group in micro for row in group], device=device)
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=config.bf16):
            loss, sums = objective.loss_sum(model, batch, micro)
        torch.autograd.backward(loss / normalizer)
        loss_sum += float(loss.detach())
        for name, value in sums.items():
            metrics[name] = metrics.get(name, 0.0) + value
    grad_norm = float(torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm))
    if math.isfinite(grad_norm) and math.isfinite(loss_sum):
        for optimizer in optimizers:
            for parameter_group in optimizer.param_groups:
                parameter_group["lr"] = rate
            optimizer.step()
    return StepLog(
        step + 1,
        total_steps,
        loss_sum / normalizer,
        rate,
        grad_norm,
        sum(len(row) for group in groups for row in group),
        time.monotonic() - started,
        {name: value / len(groups) for name, value in metrics.items()},
    )


def _log_row(entry: StepLog) -> dict[str, Any]:
    """The part of a step's log that does not depend on the clock, so that resumed runs log the same."""
    return {
        "step": entry.step,
        "loss": entry.loss,
        "learning_rate": entry.learning_rate,
        "grad_norm": entry.grad_norm,
        "tokens": entry.tokens,
        **entry.metrics,
    }
