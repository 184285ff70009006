"""A judge's mean, corrected by a few labels that people gave (prediction-powered inference).

The judge has a value for all N tasks and people for n of them: ``theta = lambda * mean_N(judge) + mean_n(human -
lambda * judge)``. A judge that follows people narrows the interval; one that does not gets lambda near 0, and what is
left is the people's own mean. Sources: Angelopoulos et al. 2023, arXiv:2301.09633 and arXiv:2311.01453.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agora.core.csv_table import CsvTable
from agora.core.errors import DataError
from agora.core.records import Verdict
from agora.core.stats import Interval

_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Corrected:
    """A mean by judge, by people, and by both.

    Args:
        corrected: the prediction-powered mean; n: its human labels.
        human: the mean of the human labels alone.
        judge: the judge's mean over all tasks, uncorrected.
        bias: judge minus human on the tasks that both have.
        weight: how much of the judge is used (lambda), 0 to 1.
    """

    corrected: Interval
    human: Interval
    judge: Interval
    bias: Interval
    weight: float

    @property
    def effective_n(self) -> float:
        """Human labels that alone would give the corrected interval."""
        spread = self.corrected.high - self.corrected.low
        alone = self.human.high - self.human.low
        return self.human.n * (alone / spread) ** 2 if spread > 0 else math.inf

    def rescaled(self, scale: float, shift: float = 0.0) -> Corrected:
        """All means on another scale."""
        corrected, human, judge = (mean.rescaled(scale, shift) for mean in (self.corrected, self.human, self.judge))
        return Corrected(corrected, human, judge, self.bias.rescaled(scale), self.weight)


def corrected_mean(judge: Mapping[str, float], human: Mapping[str, float]) -> Corrected:
    """The mean that people would give over all judged tasks.

    Args:
        judge: the judge's value of every task.
        human: people's value of some of these tasks, drawn at random.

    Raises:
        DataError: fewer than 2 common tasks, or a labeled task that the judge has no value for.
    """
    unknown = sorted(human.keys() - judge.keys())
    if unknown:
        raise DataError(f"the judge has no value for {len(unknown)} labeled tasks, the first is {unknown[0]}")
    if len(human) < 2:
        raise DataError(f"a correction needs at least 2 human labels, got {len(human)}")
    tasks = sorted(human)
    return prediction_powered([judge[t] for t in sorted(judge)], [judge[t] for t in tasks], [human[t] for t in tasks])


def prediction_powered(
    all_judged: Sequence[float], judged: Sequence[float], human: Sequence[float], level: float = _LEVEL
) -> Corrected:
    """As :func:`corrected_mean`, from columns.

    Args:
        all_judged: the judge's N values.
        judged, human: the judge's and people's values of the n labeled tasks.
    """
    import numpy as np

    every, f, y = (np.asarray(column, dtype=float) for column in (all_judged, judged, human))
    if len(f) != len(y):
        raise DataError(f"columns of different lengths: {len(f)} judged and {len(y)} labeled")
    n, total = len(y), len(every)
    spread = float(every.var(ddof=1)) if total > 1 else 0.0
    weight = float(np.cov(y, f)[0, 1]) / (spread * (1 + n / total)) if spread > 0 else 0.0
    weight = min(1.0, max(0.0, weight))
    rest = y - weight * f
    estimate = weight * float(every.mean()) + float(rest.mean())
    variance = weight**2 * spread / total + float(rest.var(ddof=1)) / n
    method = f"prediction-powered {100 * level:g} %"
    return Corrected(
        _normal(estimate, variance, n, method, level),
        _normal(float(y.mean()), float(y.var(ddof=1)) / n, n, f"normal {100 * level:g} %", level),
        _normal(float(every.mean()), spread / total, total, f"normal {100 * level:g} %", level),
        _normal(float((f - y).mean()), float((f - y).var(ddof=1)) / n, n, f"paired, normal {100 * level:g} %", level),
        weight,
    )


def _normal(estimate: float, variance: float, n: int, method: str, level: float) -> Interval:
    from scipy.stats import t

    half = float(t.ppf((1 + level) / 2, n - 1)) * math.sqrt(variance) if n > 1 else math.nan
    return Interval(estimate, estimate - half, estimate + half, n, method, 0, level)


def correct_verdicts(verdicts: Iterable[Verdict], labels: Mapping[str, Mapping[str, float]]) -> dict[str, Corrected]:
    """Corrected means by model, on the verdicts' own scale (1 to 10, or -1 to 1).

    Args:
        verdicts: of one kind by one judge; two orders of a comparison count with their mean.
        labels: human values by model and task.

    Raises:
        DataError: a labeled answer has no verdict.
    """
    values: dict[str, dict[str, list[float]]] = {}
    for v in verdicts:
        if v.value is not None and v.model in labels:
            values.setdefault(v.model, {}).setdefault(v.task_id, []).append(v.value)
    out = {}
    for model, human in labels.items():
        judged = {task: sum(found) / len(found) for task, found in values.get(model, {}).items()}
        try:
            out[model] = corrected_mean(judged, human)
        except DataError as err:
            raise DataError(f"{model}: {err.what}", hint=err.hint) from None
    return out


def read_labels(path: Path) -> dict[str, dict[str, float]]:
    """Human labels from a CSV table of ``model``, ``task_id`` and ``value`` (or ``score``, ``label``); several people's
    labels of one answer count with their mean.

    Raises:
        DataError: a column is missing or a label is no number.
    """
    table = CsvTable.read(path)
    model, task = table.column("model", "name"), table.column("task_id", "task", "session_id", "index")
    labels: dict[str, dict[str, list[float]]] = {}
    values = table.numbers(table.column("value", "score", "label", "human"))
    for row, value in zip(table.rows, values, strict=True):
        if value is not None:
            labels.setdefault(row[model], {}).setdefault(row[task], []).append(value)
    if not labels:
        raise DataError("the table holds no labels", where=str(path))
    return {name: {t: sum(v) / len(v) for t, v in by_task.items()} for name, by_task in labels.items()}
