"""The reference's aggregation, faults included, to compare with published numbers. Use it for nothing else.

What it does and the right figures do not:

- a comparison with an empty or cut answer is left out of the reward but stays in its denominator: a tie in effect;
- groups and macro leave out empty answers while the plain score counts them with 1, so failing costs nothing there;
- a model that was never compared has reward 0, as if it tied with every baseline;
- a file whose name contains 128, 256, ..., 1024 is taken for a part of another and dropped.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agora.core.errors import DataError, MissingError
from agora.core.records import Verdict
from agora.core.tables import read_json
from agora.rooms.judge.scoring.metrics import is_empty, macro, wb_scale
from agora.rooms.judge.scoring.reward import Counts, count_outcomes, relabel
from agora.rooms.judge.types import GROUP_WEIGHTS, GROUP_WEIGHTS_JUNE, GROUPS, TaskSet

_PART_MARKS = ("128", "256", "384", "512", "640", "768", "896", "1024")
_BASELINE_OF = {
    "gpt4t": "gpt-4-turbo-2024-04-09",
    "haiku": "claude-3-haiku-20240307",
    "llama": "Llama-2-70b-chat-hf",
}


def dropped_by_name(name: str) -> bool:
    """Whether the reference takes a model's file for a part of another because of a number in its name."""
    return any(mark in name for mark in _PART_MARKS)


@dataclass(frozen=True, slots=True)
class LegacyFigures:
    """One model as the reference shows it; rewards times 100.

    Args:
        rewards: by baseline; 0 where the model was not compared.
        dropped: the reference leaves the model out because of its name.
    """

    wb_score: float | None
    groups: Mapping[str, float]
    macro: float | None
    rewards: Mapping[str, float]
    mix: float
    mean_chars: float | None
    dropped: bool


def legacy_figures(
    model: str,
    verdicts: Iterable[Verdict],
    *,
    baselines: Sequence[str] = (),
    tasks: TaskSet | None = None,
    margin: int | None = None,
) -> LegacyFigures:
    """One model's figures with the reference's faults.

    Args:
        model: its name.
        verdicts: its score and pair verdicts by one judge.
        baselines: those of the mix.
        tasks: the benchmark, needed for groups.
        margin: length margin K; None for none.
    """
    rows = [v for v in verdicts if v.value is not None]
    scores = [v for v in rows if v.kind == "score"]
    kept = [v for v in scores if not is_empty(v) and not v.meta.get("truncated")]
    groups: dict[str, list[float]] = defaultdict(list)
    for v in kept if tasks is not None else []:
        for group in tasks.groups.get(v.task_id, ()) if tasks is not None else ():
            groups[group].append(v.value or 0.0)
    means = {group: wb_scale(math.fsum(values) / len(values)) for group, values in groups.items()}
    lengths = [v.n_chars for v in kept if v.n_chars is not None]
    rewards = {
        baseline: 100 * legacy_reward([v for v in rows if v.kind == "pair" and v.baseline == baseline], margin)
        for baseline in baselines
    }
    return LegacyFigures(
        wb_score=wb_scale(math.fsum(v.value or 0.0 for v in scores) / len(scores)) if scores else None,
        groups=means,
        macro=macro(means) if means else None,
        rewards=rewards,
        mix=sum(rewards.values()) / len(rewards) if rewards else 0.0,
        mean_chars=sum(lengths) / len(lengths) if lengths else None,
        dropped=dropped_by_name(model),
    )


def legacy_reward(verdicts: Sequence[Verdict], margin: int | None = None) -> float:
    """The reward (-1..1) over all judged lines, without the outcomes of empty and cut answers; 0 without any line."""
    judged = [v for v in verdicts if v.value is not None]
    marks = ("empty", "baseline_empty", "truncated", "baseline_truncated")
    counted = [v for v in judged if not is_empty(v) and not any(v.meta.get(mark) for mark in marks)]
    return count_outcomes(relabel(counted, margin)).reward(len(judged)) or 0.0


