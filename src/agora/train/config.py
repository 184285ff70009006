"""The settings that every algorithm shares."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TrainConfig(BaseModel):
    """How to step. The loss and where rows come from belong to the objective, not here.

    ``batch_size`` counts groups (rows for SFT, pairs for DPO) per optimizer step; ``token_budget`` bounds the padded
    tokens of one micro-batch and never changes the result beyond floating-point rounding.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    learning_rate: float = Field(2e-5, ge=0)
    min_learning_rate: float = Field(0.0, ge=0)
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    warmup: float = Field(0.03, ge=0, le=1, description="share of all steps")
    epochs: float = Field(2, gt=0)
    batch_size: int = Field(128, ge=1)
    token_budget: int = Field(8192, ge=16)
    share_prompts: bool = Field(True, description="compute a prompt once for both sides of a pair where that pays")
    optimizer: Literal["adamw", "muon"] = "adamw"
    weight_decay: float = Field(0.0, ge=0)
    adam_betas: tuple[float, float] = (0.9, 0.999)
    max_grad_norm: float = Field(1.0, gt=0)
    seed: int = 0
    bf16: bool = Field(False, description="autocast compute; weights and optimizer stay fp32")
    gradient_checkpointing: bool = Field(
        False, description="keep one activation a layer and compute the rest again: less memory, a third more work"
    )
    checkpoint_every_s: float = Field(60.0, gt=0)
