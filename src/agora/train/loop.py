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

from agora.core.errors import AgoraError, ConfigError, DataError
from agora.train.batch import Group
from agora.train.checkpoint import Checkpoints, rows_digest
from agora.train.config import TrainConfig
from agora.train.distributed import from_first, is_spread, shared_micro_batches, sums, world
from agora.train.logprobs import can_share_prompts
from agora.train.lora import describe_adapters
from agora.train.models import recompute_activations
from agora.train.objectives import Objective, StepTotals
from agora.train.optim import build_optimizers, learning_rate
from agora.train.sharded import ShardedCheckpoints

OnStep = Callable[["StepLog"], None]
# How often to save and how rows are batched do not change the result, so they may change between restarts.
FREE_SETTINGS = ("checkpoint_every_s", "token_budget", "share_prompts", "gradient_checkpointing")
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
    skipped: tuple[str, ...] = ()  # ids of the rows of a step that was not finite and changed nothing


@dataclass(frozen=True, slots=True)
class TrainResult:
    """Summary of a finished training."""

    steps: int
    tokens: int
    target_tokens: int
    final_loss: float
    seconds: float
    log: tuple[dict[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Stepped:
    """What a step came to."""

    loss: float
    grad_norm: float
    metrics: dict[str, float]

    @property
    def is_finite(self) -> bool:
        """False when the step changed nothing because its loss or gradient was not finite."""
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)


def num_steps(n_groups: int, config: TrainConfig) -> int:
    """Optimizer steps of a run; the last batch of an epoch may be smaller, none is dropped."""
    per_epoch = math.ceil(n_groups / config.batch_size)
    return max(1, round(per_epoch * config.epochs))


def groups_of_step(n_groups: int, batch_size: int, seed: int, step: int) -> list[int]:
    """Indices of the groups that 0-based ``step`` takes, in an order that is new in each epoch."""
    per_epoch = math.ceil(n_groups / batch_size)
    epoch, within = divmod(step, per_epoch)
    order = np.random.default_rng([seed, epoch]).permutation(n_groups)
    return [int(i) for i in order[within * batch_size : (within + 1) * batch_size]]


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
        model: a `transformers` causal language model (a reward model for RewardLoss), fp32 weights, on its device.
        groups: rows as the objective wants them: (row,) for SFT, (chosen, rejected) for DPO and rewards.
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
    if is_spread(model):
        _refuse_unspreadable(objective, config)
    total_steps = num_steps(len(groups), config)
    if config.gradient_checkpointing:
        recompute_activations(model)
    optimizers = build_optimizers(model, config)
    torch.manual_seed(config.seed + world().rank)  # dropout differs between processes as it does between rows
    checkpoints = _checkpoints(checkpoint_dir, model, config, groups, objective)
    first, log = 0, []
    if checkpoints and (found := checkpoints.load({"model": model}, {"model": optimizers})):
        first, log = found.step, found.log
        objective.load_state(found.state)
    share = config.share_prompts and len(groups[0]) > 1 and can_share_prompts(model)
    model.train()
    started = last_saved = time.monotonic()
    bad_steps = 0
    for step in range(first, total_steps):
        step_started = time.monotonic()
        rate = learning_rate(config, step, total_steps)
        chosen = [groups[i] for i in groups_of_step(len(groups), config.batch_size, config.seed, step)]
        done = optimizer_step(model, optimizers, chosen, objective, config, rate=rate, share_prompts=share)
        bad_steps = 0 if done.is_finite else bad_steps + 1
        if bad_steps >= MAX_BAD_STEPS:
            raise not_finite(bad_steps, step + 1, chosen)
        entry = StepLog(
            step + 1,
            total_steps,
            done.loss,
            rate,
            done.grad_norm,
            sum(len(row) for group in chosen for row in group),
            time.monotonic() - step_started,
            done.metrics,
            () if done.is_finite else tuple(group[0].id for group in chosen),
        )
        log.append(_log_row(entry))
        if on_step:
            on_step(entry)
        due = time.monotonic() - last_saved > config.checkpoint_every_s
        if checkpoints and bad_steps == 0 and from_first(due):
            checkpoints.save({"model": model}, {"model": optimizers}, step + 1, log, objective.state())
            last_saved = time.monotonic()
    model.eval()
    tokens = sum(row["tokens"] for row in log)
    targets = sum(
        row.n_targets
        for s in range(total_steps)
        for i in groups_of_step(len(groups), config.batch_size, config.seed, s)
        for row in groups[i]
    )
    losses = [row["loss"] for row in log[-max(1, len(log) // 20) :]]
    return TrainResult(total_steps, tokens, targets, float(np.mean(losses)), time.monotonic() - started, tuple(log))


def optimizer_step(
    model: Any,
    optimizers: Sequence[Any],
    groups: Sequence[Group],
    objective: Objective,
    config: TrainConfig,
    *,
    rate: float,
    share_prompts: bool = False,
) -> Stepped:
    """One optimizer step on these groups; nothing changes when loss or gradient is not finite.

    When the accelerator's memory runs out, the step starts again with half the tokens a micro-batch, which leaves the
    result as it is because sums are divided by totals of the whole step.

    Args:
        rate: the learning rate of this step.
        share_prompts: see :func:`agora.train.batch.micro_batches`.

    Raises:
        AgoraError: a single group does not fit into memory.
    """
    import torch

    budget = None if objective.whole_step else config.token_budget
    one_process = world().size == 1
    while True:
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        try:
            loss, metrics = _accumulate(model, groups, objective, config, budget, share_prompts)
            break
        except torch.OutOfMemoryError as error:
            longest = max(max(map(len, group)) * len(group) for group in groups)
            if not one_process:  # the others are in the middle of a pass that needs this process
                raise AgoraError("memory ran out", hint="lower train.token_budget or recompute activations") from error
            if budget is None or budget <= longest:
                raise AgoraError(
                    f"one group of {longest} tokens does not fit into memory",
                    hint="lower max_tokens, use LoRA or gradient checkpointing, or take a larger accelerator",
                ) from error
            budget //= 2
    grad_norm = _clip(model, config.max_grad_norm)
    if math.isfinite(grad_norm) and math.isfinite(loss):
        for optimizer in optimizers:
            for parameter_group in optimizer.param_groups:
                parameter_group["lr"] = rate
            optimizer.step()
    objective.end_step()
    return Stepped(loss, grad_norm, metrics)


def not_finite(bad_steps: int, step: int, groups: Sequence[Group]) -> AgoraError:
    """The error of a run whose loss or gradient was not finite too often."""
    ids = ", ".join(group[0].id for group in groups[:3])
    return AgoraError(
        f"loss or gradient was not finite in {bad_steps} steps in a row, the last at step {step} (rows {ids}, ...)",
        hint="lower the learning rate or look at these rows; the last good checkpoint is intact",
    )


def write_log(path: Path, result: TrainResult) -> None:
    """One JSON line per step, in the order of steps."""
    path.write_text("".join(json.dumps(row) + "\n" for row in result.log), encoding="utf-8")


def _accumulate(
    model: Any, groups: Sequence[Group], objective: Objective, config: TrainConfig, budget: int | None, share: bool
) -> tuple[float, dict[str, float]]:
    """Forward and backward over all micro-batches; gradients add up in the parameters."""
    import torch

    device = next(model.parameters()).device
    totals = StepTotals.of(groups)
    size = world().size
    found: dict[str, float] = {}
    for own, batch, weight in shared_micro_batches(groups, budget, share_prompts=share, device=device):
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=config.bf16):
            loss, metrics = objective.loss(model, batch, own, totals)
        # gradients of several processes are averaged, but it is their sum that belongs to the step
        torch.autograd.backward(loss if size == 1 else loss * (weight * size))
        for name, value in {"loss": float(loss.detach()), **metrics}.items():
            found[name] = found.get(name, 0.0) + weight * value
    found = sums(found)
    return found.pop("loss"), found


def _clip(model: Any, max_norm: float) -> float:
    """Scale gradients down to a norm, taken over all parameters of all processes; returns the norm before."""
    from torch.nn.utils import clip_grads_with_norm_, get_total_norm

    parameters = [p for p in model.parameters() if p.grad is not None]
    norm = get_total_norm([p.grad for p in parameters])
    norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
    clip_grads_with_norm_(parameters, max_norm, norm)
    return float(norm)


def _checkpoints(
    folder: Path | None, model: Any, config: TrainConfig, groups: Sequence[Group], objective: Objective
) -> Checkpoints | None:
    if folder is None:
        return None
    settings = config.model_dump(exclude=set(FREE_SETTINGS))
    adapters = describe_adapters(model)
    fingerprint = {**settings, "objective": objective.name, "rows": rows_digest(groups), "adapters": adapters}
    return (ShardedCheckpoints if is_spread(model) else Checkpoints)(folder, fingerprint)


def _refuse_unspreadable(objective: Objective, config: TrainConfig) -> None:
    """What several processes cannot do as one process would."""
    if objective.whole_step or objective.state():
        raise ConfigError(f"{objective.name} looks at all pairs at once", hint="train it in one process")
    if config.optimizer == "muon":
        raise ConfigError("muon needs whole matrices, which no process holds", hint="use optimizer=adamw")


def _log_row(entry: StepLog) -> dict[str, Any]:
    """The part of a step's log that does not depend on the clock, so that resumed runs log the same."""
    row: dict[str, Any] = {
        "step": entry.step,
        "loss": entry.loss,
        "learning_rate": entry.learning_rate,
        "grad_norm": entry.grad_norm,
        "tokens": entry.tokens,
        **entry.metrics,
    }
    return {**row, "skipped": list(entry.skipped)} if entry.skipped else row
