"""What a loop does: small values, validated when made."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from agora.core.config import Config
from agora.rooms.judge.mining.settings import MineSettings
from agora.train.config import TrainConfig
from agora.train.settings import DpoSettings, PpoSettings, RewardSettings, SftSettings

CHECKER = "microcosm:checker"


class DrawSlice(Config):
    """Instructions drawn at one decoding setting."""

    share: float = Field(1.0, gt=0, description="weight of the slice among all slices")
    temperature: float = Field(1.0, gt=0)
    top_p: float = Field(1.0, gt=0, le=1)


class CurateSettings(Config):
    """What keeps an instruction out of the training data."""

    near_duplicate_jaccard: float = Field(
        0.85, gt=0, le=1, description="char-5 shingles; at or above it is a duplicate"
    )


class PairSettings(Config):
    """How preference pairs are made from k sampled answers (Magpie-DPO)."""

    prompts: int = Field(2200, ge=1, description="instructions, unseen by SFT, that are answered k times")
    k: int = Field(3, ge=1, description="sampled answers of the SFT model")
    model_answers: bool = Field(True, description="the drawn-from model's own answer is one more candidate")
    temperature: float = Field(1.0, gt=0)
    min_margin: float = Field(1.0, gt=0, description="least gap in judged score between chosen and rejected")


class LoopConfig(Config):
    """One turn of the loop.

    ``model`` is drawn from and answers; ``student`` is trained. The default sizes fit five minutes on two cores.
    """

    model: str = Field("microcosm:chat", description="aligned model that instructions are drawn from (engine URI)")
    tokenizer: str | None = Field(None, description="tokenizer of a served model, for its chat template")
    student: str = Field("microcosm:base", description="model that is trained: microcosm:base or hf:NAME-OR-PATH")
    judge: str = Field("microcosm:checker", description="microcosm:checker or an engine URI")
    seed: int = 0
    visitors: int | None = Field(
        None, ge=0, description="visitors who talk with the model first; 80 for the microcosm, none for other models"
    )
    instructions: int = Field(4000, ge=1, description="samples drawn before curation")
    draw: tuple[DrawSlice, ...] = (DrawSlice(share=2, top_p=0.8), DrawSlice(top_p=0.95))
    max_instruction_tokens: int = Field(128, ge=1)
    max_answer_tokens: int = Field(96, ge=1)
    tasks: int = Field(500, ge=10, description="held-out tasks that all models are judged on")
    sft_rows: int = Field(1400, ge=1, description="curated samples for SFT; the others become prompts of pairs")
    log_rows: int = Field(300, ge=0, description="conversations of --conversations that join the training data")
    curate: CurateSettings = CurateSettings()
    mine: MineSettings = MineSettings(min_tokens=3, language=None, max_tasks=200, private_share=0.0)
    pairs: PairSettings = PairSettings()
    sft: SftSettings = SftSettings(
        train=TrainConfig(
            learning_rate=2e-3, schedule="cosine", warmup=0.1, epochs=3, batch_size=32, checkpoint_every_s=5
        ),
        max_tokens=512,
    )
    dpo: DpoSettings = DpoSettings(
        train=TrainConfig(
            learning_rate=1.5e-4, schedule="linear", warmup=0.1, epochs=2, batch_size=16, checkpoint_every_s=5
        ),
        beta=0.3,
        sft_weight=1.0,
        max_tokens=512,
    )
    reward: RewardSettings = RewardSettings(
        train=TrainConfig(
            learning_rate=4e-4, schedule="linear", warmup=0.1, epochs=1, batch_size=32, checkpoint_every_s=5
        ),
        valid_share=0.15,
        max_tokens=512,
    )
    ppo_reward: Literal["auto", "judge", "reward_model"] = Field(
        "auto", description="what pays PPO; auto: the checker where it judges, else the reward model"
    )
    ppo: PpoSettings = PpoSettings(
        train=TrainConfig(
            learning_rate=6e-5,
            schedule="constant",
            warmup=0.05,
            batch_size=64,
            adam_betas=(0.9, 0.95),
            checkpoint_every_s=5,
        ),
        value_learning_rate=4e-4,
        steps=12,
        prompts_per_step=128,
        num_ppo_epochs=1,
        temperature=1.0,
        response_length=96,
        max_prompt_tokens=256,
        missing_eos_penalty=-3.0,
        kl_coef=0.02,
    )
    baselines: tuple[Literal["base", "sft", "dpo", "ppo", "chat"], ...] = ("base", "sft", "chat")
    margin: int | None = Field(None, ge=0, description="WB-Reward's length margin K in characters; none by default")
