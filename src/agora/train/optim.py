"""Optimizers and the learning-rate schedule."""

from __future__ import annotations

import math
from typing import Any

from agora.train.config import TrainConfig


def build_optimizers(model: Any, config: TrainConfig) -> list[Any]:
    """The optimizers of one model; their parameters are disjoint.

    ``adamw``: one fused AdamW over everything. ``muon``: Muon for the two-dimensional matrices inside the blocks and
    AdamW for embeddings, head and norms; a small model trained from scratch needs far fewer tokens with it
    (docs/log.md), which is how the microcosm's models are made within an hour of CPU.
    """
    import torch

    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    adam: dict[str, Any] = {
        "lr": config.learning_rate,
        "betas": config.adam_betas,
        "weight_decay": config.weight_decay,
        "fused": True,
    }
    if config.optimizer == "adamw":
        return [torch.optim.AdamW([p for _, p in named], **adam)]
    from agora.train.muon import Muon

    inner = [p for name, p in named if p.ndim == 2 and "embed" not in name and "lm_head" not in name]
    inner_ids = {id(p) for p in inner}
    rest = [p for _, p in named if id(p) not in inner_ids]
    return [
        Muon(inner, lr=config.learning_rate, weight_decay=config.weight_decay),
        torch.optim.AdamW(rest, **adam),
    ]


def learning_rate(config: TrainConfig, step: int, total_steps: int) -> float:
    """Learning rate of a 0-based step: linear warm-up, then the schedule down to the minimum."""
    warmup_steps = math.ceil(config.warmup * total_steps)
    if step < warmup_steps:
        return config.learning_rate * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    if config.schedule == "constant":
        factor = 1.0
    elif config.schedule == "linear":
        factor = 1 - progress
    else:
        factor = 0.5 * (1 + math.cos(math.pi * progress))
    return config.min_learning_rate + (config.learning_rate - config.min_learning_rate) * factor
