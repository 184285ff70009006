"""One training as a stage of a larger piece of work: records in, a folder with a model and what was measured out.

A stage that is done is read back; one that was killed goes on from its last checkpoint and ends with the same weights.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from agora.core.errors import ConfigError
from agora.core.progress import progress
from agora.core.records import Message, PreferencePair
from agora.core.stats import wilson
from agora.core.tables import write_json, write_jsonl
from agora.train.batch import Group
from agora.train.distributed import in_turn, world
from agora.train.doctor import check_start
from agora.train.encode import Encoded, encode_conversations, encode_pairs, preview
from agora.train.loop import StepLog, TrainResult, num_steps, train
from agora.train.losses import beta_warning, get_pair_loss
from agora.train.models import Trainee, load_policy, load_tokenizer, model_path, prepare, same_tokens, save_model
from agora.train.objectives import DPO, SFT, Objective, RewardLoss, reference_logprobs
from agora.train.online import OnlineStepLog, num_rollouts, train_online
from agora.train.rewards import WeightedReward
from agora.train.rollout import encode_prompts
from agora.train.settings import DpoSettings, ModelSettings, PpoSettings, RewardSettings, SftSettings
from agora.train.stage import CARD, StageResult, peak_memory_mb, read_stage

__all__ = ["StageResult", "read_stage", "train_dpo", "train_ppo", "train_reward", "train_sft"]


def train_sft(
    model: str, conversations: Sequence[tuple[str, Sequence[Message]]], out: Path, settings: SftSettings
) -> StageResult:
    """Supervised fine-tuning of ``model`` (a URI or folder) on (id, messages)."""
    if found := read_stage(out, settings):
        return found
    trainee = _load(model, settings)
    encoded = encode_conversations(trainee.tokenizer, conversations, max_tokens=settings.max_tokens)
    return _fit("sft", trainee, encoded, SFT(), out, settings)


def train_dpo(model: str, pairs: Sequence[PreferencePair], out: Path, settings: DpoSettings) -> StageResult:
    """Preference optimization of ``model``; its own log-probabilities before training are the reference."""
    if found := read_stage(out, settings):
        return found
    form = get_pair_loss(settings.loss)
    trainee = _load(model, settings)
    encoded = encode_pairs(trainee.tokenizer, pairs, max_tokens=settings.max_tokens)
    notes = check_start(trainee.model, encoded.groups)
    if settings.beta is not None and (note := beta_warning(settings.loss, settings.beta)):
        notes.append(note)
    bf16 = settings.train.bf16
    reference = reference_logprobs(trainee.model, encoded.groups, bf16=bf16) if form.needs_reference else {}
    objective = DPO(
        reference,
        loss=settings.loss,
        beta=settings.beta,
        label_smoothing=settings.label_smoothing,
        sft_weight=settings.sft_weight,
        gamma_ratio=settings.gamma_ratio,
    )
    return _fit("dpo", trainee, encoded, objective, out, settings, notes=notes)


def train_reward(
    model: str,
    pairs: Sequence[PreferencePair],
    out: Path,
    settings: RewardSettings,
    *,
    held_out: Sequence[PreferencePair] = (),
) -> StageResult:
    """A reward model on the backbone of ``model``.

    Args:
        held_out: pairs of other prompts, on which accuracy and the scale of the rewards are measured; the share of them
            where the longer answer wins is kept beside the accuracy.
    """
    from agora.train.reward_model import new_reward_model

    if found := read_stage(out, settings):
        return found
    path = model_path(model)
    with in_turn():
        fresh = new_reward_model(path, seed=settings.train.seed, head_std=settings.head_std)
        trainee = prepare(fresh, load_tokenizer(path), settings)
    encoded = encode_pairs(trainee.tokenizer, pairs, max_tokens=settings.max_tokens)
    margins = {pair.id: pair.margin for pair in pairs if pair.margin is not None} if settings.use_margin else {}
    if settings.use_margin and not margins:
        raise ConfigError("use_margin is set but no pair has a margin", hint="choose a pair rule that keeps scores")
    objective = RewardLoss(
        margins=margins, center=settings.center_rewards_coefficient, label_smoothing=settings.label_smoothing
    )

    def measure() -> dict[str, float]:
        if not held_out:
            return {}
        rows = encode_pairs(trainee.tokenizer, held_out, max_tokens=settings.max_tokens)
        return _measure_reward(trainee.model, rows.groups)

    return _fit("reward", trainee, encoded, objective, out, settings, measure=measure)


def train_ppo(
    model: str,
    prompts: Sequence[tuple[str, tuple[Message, ...]]],
    rewards: Sequence[WeightedReward],
    out: Path,
    settings: PpoSettings,
    *,
    value_start: str | None = None,
) -> StageResult:
    """PPO, RLOO or GRPO from ``model`` on (id, messages).

    Args:
        rewards: what is maximized.
        value_start: reward model that the value model starts from, as in the paper; None: ``model`` with a fresh head,
            as for a reward model with another tokenizer than the policy's.
    """
    if found := read_stage(out, settings):
        return found
    if world().size > 1:
        raise ConfigError(
            f"{settings.algorithm} trains in one process: sampling from a model that is spread is not built",
            hint="start it without torchrun, with LoRA where memory is short; docs/scale.md says what is missing",
        )
    started = time.monotonic()
    trainee = _load(model, settings)
    kept, too_long = encode_prompts(trainee.tokenizer, prompts, max_tokens=settings.max_prompt_tokens)
    notes: list[str] = []
    if value_start is not None and not same_tokens(load_tokenizer(model_path(value_start)), trainee.tokenizer):
        notes.append(
            f"{value_start} has another tokenizer than the policy: it scores texts under its own template, and "
            "the value model, which reads the policy's tokens, starts from the policy with a fresh head"
        )
        value_start = None
    value_model = _value_model(value_start, model, settings) if settings.algorithm == "ppo" else None
    name = settings.algorithm
    with progress(num_rollouts(len(kept), settings), f"training {name}", unit="step") as bar:

        def on_step(entry: OnlineStepLog) -> None:
            bar.advance()
            bar.note(f"score {entry.metrics['score']:.3f}, KL {entry.metrics['kl/k1']:.2f}")

        result = train_online(
            trainee.model,
            trainee.tokenizer,
            kept,
            rewards,
            settings,
            value_model=value_model,
            reference=trainee.adapters.without() if trainee.adapters else None,
            checkpoint_dir=out / "checkpoints",
            rollout_dir=out / "rollouts",
            on_step=on_step,
        )
    last = result.log[-1] if result.log else {}
    return _finish(
        StageResult(
            name,
            out,
            out / "model",
            time.monotonic() - started,
            result.steps,
            result.samples,
            result.tokens,
            result.response_tokens,
            peak_memory_mb(),
            {k: v for k, v in last.items() if k != "step"},
            {"prompt_too_long": len(too_long)} if too_long else {},
            (*notes, *result.alarms),
        ),
        trainee,
        result.log,
        settings,
    )


def _load(model: str, settings: ModelSettings) -> Trainee:
    """The model of a training of a policy, ready to train."""
    with in_turn():
        policy, tokenizer = load_policy(model, place=False)
        return prepare(policy, tokenizer, settings)


def _value_model(start: str | None, model: str, settings: PpoSettings) -> Any:
    """From a reward model, or from the policy's start with a fresh head."""
    from agora.train.reward_model import load_reward_model, new_reward_model

    if start is not None:
        return prepare(load_reward_model(start)[0], None, settings).model
    return prepare(new_reward_model(model_path(model), seed=settings.train.seed), None, settings).model


