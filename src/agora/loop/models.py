"""The student's trainings: supervised on the curated samples, then two ways of learning from its own judged answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agora.core.records import PreferencePair, Sample
from agora.core.runs import RunDir
from agora.core.tables import read_rows
from agora.curate.pairs.split import split_by_prompt
from agora.loop.settings import LoopConfig
from agora.train import stages
from agora.train.rewards import ScorerReward, WeightedReward
from agora.train.stages import StageResult

TRAINED = ("sft", "reward", "dpo", "ppo")


def uri_of(run: RunDir, config: LoopConfig, name: str) -> str:
    """Engine URI of one of the loop's models: base, sft, dpo, ppo or chat."""
    if name in TRAINED:
        return f"hf:{folder_of(run, name) / 'model'}"
    return {"base": config.student, "chat": config.model}[name]


def folder_of(run: RunDir, name: str) -> Path:
    """Where one training left its model, its log and its card."""
    return run.path / "models" / name


def train_sft(run: RunDir, config: LoopConfig, samples: Sequence[Sample]) -> None:
    """Train the student on the kept samples; a finished training is not repeated."""
    if run.done("sft"):
        return
    with run.stage("sft"):
        rows = [(sample.id, sample.messages) for sample in samples]
        stages.train_sft(config.student, rows, folder_of(run, "sft"), _seeded(config.sft, config))


def train_dpo(run: RunDir, config: LoopConfig, pairs: Sequence[PreferencePair]) -> None:
    """Train the SFT model on pairs; its own log-probabilities before training are the reference."""
    if run.done("dpo"):
        return
    with run.stage("dpo"):
        stages.train_dpo(uri_of(run, config, "sft"), pairs, folder_of(run, "dpo"), _seeded(config.dpo, config))


def train_reward(run: RunDir, config: LoopConfig, pairs: Sequence[PreferencePair]) -> None:
    """Train a reward model, started from the SFT model, on the same pairs; some prompts are held out to measure it."""
    if run.done("reward"):
        return
    with run.stage("reward"):
        settings = _seeded(config.reward, config)
        trained, held_out = split_by_prompt(pairs, settings.valid_share, config.seed)
        stages.train_reward(uri_of(run, config, "sft"), trained, folder_of(run, "reward"), settings, held_out=held_out)


def train_ppo(run: RunDir, config: LoopConfig, samples: Sequence[Sample]) -> None:
    """Train the SFT model on its own answers to the samples' instructions, scored by the reward model."""
    from agora.train.reward_model import load_reward_model, score_conversations

    if run.done("ppo"):
        return
    with run.stage("ppo"):
        folder = folder_of(run, "reward") / "model"
        model, tokenizer = load_reward_model(str(folder))
        measured = stages.read_stage(folder_of(run, "reward"))
        scale = (measured.metrics.get("held_out/std") if measured else None) or 1.0
        mean = (measured.metrics.get("held_out/mean") if measured else None) or 0.0
        scorer = ScorerReward(
            lambda conversations: score_conversations(model, tokenizer, conversations),
            name="reward_model",
            mean=mean,
            scale=scale,
        )
        prompts = [(sample.id, tuple(m for m in sample.messages if m.role != "assistant")) for sample in samples]
        stages.train_ppo(
            uri_of(run, config, "sft"),
            prompts,
            [WeightedReward(scorer)],
            folder_of(run, "ppo"),
            _seeded(config.ppo, config),
            value_start=str(folder),
        )


def read_training(run: RunDir, name: str) -> tuple[StageResult, list[dict[str, Any]]]:
    """(what a finished training came to, one row a step)."""
    found = stages.read_stage(folder_of(run, name))
    assert found is not None, f"{name} is not done"
    return found, [row.data for row in read_rows(found.folder / "train_log.jsonl")]


def _seeded(settings: Any, config: LoopConfig) -> Any:
    return settings.model_copy(update={"train": settings.train.model_copy(update={"seed": config.seed})})
