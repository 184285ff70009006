"""From verdicts to figures: each data set's score, and its paired difference to the first one over all seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agora.core.records import Verdict
from agora.core.stats import Interval, bootstrap_mean, paired_bootstrap
from agora.loop.compare.settings import CompareConfig


@dataclass(frozen=True, slots=True)
class Outcome:
    """One data set. Scores are WB points, (mean grade - 5) x 20.

    Attributes:
        score: mean over seeds, with a bootstrap interval over tasks (a task's grades of all seeds go together).
        by_seed: the same of each seed alone.
        correct: share of right answers, where the judge knows it.
        difference: to the reference data set, paired by task, and the interval over tasks; None for the reference.
        seeds_better: seeds in which it scored higher than the reference did.
    """

    name: str
    score: Interval
    by_seed: tuple[float, ...]
    correct: float | None
    difference: Interval | None = None
    seeds_better: int | None = None

    @property
    def differs(self) -> bool:
        """The interval of the difference leaves 0 out."""
        return self.difference is not None and not self.difference.low <= 0 <= self.difference.high

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "name": self.name,
            "wb_score": self.score.estimate,
            "ci": [self.score.low, self.score.high],
            "by_seed": list(self.by_seed),
            "correct": self.correct,
            "difference": self.difference.estimate if self.difference else None,
            "difference_ci": [self.difference.low, self.difference.high] if self.difference else None,
            "seeds_better": self.seeds_better,
        }


Grades = dict[str, float]  # task id -> grade, 1..10


def outcomes(
    config: CompareConfig, verdicts: Mapping[tuple[str, int], Sequence[Verdict]], untrained: Sequence[Verdict]
) -> list[Outcome]:
    """Every data set in the order of the configuration, then the student as it was.

    Seeds are other draws and other trainings; the tasks are the same. So a task's grades are averaged over seeds first,
    and the interval over tasks is that of the mean; how far the seeds lie apart is shown beside it.
    """
    reference = config.names[0]
    of = {name: [_grades(verdicts[name, seed]) for seed in config.seeds] for name in config.names}
    found = []
    for name in config.names:
        given = [v for seed in config.seeds for v in verdicts[name, seed]]
        outcome = _outcome(name, of[name], _correct(given))
        if name != reference:
            outcome = _compared(outcome, of[name], of[reference])
        found.append(outcome)
    student = _grades(untrained)
    first = _outcome("untrained", [student], _correct(untrained))
    return [*found, _compared(first, [student], of[reference])]


def _grades(verdicts: Sequence[Verdict]) -> Grades:
    return {v.task_id: float(v.value) for v in verdicts if v.status == "ok" and v.value is not None}


def _mean_by_task(seeds: Sequence[Grades]) -> Grades:
    common = set(seeds[0]).intersection(*seeds[1:])
    return {task: sum(grades[task] for grades in seeds) / len(seeds) for task in sorted(common)}


def _points(grades: Grades) -> float:
    return 20 * (sum(grades.values()) / len(grades) - 5) if grades else float("nan")


def _outcome(name: str, seeds: Sequence[Grades], correct: float | None) -> Outcome:
    mean = _mean_by_task(seeds)
    score = bootstrap_mean(list(mean.values())).rescaled(20, -100)
    return Outcome(name, score, tuple(_points(grades) for grades in seeds), correct)


def _compared(outcome: Outcome, seeds: Sequence[Grades], reference: Sequence[Grades]) -> Outcome:
    mine, theirs = _mean_by_task(seeds), _mean_by_task(reference)
    common = [task for task in mine if task in theirs]
    gap = paired_bootstrap([mine[t] for t in common], [theirs[t] for t in common]).rescaled(20)
    better = (
        sum(_points(a) > _points(b) for a, b in zip(seeds, reference, strict=True))
        if len(seeds) == len(reference)
        else None
    )
    return Outcome(outcome.name, outcome.score, outcome.by_seed, outcome.correct, gap, better)


def _correct(verdicts: Sequence[Verdict]) -> float | None:
    rows = [v for v in verdicts if v.status == "ok"]
    if not any("correct" in v.parsed for v in rows):
        return None
    return sum(bool(v.parsed.get("correct")) for v in rows) / len(rows)
