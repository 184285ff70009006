"""All models before one judge: WB-Score by group, WB-Reward against three baselines, paired intervals."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from agora.core.records import Answer, Measure, Task, Verdict
from agora.core.runs import RunDir
from agora.core.tables import write_jsonl
from agora.loop.settings import CHECKER, LoopConfig
from agora.loop.stored import read_stored
from agora.rooms.judge import judge_pairs, judge_scores, open_judge
from agora.rooms.judge.scoring.metrics import Difference, ScoreReport, paired_difference, score_report
from agora.rooms.judge.scoring.reward import RewardReport, reward_report
from agora.rooms.judge.types import TaskSet

COMPARED = (
    ("sft", "base"),
    ("dpo", "base"),
    ("ppo", "base"),
    ("dpo", "sft"),
    ("ppo", "sft"),
    ("ppo", "dpo"),
    ("chat", "ppo"),
)


@dataclass(frozen=True, slots=True)
class ModelResult:
    """One model's figures by one judge."""

    name: str
    score: ScoreReport
    reward: RewardReport
    correct: float | None  # share of tasks whose essential checks pass; the microcosm's checker alone knows it

    def as_json(self) -> dict[str, Any]:
        """The model's entry of ``agora loop --json``."""
        interval = self.score.interval
        return {
            "name": self.name,
            "judge": self.score.judge,
            "n": self.score.n,
            "coverage": self.score.coverage,
            "wb_score": self.score.wb_score,
            "wb_score_ci": [interval.low, interval.high],
            "wb_score_macro": self.score.macro,
            "groups": {name: value.value for name, value in self.score.groups.items()},
            "wb_reward_mix": self.reward.mix,
            "wb_rewards": {name: value.reward for name, value in self.reward.baselines.items()},
            "correct": self.correct,
            "mean_chars": self.score.mean_chars,
        }


@dataclass(frozen=True, slots=True)
class Judged:
    """What the judge said of all models."""

    judge: str
    models: tuple[ModelResult, ...]
    differences: tuple[Difference, ...]
    scores: dict[str, dict[str, Verdict]]  # model -> task id -> verdict
    answers: dict[str, dict[str, Answer]]


def choose_benchmark(config: LoopConfig, world_tasks: Sequence[Task], mined: Sequence[Task]) -> list[Task]:
    """The tasks that scores rest on: mined ones when a model judges them, the world's own for the checker.

    The microcosm's checker knows the truth of its own world and of nothing else.
    """
    if mined and config.judge != CHECKER:
        return list(mined)
    return list(world_tasks)


def judge_all(run: RunDir, config: LoopConfig, benchmark: Sequence[Task], names: Sequence[str]) -> Judged:
    """Score every model, compare it with every baseline, and store each number as a measure."""
    tasks = TaskSet.of(benchmark)
    answers = {name: {a.task_id: a for a in read_stored(run.file(f"answers_{name}.jsonl"), Answer)} for name in names}
    given = [a for of_model in answers.values() for a in of_model.values() if a.task_id in tasks.by_id]
    judge = open_judge(config.judge, seed=0, cache=run.file("cache/judge.sqlite"))
    with run.stage("judge"):
        scored = judge_scores(tasks, given, judge, run.file("verdicts_scores.jsonl"), allow_partial=True)
        baselines = [a for a in given if a.model in config.baselines]
        compared = judge_pairs(
            tasks, given, baselines, judge, run.file("verdicts_rewards.jsonl"), seed=config.seed, allow_partial=True
        )
    scores: dict[str, dict[str, Verdict]] = defaultdict(dict)
    for verdict in scored:
        scores[verdict.model][verdict.task_id] = verdict
    results = tuple(
        ModelResult(
            name,
            score_report(scores[name].values(), tasks=tasks, seed=config.seed),
            reward_report(
                [v for v in compared if v.model == name],
                model=name,
                baselines=config.baselines,
                tasks=tasks,
                margin=config.margin,
                seed=config.seed,
            ),
            _correct(scores[name].values()),
        )
        for name in names
    )
    differences = tuple(
        paired_difference(scores[a].values(), scores[b].values(), seed=config.seed) for a, b in COMPARED
    )
    write_jsonl(run.file("measures.jsonl"), [m for result in results for m in _measures(result)])
    for result in results:
        run.metric("wb_score", result.score.wb_score, model=result.name)
        run.metric("wb_reward_mix", result.reward.mix, model=result.name)
    return Judged(judge.name, results, differences, dict(scores), answers)


def _correct(verdicts: Iterable[Verdict]) -> float | None:
    """Share of correct answers where the judge knows it; an empty answer, which no judge is asked about, is wrong."""
    rows = [v for v in verdicts if v.status == "ok"]
    if not any("correct" in v.parsed for v in rows):
        return None
    return sum(bool(v.parsed.get("correct")) for v in rows) / len(rows)


def _measures(result: ModelResult) -> list[Measure]:
    score, mix = result.score, result.reward.mix_interval
    labels = {"judge": score.judge}
    return [
        Measure(
            "wb_score", score.wb_score, score.n, score.interval.low, score.interval.high,
            method=score.interval.method, unit="WB points", subject=result.name, meta=labels,
        ),
        Measure(
            "wb_reward_mix", result.reward.mix, score.n, mix.low if mix else None, mix.high if mix else None,
            method=mix.method if mix else "", unit="reward points", subject=result.name, meta=labels,
        ),
    ]  # fmt: skip