@dataclass(frozen=True, slots=True)
class PublishedBoard:
    """A published leaderboard: what its files hold, by model.

    Args:
        scores: rows of ``score.json``.
        pairs: rows of ``pairwise-<baseline>-K=<K>.json`` by baseline's short name.
        others: columns of ``all_stat.json`` (human ratings and other benchmarks).
        elo: mean WB-Elo.
        margin: K of the pair files; -1 is none.
        june: the snapshot of June 2024, whose macro weighs coding with 1.
    """

    scores: Mapping[str, Mapping[str, Any]]
    pairs: Mapping[str, Mapping[str, Mapping[str, Any]]]
    others: Mapping[str, Mapping[str, Any]]
    elo: Mapping[str, float]
    margin: int = -1
    june: bool = False
    names: tuple[str, ...] = field(default=("haiku", "llama", "gpt4t"))

    @classmethod
    def read(cls, folder: Path, margin: int | None = None) -> PublishedBoard:
        """Read a folder of ``score.json``, ``pairwise-*.json``, ``all_stat.json`` and ``wb_elo_results.json``.

        Raises:
            MissingError: no ``score.json``.
        """
        folder = Path(folder)
        if not (folder / "score.json").is_file():
            raise MissingError("the folder holds no score.json of a published leaderboard", where=str(folder))
        k = -1 if margin is None else margin
        pair_files = {name: folder / f"pairwise-{name}-K={k}.json" for name in ("haiku", "llama", "gpt4t")}
        if margin is not None and not any(path.is_file() for path in pair_files.values()):
            raise MissingError(f"the folder has no pair files with K = {margin}", where=str(folder))
        scores = read_json(folder / "score.json")
        others, elo = folder / "all_stat.json", folder / "wb_elo_results.json"
        return cls(
            scores,
            {name: read_json(path) if path.is_file() else {} for name, path in pair_files.items()},
            read_json(others) if others.is_file() else {},
            {m: row["avg"] for m, row in read_json(elo)["elo_stat"].items()} if elo.is_file() else {},
            k,
            _weighs_as_in_june(scores),
        )

    def table(self, *, legacy: bool = False) -> dict[str, dict[str, Any]]:
        """The merged table, by model in the order of the files, with the reference's column names.

        Args:
            legacy: as published: a model that was not compared has reward 0, rewards are divided by all judged lines.
                Otherwise what is missing is None, rewards are over the counted comparisons, a mix needs all baselines,
                and a baseline's comparison with itself is 0.
        """
        rows = {model: self._row(model, legacy) for model in self._order()}
        _rank(rows, "WB_score.task_macro", "Rank_ScoreMacro", legacy)
        _rank(rows, f"task_macro_reward.K={self.margin}", "Rank_TaskMacroReward.K", legacy)
        for model, row in rows.items():
            ranks = row["Rank_ScoreMacro"], row["Rank_TaskMacroReward.K"]
            row["Rank_Avg"] = _mean(ranks)
            row["RewardScore_Avg"] = _mean((row["WB_score.task_macro"], row[f"task_macro_reward.K={self.margin}"]))
            row["WB_Elo"] = self.elo.get(model.replace("@together", ""), "-")
        return rows

    def _order(self) -> list[str]:
        known = [model for model in self.others if model in self.scores]
        return known + [model for model in self.scores if model not in self.others]

    def _row(self, model: str, legacy: bool) -> dict[str, Any]:
        k, score = self.margin, self.scores[model]
        row = dict(self.others.get(model) or _NO_OTHERS[self.june])
        rewards = {name: self._pair(name, model, legacy) for name in self.names}
        for name, found in rewards.items():
            row[f"{name}_reward.K={k}"] = found["reward"]
        for group in _GROUP_ORDER:
            for name, found in rewards.items():
                row[f"{name}_reward.{group}.K={k}"] = found[group]
            row[f"mixture_of_rewards.{group}.K={k}"] = _mean([found[group] for found in rewards.values()])
        for name, found in rewards.items():
            row[f"{name}_reward.task_macro.K={k}"] = found["macro"]
        row[f"mixture_of_rewards.K={k}"] = _mean([found["reward"] for found in rewards.values()])
        row[f"task_macro_reward.K={k}"] = _mean([found["macro"] for found in rewards.values()])
        for group in _GROUP_ORDER:
            row[f"WB_score.{group}"] = score["task_categorized_scores"].get(group, 0) * 10
        row["WB_score"] = score["adjusted_score"] * 10
        row["WB_score.task_macro"] = score["task_macro_score"] * 10
        row["Length"] = score["avg_len"]
        return row

    def _pair(self, name: str, model: str, legacy: bool) -> dict[str, float | None]:
        """Reward, macro and group rewards against one baseline, times 100."""
        pair = self.pairs[name].get(model)
        if pair is None:
            nothing = 0 if legacy or model == _BASELINE_OF[name] else None
            return dict.fromkeys(("reward", "macro", *_GROUP_ORDER), nothing)
        groups = pair["task_categorized_rewards"]
        counts = Counts(*(pair[outcome] for outcome in Counts._fields))
        reward = pair["reward"] if legacy else counts.reward()
        weights = GROUP_WEIGHTS_JUNE if self.june else GROUP_WEIGHTS
        macro_reward = pair["task_macro_reward"] if legacy else macro(groups, weights)
        return {
            "reward": _hundred(reward),
            "macro": _hundred(macro_reward),
            **{group: _hundred(groups.get(group)) for group in _GROUP_ORDER},
        }


_GROUP_ORDER = (
    "Creative Tasks",
    "Planning & Reasoning",
    "Math & Data Analysis",
    "Information/Advice seeking",
    "Coding & Debugging",
)
_BENCHMARKS = ("Arena-Hard v0.1", "AE2.0 LC", "AE2.0")
_NO_OTHERS = {
    False: dict.fromkeys(("Arena Elo (hard-en) - latest", *_BENCHMARKS), "-"),
    True: dict.fromkeys(("Arena Elo (hard) - 2024-05-20", *_BENCHMARKS), "-"),
}


def _weighs_as_in_june(scores: Mapping[str, Mapping[str, Any]]) -> bool:
    """Which weights gave the file its macros."""
    for row in scores.values():
        groups = row["task_categorized_scores"]
        now, june = macro(groups), macro(groups, GROUP_WEIGHTS_JUNE)
        if now is None or june is None or set(groups) != set(GROUPS):
            raise DataError("a row of score.json lacks one of the five groups")
        stated = row["task_macro_score"]
        if abs(now - stated) < 1e-9 or abs(june - stated) < 1e-9:
            return bool(abs(june - stated) < abs(now - stated))
    raise DataError("the macros of score.json follow from neither set of weights")


def _hundred(value: float | None) -> float | None:
    return None if value is None else value * 100


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _rank(rows: Mapping[str, dict[str, Any]], column: str, name: str, legacy: bool) -> None:
    """Ranks by a column; the reference breaks ties by the order of the table, and ours share the better rank."""
    there = [(model, row[column]) for model, row in rows.items() if row[column] is not None]
    ordered = sorted(there, key=lambda item: -item[1])
    for place, (model, value) in enumerate(ordered, 1):
        better = sum(other > value for _, other in there)
        rows[model][name] = place if legacy else better + 1
    for row in rows.values():
        row.setdefault(name, None)
