"""Trainings from files: read, split, train, and leave a folder that says what happened."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agora.core.errors import UsageError
from agora.core.records import PreferencePair
from agora.core.tables import Rejects, read_json
from agora.rooms.preferences.inputs import read_conversations, read_prompts, read_training_pairs
from agora.rooms.preferences.scorers import open_scorer
from agora.train import stages
from agora.train.rewards import ScorerReward, WeightedReward
from agora.train.settings import DpoSettings, PpoSettings, RewardSettings, SftSettings
from agora.train.stages import StageResult


@dataclass(frozen=True, slots=True)
class RewardTerm:
    """One term of a reward: what scores (see :func:`agora.rooms.preferences.scorers.open_scorer`) and its weight.

    A reward model may be normalized by the mean and deviation of its held-out scores.
    """

    uri: str
    weight: float = 1.0
    normalize: bool = False

    @classmethod
    def parse(cls, text: str) -> RewardTerm:
        """``URI``, ``0.5*URI`` or ``0.5*normalized:URI``.

        Raises:
            UsageError: the weight is no number.
        """
        match = re.fullmatch(r"(?:(?P<weight>[^*:/]+)\*)?(?P<normalize>normalized:)?(?P<uri>.+)", text)
        if match is None:
            raise UsageError(f"{text!r} is no reward", hint="such as reward:PATH or 0.5*length:")
        try:
            weight = float(match["weight"] or 1)
        except ValueError:
            raise UsageError(f"{match['weight']!r} is no weight", where=text, hint="such as 0.5*length:") from None
        return cls(match["uri"], weight, match["normalize"] is not None)


def train_sft(model: str, data: Path, out: Path, settings: SftSettings) -> StageResult:
    """Supervised fine-tuning on a file of conversations."""
    if found := stages.read_stage(out, settings):
        return found
    with _rejects(out) as rejects:
        rows = read_conversations(data, rejects=rejects)
    return stages.train_sft(model, rows, out, settings)


def train_dpo(model: str, data: Path, out: Path, settings: DpoSettings, *, format: str = "auto") -> StageResult:
    """DPO or one of its family on a file of preference pairs."""
    if found := stages.read_stage(out, settings):
        return found
    with _rejects(out) as rejects:
        pairs = read_training_pairs(data, format=format, rejects=rejects)
    return stages.train_dpo(model, pairs, out, settings)


def train_reward(
    model: str,
    data: Path,
    out: Path,
    settings: RewardSettings,
    *,
    format: str = "auto",
    held_out: Path | None = None,
) -> StageResult:
    """A reward model on a file of preference pairs.

    Args:
        held_out: pairs to measure on; by default ``settings.valid_share`` of the prompts of ``data``, none of which is
            trained on.
    """
    from agora.curate.pairs.split import split_by_prompt

    if found := stages.read_stage(out, settings):
        return found
    with _rejects(out) as rejects:
        pairs = read_training_pairs(data, format=format, rejects=rejects)
        valid: Sequence[PreferencePair] = ()
        if held_out is not None:
            valid = read_training_pairs(held_out, rejects=rejects)
        elif settings.valid_share:
            pairs, valid = split_by_prompt(pairs, settings.valid_share, settings.train.seed)
    return stages.train_reward(model, pairs, out, settings, held_out=valid)


def train_ppo(
    model: str,
    prompts: Path,
    rewards: Sequence[RewardTerm],
    out: Path,
    settings: PpoSettings,
    *,
    value_start: str | None = None,
) -> StageResult:
    """PPO, RLOO or GRPO on a file of prompts.

    Args:
        value_start: reward model that the value model starts from; by default the first ``reward:`` term, as in the
            paper.
    """
    if found := stages.read_stage(out, settings):
        return found
    with _rejects(out) as rejects:
        rows = read_prompts(prompts, rejects=rejects)
    if value_start is None:
        value_start = next(
            (term.uri.removeprefix("reward:") for term in rewards if term.uri.startswith("reward:")), None
        )
    return stages.train_ppo(
        model, rows, [open_reward(term) for term in rewards], out, settings, value_start=value_start
    )


def open_reward(term: RewardTerm) -> WeightedReward:
    """Open what scores.

    Raises:
        UsageError: it cannot be normalized, because it is no reward model with held-out scores.
    """
    scale: dict[str, Any] = {}
    if term.normalize:
        path = Path(term.uri.removeprefix("reward:")) / "agora_reward.json"
        measured = read_json(path) if path.is_file() else {}
        if not measured.get("held_out/std"):
            raise UsageError(f"{term.uri} cannot be normalized", hint="train it with valid_share above 0")
        scale = {"mean": measured["held_out/mean"], "scale": measured["held_out/std"]}
    return WeightedReward(ScorerReward(open_scorer(term.uri), name=term.uri, **scale), term.weight)


def _rejects(out: Path) -> Rejects:
    out.mkdir(parents=True, exist_ok=True)
    return Rejects(out / "rejects.jsonl")
