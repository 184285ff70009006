"""The settings of each kind of training; defaults are those of Ivison et al. 2024 (arXiv:2406.09279)."""

from __future__ import annotations

from pydantic import Field

from agora.core.config import Config
from agora.train.config import TrainConfig
from agora.train.lora import LoraSettings
from agora.train.online_config import OnlineConfig


class ModelSettings(Config):
    """What every training of a model has: how to step, and what part of the model learns."""

    train: TrainConfig = TrainConfig()
    lora: LoraSettings | None = Field(None, description="train adapters instead of the model's own weights")


class SftSettings(ModelSettings):
    """Supervised fine-tuning on the assistant's turns."""

    train: TrainConfig = TrainConfig(learning_rate=2e-5, warmup=0.03, epochs=2, batch_size=128)
    max_tokens: int = Field(8192, ge=2, description="longer conversations are dropped and counted")


class RewardSettings(ModelSettings):
    """A Bradley-Terry reward model."""

    train: TrainConfig = TrainConfig(
        learning_rate=1e-5, min_learning_rate=1e-6, warmup=0.03, epochs=1, batch_size=512, token_budget=16384
    )
    max_tokens: int = Field(4096, ge=2, description="pairs with a longer side are dropped and counted")
    use_margin: bool = Field(False, description="ask for the pair's margin between the rewards")
    center_rewards_coefficient: float = Field(0.0, ge=0)
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    head_std: float = Field(0.02, gt=0, description="standard deviation of the new head's weights")
    valid_share: float = Field(0.05, ge=0, lt=1, description="share of prompts held out to measure the model")


class DpoSettings(ModelSettings):
    """Direct preference optimization and its family."""

    train: TrainConfig = TrainConfig(learning_rate=5e-7, warmup=0.1, epochs=3, batch_size=32)
    loss: str = Field("sigmoid", description="a name in agora.train.losses.PAIR_LOSSES")
    beta: float | None = Field(None, gt=0, description="the loss's usual value when not given")
    label_smoothing: float = Field(0.0, ge=0, lt=0.5)
    sft_weight: float = Field(0.0, ge=0, description="weight of the likelihood of chosen answers (RPO)")
    gamma_ratio: float = Field(0.3, description="simpo: target margin over beta")
    max_tokens: int = Field(4096, ge=2, description="pairs with a longer side are dropped and counted")


class PpoSettings(OnlineConfig, ModelSettings):
    """PPO, RLOO or GRPO; see :class:`agora.train.online_config.OnlineConfig`.

    With ``lora`` the value model learns through adapters too, and the reference is the policy with its adapters off.
    """
