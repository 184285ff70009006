"""The settings of training on a policy's own samples."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from agora.core.config import Config
from agora.train.advantages import GroupScale, KlEstimator
from agora.train.config import TrainConfig
from agora.train.online_objectives import Aggregation


class OnlineConfig(Config):
    """PPO, RLOO or GRPO. Defaults are those of Ivison et al. 2024 for PPO.

    ``train`` holds what all trainings share; in it ``epochs`` counts passes over the prompts and ``batch_size``
    responses of a mini-batch.
    """

    algorithm: Literal["ppo", "rloo", "grpo"] = "ppo"
    train: TrainConfig = TrainConfig(
        learning_rate=1e-6,
        schedule="constant",
        min_learning_rate=0,
        warmup=0.1,
        epochs=1,
        batch_size=64,
        adam_betas=(0.9, 0.95),
    )
    value_learning_rate: float | None = Field(None, gt=0, description="the policy's when not given")
    steps: int | None = Field(None, ge=1, description="rollouts; by default what train.epochs passes over prompts need")
    prompts_per_step: int = Field(64, ge=1)
    num_generations: int = Field(1, ge=1, description="responses a prompt; at least 2 for rloo and grpo")
    num_ppo_epochs: int = Field(1, ge=1, description="passes over each rollout")
    temperature: float = Field(0.7, gt=0)
    logp_temperature: Literal["sampling", "one"] = Field(
        "sampling", description="where log-probabilities are taken; `one` is the reference implementation's choice"
    )
    max_prompt_tokens: int = Field(1024, ge=1)
    response_length: int = Field(1024, ge=1, description="tokens a response may have")
    missing_eos_penalty: float | None = Field(-10.0, description="score of a response that was cut; replaces its own")
    kl_coef: float = Field(0.05, ge=0)
    kl_estimator: KlEstimator = "k1"
    kl_target: float | None = Field(
        None, gt=0, description="nats a response; kl_coef then adapts (Ziegler et al. 2019)"
    )
    max_kl: float = Field(50.0, gt=0, description="nats a response; beyond it training stops")
    gamma: float = Field(1.0, ge=0, le=1)
    lam: float = Field(0.95, ge=0, le=1)
    cliprange: float = Field(0.2, gt=0)
    cliprange_value: float = Field(0.2, gt=0)
    vf_coef: float = Field(0.1, ge=0)
    whiten_rewards: bool = False
    scale_rewards: GroupScale = Field("std", description="grpo: divide by the group's deviation or not")
    aggregation: Aggregation = "token_mean_batch"

    @model_validator(mode="after")
    def _groups_need_two(self) -> OnlineConfig:
        if self.algorithm != "ppo" and self.num_generations < 2:
            raise ValueError(f"{self.algorithm} compares responses of one prompt: num_generations must be at least 2")
        return self
