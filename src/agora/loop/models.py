"""The student's trainings: supervised on the curated samples, then two ways of learning from its own judged answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agora.core.records import Answer, Message, PreferencePair, Sample, Task
from agora.core.runs import RunDir
from agora.core.tables import read_rows
from agora.curate.pairs.split import split_by_prompt
from agora.engines.registry import parse_uri
from agora.loop.settings import CHECKER, LoopConfig
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
    """Train a reward model on the same pairs; some prompts are held out to measure it.

    It starts from the aligned model where that is in process, because judging right needs at least the knowledge that
    answering right needs; else from the SFT model.
    """
    if run.done("reward"):
        return
    with run.stage("reward"):
        settings = _seeded(config.reward, config)
        trained, held_out = split_by_prompt(pairs, settings.valid_share, config.seed)
        start = config.model if parse_uri(config.model).scheme in ("microcosm", "hf") else uri_of(run, config, "sft")
        stages.train_reward(start, trained, folder_of(run, "reward"), settings, held_out=held_out)


def train_ppo(run: RunDir, config: LoopConfig, pairs: Sequence[PreferencePair]) -> None:
    """Train the SFT model on its own answers to the pairs' prompts.

    The prompts are those that the judge could tell answers apart on; on the others every answer earns the same and
    there is nothing to learn.
    """
    if run.done("ppo"):
        return
    with run.stage("ppo"):
        by_judge = config.ppo_reward == "judge" or (config.ppo_reward == "auto" and config.judge == CHECKER)
        reward = _judge_reward(run, config) if by_judge else _model_reward(run)
        prompts = [(pair.id, pair.prompt) for pair in pairs]
        stages.train_ppo(
            uri_of(run, config, "sft"),
            prompts,
            [WeightedReward(reward)],
            folder_of(run, "ppo"),
            _seeded(config.ppo, config),
            value_start=None if _other_shape(run, config) else str(folder_of(run, "reward") / "model"),
        )


def _judge_reward(run: RunDir, config: LoopConfig) -> ScorerReward:
    """The judge's own scores, from 1 to 10; calls are cached, so a run that was killed pays for none twice."""
    from agora.rooms.judge import open_judge
    from agora.rooms.judge.types import ScoreItem

    judge = open_judge(config.judge, seed=0, cache=run.file("cache/judge.sqlite"))

    def score(conversations: Sequence[tuple[Message, ...]]) -> list[float | None]:
        items = [
            ScoreItem(
                Task(str(i), "ppo", "1", messages[:-1]), Answer(str(i), "ppo", messages[-1].content, "stop_token")
            )
            for i, messages in enumerate(conversations)
        ]
        found = {v.task_id: v.value for v in judge.score(items) if v.status == "ok"}
        return [found.get(item.task.id) for item in items]

    return ScorerReward(score, name=judge.name)


def _model_reward(run: RunDir) -> ScorerReward:
    """The trained reward model, its scores scaled by those of the held-out pairs."""
    from agora.train.reward_model import load_reward_model, score_conversations

    model, tokenizer = load_reward_model(str(folder_of(run, "reward") / "model"))
    measured = stages.read_stage(folder_of(run, "reward"))
    metrics = measured.metrics if measured else {}
    return ScorerReward(
        lambda conversations: score_conversations(model, tokenizer, conversations),
        name="reward_model",
        mean=metrics.get("held_out/mean", 0.0),
        scale=metrics.get("held_out/std") or 1.0,
    )


def _other_shape(run: RunDir, config: LoopConfig) -> bool:
    """Whether the reward model reads other token ids than the policy, so that it cannot serve as its value model."""
    from agora.train.models import load_tokenizer

    ours, theirs = (load_tokenizer(str(folder_of(run, name) / "model")) for name in ("sft", "reward"))
    return bool(ours.get_vocab() != theirs.get_vocab())


def read_training(run: RunDir, name: str) -> tuple[StageResult, list[dict[str, Any]]]:
    """(what a finished training came to, one row a step)."""
    found = stages.read_stage(folder_of(run, name))
    assert found is not None, f"{name} is not done"
    return found, [row.data for row in read_rows(found.folder / "train_log.jsonl")]


def _seeded(settings: Any, config: LoopConfig) -> Any:
    return settings.model_copy(update={"train": settings.train.model_copy(update={"seed": config.seed})})