def _fit(
    kind: str,
    trainee: Trainee,
    encoded: Encoded,
    objective: Objective,
    out: Path,
    settings: ModelSettings,
    *,
    notes: Sequence[str] = (),
    measure: Any = None,
) -> StageResult:
    """What SFT, reward and DPO share: preview, train under a bar, measure, store."""
    started = time.monotonic()
    model, config, checkpoints = trainee.model, settings.train, out / "checkpoints"
    out.mkdir(parents=True, exist_ok=True)
    shown = preview(trainee.tokenizer, encoded.groups)
    (out / "preview.txt").write_text("\n\n".join(shown) + "\n", encoding="utf-8")
    with progress(num_steps(len(encoded.groups), config), f"training {kind}", unit="step") as bar:

        def on_step(entry: StepLog) -> None:
            bar.advance()
            bar.note(f"loss {entry.loss:.3f}")

        result = train(model, encoded.groups, objective, config, checkpoint_dir=checkpoints, on_step=on_step)
    metrics = {"final_loss": result.final_loss, **_last_metrics(result), **(measure() if measure else {})}
    skipped = sum("skipped" in row for row in result.log)
    said = [*notes, *([f"{skipped} steps were skipped because loss or gradient was not finite"] if skipped else [])]
    stage = StageResult(
        kind,
        out,
        out / "model",
        time.monotonic() - started,
        result.steps,
        len(encoded.groups),
        result.tokens,
        result.target_tokens,
        peak_memory_mb(),
        metrics,
        dict(encoded.dropped),
        tuple(said),
    )
    return _finish(stage, trainee, result.log, settings)


def _finish(
    stage: StageResult, trainee: Trainee, log: Sequence[Mapping[str, Any]], settings: ModelSettings
) -> StageResult:
    if trainee.adapters is not None:
        if settings.lora is not None and settings.lora.keep_adapter:
            trainee.adapters.save(stage.folder / "adapter")
        trainee.adapters.merge()
    save_model(trainee.model, trainee.tokenizer, stage.model)
    write_jsonl(stage.folder / "train_log.jsonl", (dict(row) for row in log))
    if stage.kind == "reward":
        write_json(stage.model / "agora_reward.json", stage.metrics)
    stage = replace(stage, settings=settings.model_dump(mode="json"))
    write_json(stage.folder / CARD, stage.as_json())
    shutil.rmtree(stage.folder / "checkpoints", ignore_errors=True)
    return stage


def _last_metrics(result: TrainResult) -> dict[str, float]:
    """Means of what the objective reported over the last twentieth of the steps."""
    rows = result.log[-max(1, len(result.log) // 20) :]
    names = Counter(k for row in rows for k in row if "/" in k)
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}


def _measure_reward(model: Any, groups: Sequence[Group]) -> dict[str, float]:
    """Held-out accuracy with its interval, the longer-wins share beside it, and the scale of the rewards."""
    from agora.train.reward_model import score_rows

    scores = np.asarray(score_rows(model, [row for group in groups for row in group])).reshape(-1, 2)
    correct = int((scores[:, 0] > scores[:, 1]).sum())
    interval = wilson(correct, len(scores))
    longer = [group[0].n_targets > group[1].n_targets for group in groups]
    return {
        "held_out/pairs": float(len(scores)),
        "held_out/accuracy": correct / len(scores),
        "held_out/accuracy_low": interval.low,
        "held_out/accuracy_high": interval.high,
        "held_out/longer_wins": float(np.mean(longer)),
        "held_out/mean": float(scores.mean()),
        "held_out/std": float(scores.std()),
    }
