"""One training as a stage of a larger piece of work: records in, a folder with a model and what was measured out.

A stage that is done is read back; one that was killed goes on from its last checkpoint and ends with the same weights.
"""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from agora.core.config import Config
from agora.core.errors import ConfigError
from agora.core.progress import progress
from agora.core.records import Message, PreferencePair
from agora.core.stats import wilson
from agora.core.tables import read_json, write_json, write_jsonl
from agora.train.batch import Group
from agora.train.config import TrainConfig
from agora.train.doctor import check_start
from agora.train.encode import Encoded, encode_conversations, encode_pairs, preview
from agora.train.loop import StepLog, TrainResult, num_steps, train
from agora.train.losses import beta_warning, get_pair_loss
from agora.train.models import load_policy, load_tokenizer, model_path, pick_device, save_model
from agora.train.objectives import DPO, SFT, Objective, RewardLoss, reference_logprobs
from agora.train.online import OnlineStepLog, num_rollouts, train_online
from agora.train.rewards import WeightedReward
from agora.train.rollout import encode_prompts
from agora.train.settings import DpoSettings, PpoSettings, RewardSettings, SftSettings

CARD = "stage.json"


@dataclass(frozen=True, slots=True)
class StageResult:
    """A finished training.

    ``dropped`` counts rows left out by reason; ``notes`` are warnings and alarms in words; ``tokens`` are those of all
    rows that were stepped on, ``seconds`` the time over all attempts that reached the end.
    """

    kind: str
    folder: Path
    model: Path
    seconds: float
    steps: int
    rows: int
    tokens: int
    target_tokens: int
    peak_memory_mb: float
    metrics: dict[str, float] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "folder": str(self.folder), "model": str(self.model), "notes": list(self.notes)}


def train_sft(
    model: str, conversations: Sequence[tuple[str, Sequence[Message]]], out: Path, settings: SftSettings
) -> StageResult:
    """Supervised fine-tuning of ``model`` (a URI or folder) on (id, messages)."""
    if found := read_stage(out, settings):
        return found
    policy, tokenizer = load_policy(model)
    encoded = encode_conversations(tokenizer, conversations, max_tokens=settings.max_tokens)
    return _fit("sft", policy, tokenizer, encoded, SFT(), out, settings, settings.train)


def train_dpo(model: str, pairs: Sequence[PreferencePair], out: Path, settings: DpoSettings) -> StageResult:
    """Preference optimization of ``model``; its own log-probabilities before training are the reference."""
    if found := read_stage(out, settings):
        return found
    form = get_pair_loss(settings.loss)
    policy, tokenizer = load_policy(model)
    encoded = encode_pairs(tokenizer, pairs, max_tokens=settings.max_tokens)
    notes = check_start(policy, encoded.groups)
    if settings.beta is not None and (note := beta_warning(settings.loss, settings.beta)):
        notes.append(note)
    reference = reference_logprobs(policy, encoded.groups) if form.needs_reference else {}
    objective = DPO(
        reference,
        loss=settings.loss,
        beta=settings.beta,
        label_smoothing=settings.label_smoothing,
        sft_weight=settings.sft_weight,
        gamma_ratio=settings.gamma_ratio,
    )
    return _fit("dpo", policy, tokenizer, encoded, objective, out, settings, settings.train, notes=notes)


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
    reward_model = new_reward_model(path, seed=settings.train.seed, head_std=settings.head_std).to(pick_device())
    tokenizer = load_tokenizer(path)
    encoded = encode_pairs(tokenizer, pairs, max_tokens=settings.max_tokens)
    margins = {pair.id: pair.margin for pair in pairs if pair.margin is not None} if settings.use_margin else {}
    if settings.use_margin and not margins:
        raise ConfigError("use_margin is set but no pair has a margin", hint="choose a pair rule that keeps scores")
    objective = RewardLoss(
        margins=margins, center=settings.center_rewards_coefficient, label_smoothing=settings.label_smoothing
    )

    def measure() -> dict[str, float]:
        if not held_out:
            return {}
        rows = encode_pairs(tokenizer, held_out, max_tokens=settings.max_tokens)
        return _measure_reward(reward_model, rows.groups)

    return _fit("reward", reward_model, tokenizer, encoded, objective, out, settings, settings.train, measure=measure)


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
        value_start: reward model that the value model starts from, as in the paper; None: ``model`` with a fresh head.
    """
    from agora.train.reward_model import load_reward_model, new_reward_model

    if found := read_stage(out, settings):
        return found
    started = time.monotonic()
    policy, tokenizer = load_policy(model)
    kept, too_long = encode_prompts(tokenizer, prompts, max_tokens=settings.max_prompt_tokens)
    value_model = None
    if settings.algorithm == "ppo":
        if value_start is None:
            value_model = new_reward_model(model_path(model), seed=settings.train.seed)
        else:
            value_model = load_reward_model(value_start)[0]
        value_model = value_model.to(pick_device())
    name = settings.algorithm
    with progress(num_rollouts(len(kept), settings), f"training {name}", unit="step") as bar:

        def on_step(entry: OnlineStepLog) -> None:
            bar.advance()
            bar.note(f"score {entry.metrics['score']:.3f}, KL {entry.metrics['kl/k1']:.2f}")

        result = train_online(
            policy,
            tokenizer,
            kept,
            rewards,
            settings,
            value_model=value_model,
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
            result.alarms,
        ),
        policy,
        tokenizer,
        result.log,
        settings,
    )


def read_stage(out: Path, settings: Config | None = None) -> StageResult | None:
    """A finished stage of that folder; None when it has not finished.

    Raises:
        ConfigError: it was made with other settings.
    """
    if not (out / CARD).is_file():
        return None
    card: dict[str, Any] = read_json(out / CARD)
    if settings is not None:
        wanted = settings.model_dump(mode="json")
        differing = [
            f"{k}: {card['settings'].get(k)!r} -> {v!r}" for k, v in wanted.items() if card["settings"].get(k) != v
        ]
        if differing:
            raise ConfigError(
                f"the stage was made with other settings: {'; '.join(differing)}",
                where=str(out),
                hint="use a new folder",
            )
    known = {k: v for k, v in card.items() if k in StageResult.__dataclass_fields__}
    return StageResult(**{**known, "folder": out, "model": out / "model", "notes": tuple(card["notes"])})


def peak_memory_mb() -> float:
    """The most memory this process has held so far, of the GPU where there is one, in MB."""
    import resource

    import torch

    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_allocated() / 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _fit(
    kind: str,
    model: Any,
    tokenizer: Any,
    encoded: Encoded,
    objective: Objective,
    out: Path,
    settings: Config,
    config: TrainConfig,
    *,
    notes: Sequence[str] = (),
    measure: Any = None,
) -> StageResult:
    """What SFT, reward and DPO share: preview, train under a bar, measure, store."""
    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    (out / "preview.txt").write_text("\n\n".join(preview(tokenizer, encoded.groups)) + "\n", encoding="utf-8")
    with progress(num_steps(len(encoded.groups), config), f"training {kind}", unit="step") as bar:

        def on_step(entry: StepLog) -> None:
            bar.advance()
            bar.note(f"loss {entry.loss:.3f}")

        result = train(model, encoded.groups, objective, config, checkpoint_dir=out / "checkpoints", on_step=on_step)
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
    return _finish(stage, model, tokenizer, result.log, settings)


def _finish(
    stage: StageResult, model: Any, tokenizer: Any, log: Sequence[Mapping[str, Any]], settings: Config
) -> StageResult:
    save_model(model, tokenizer, stage.model)
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
