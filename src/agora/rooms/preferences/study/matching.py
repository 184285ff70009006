"""Equal compute: as many optimizer steps, or as many trained tokens, as the baseline's training of the same cell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from agora.rooms.preferences.study.blocks import DpoAlgorithm, NoTraining, OnlineAlgorithm
from agora.train.config import TrainConfig


@dataclass(frozen=True, slots=True)
class Size:
    """What a stage trains on, as far as it is known.

    Attributes:
        rows: pairs, conversations or prompts.
        tokens: of all their sequences; None before they are rendered.
        exact: False where the rows are what the recipe expects, not what was counted.
    """

    rows: int
    tokens: int | None = None
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Budget:
    """What a training costs.

    Attributes:
        epochs: passes over the rows.
        updates: optimizer steps (of the policy).
        tokens: that go through the loss; for online training prompts plus responses of the expected length.
        rollouts: rounds of sampling; None where nothing is sampled.
    """

    epochs: float
    updates: int
    tokens: int | None
    rollouts: int | None = None


def row_budget(train: TrainConfig, size: Size, epochs: float | None = None) -> Budget:
    """The budget of a training on rows (SFT, reward model, DPO)."""
    epochs = train.epochs if epochs is None else epochs
    updates = max(1, round(math.ceil(size.rows / train.batch_size) * epochs))
    return Budget(epochs, updates, None if size.tokens is None else round(size.tokens * epochs))


def online_budget(
    block: OnlineAlgorithm, size: Size, response_tokens: float | None, rollouts: int | None = None
) -> Budget:
    """The budget of a training on the policy's own samples.

    Args:
        size: of the prompts.
        response_tokens: expected a response.
        rollouts: instead of the configured ones.
    """
    s = block.settings
    per_epoch = math.ceil(size.rows / s.prompts_per_step)
    if rollouts is None:
        rollouts = s.steps if s.steps is not None else max(1, round(per_epoch * s.train.epochs))
    responses = s.prompts_per_step * s.num_generations
    updates = rollouts * s.num_ppo_epochs * math.ceil(responses / s.train.batch_size)
    tokens = None
    if size.tokens is not None and response_tokens is not None:
        tokens = round(rollouts * s.num_ppo_epochs * responses * (size.tokens / size.rows + response_tokens))
    return Budget(rollouts / per_epoch, updates, tokens, rollouts)


@dataclass(frozen=True, slots=True)
class CellSizes:
    """The sizes that a cell's policy training depends on."""

    pairs: Size
    prompts: Size | None  # None where nothing is sampled
    response_tokens: float | None


def policy_budget(block: Any, sizes: CellSizes, share: float = 1.0) -> Budget | None:
    """The budget of an algorithm; None where nothing is trained.

    Args:
        share: by what its configured amount is multiplied.
    """
    if isinstance(block, NoTraining):
        return None
    if isinstance(block, DpoAlgorithm):
        train = block.settings.train
        return row_budget(train, sizes.pairs, train.epochs * share)
    prompts = sizes.prompts or sizes.pairs
    own = online_budget(block, prompts, sizes.response_tokens)
    if share == 1.0 or own.rollouts is None:
        return own
    return online_budget(block, prompts, sizes.response_tokens, max(1, round(own.rollouts * share)))


def share_of(own: Budget | None, target: Budget | None, match: str) -> float:
    """By what a training is stretched so that it costs what the baseline's costs; 1 where nothing is to be matched.

    Args:
        match: ``epochs`` leaves everything as configured; ``tokens`` counts 1 before they are known.
    """
    if own is None or target is None or match == "epochs":
        return 1.0
    if match == "updates":
        return target.updates / own.updates
    return 1.0 if not own.tokens or not target.tokens else target.tokens / own.tokens
