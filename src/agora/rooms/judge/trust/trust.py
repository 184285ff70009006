"""From files of verdicts to what can be trusted of them: agreement, power, corrected means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from agora.core.errors import DataError
from agora.core.records import Verdict
from agora.rooms.judge.formats.judged_files import judged_paths, read_judged
from agora.rooms.judge.ranking.votes import ScoreMatrix
from agora.rooms.judge.scoring.bias import LengthEffect, OrderBias, length_effect, order_bias
from agora.rooms.judge.scoring.reward import mix_matrix
from agora.rooms.judge.trust.human_labels import Corrected, correct_verdicts, read_labels
from agora.rooms.judge.trust.judge_agreement import (
    JudgePair,
    SelfPreference,
    judge_pairs_agreement,
    panel_alpha,
    self_preference,
)
from agora.rooms.judge.trust.power import PowerReport, Stability, power_report, subset_stability, tasks_needed

_SUBSETS = (32, 64, 128, 256, 512, 1024, 2048)


class Source(NamedTuple):
    """Whose verdicts: a judge and its version of the evaluation, and one kind."""

    judge: str
    version: str
    kind: str

    def __str__(self) -> str:
        """For a reader."""
        return f"{self.judge} {self.version}".strip()


def read_sources(
    files: Iterable[Path], *, judge: str | None = None, baseline: str | None = None
) -> dict[Source, list[Verdict]]:
    """Verdicts by judge, version and kind."""
    out: dict[Source, list[Verdict]] = defaultdict(list)
    for path in judged_paths(files):
        file = read_judged(path, judge=judge, baseline=baseline)
        for verdict in file.verdicts:
            out[Source(verdict.judge, file.version, verdict.kind)].append(verdict)
    if not out:
        raise DataError("no files of verdicts were given")
    return dict(sorted(out.items()))


@dataclass(frozen=True, slots=True)
class AgreementReport:
    """Judges on the same answers.

    Args:
        alpha: Krippendorff's over all judges, where there are more than two.
        biases: order and length bias of each judge's verdicts.
    """

    pairs: tuple[JudgePair, ...]
    alpha: float | None
    preferences: tuple[SelfPreference, ...]
    biases: Mapping[str, tuple[OrderBias | None, LengthEffect]]


def agreement_of_files(
    files: Iterable[Path],
    *,
    judge: str | None = None,
    baseline: str | None = None,
    families: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
) -> AgreementReport:
    """Compare all judges of some files.

    Args:
        files: verdicts of at least two judges on the same answers.
        judge, baseline: of files that do not state them.
        families: models of a judge's own family, by judge.
    """
    sources = read_sources(files, judge=judge, baseline=baseline)
    verdicts = [v for rows in sources.values() for v in rows]
    names = {v.id: str(source) for source, rows in sources.items() for v in rows}
    pairs = judge_pairs_agreement(verdicts, versions=names, seed=seed)
    several = len({source.judge for source in sources}) > 2
    return AgreementReport(
        tuple(pairs),
        panel_alpha(verdicts) if several else None,
        tuple(self_preference(verdicts, name, models, seed=seed) for name, models in (families or {}).items()),
        {
            f"{source}, {source.kind} verdicts": (
                order_bias(rows) if source.kind == "pair" else None,
                length_effect(rows),
            )
            for source, rows in sources.items()
        },
    )


@dataclass(frozen=True, slots=True)
class TablePower:
    """What the tasks of one table can tell; figures in points of the table.

    Args:
        needed: tasks that find `gap` with the report's power at the median spread; None without a gap.
        stability: rankings on random subsets against that on all tasks that every model has.
    """

    source: Source
    report: PowerReport
    stability: tuple[Stability, ...]
    gap: float | None
    needed: int | None


def power_of_files(
    files: Iterable[Path],
    *,
    judge: str | None = None,
    baseline: str | None = None,
    gap: float | None = None,
    power: float = 0.8,
    seed: int = 0,
) -> list[TablePower]:
    """What each table of some files can tell.

    Args:
        files: verdicts on at least two models.
        judge, baseline: of files that do not state them.
        gap: a true difference in points (WB-Score's or WB-Reward's).
        power: probability to find it.
    """
    out = []
    for source, rows in read_sources(files, judge=judge, baseline=baseline).items():
        by_model: dict[str, list[Verdict]] = defaultdict(list)
        for v in rows:
            by_model[v.model].append(v)
        models = tuple(sorted(by_model))
        if len(models) < 2:
            continue
        if source.kind == "score":
            values_TM, scale = ScoreMatrix.of({model: by_model[model] for model in models}).values_TM, 20.0
        else:
            baselines = sorted({v.baseline for v in rows if v.baseline})
            values_TM, scale = mix_matrix(by_model, models, baselines), 100.0
        report = power_report(values_TM, models, scale=scale, power=power)
        whole = int((values_TM == values_TM).all(axis=1).sum())
        sizes = tuple(size for size in _SUBSETS if size < whole)
        stability = subset_stability(values_TM, sizes, seed=seed) if sizes else []
        needed = tasks_needed(gap, report.spread, power=power) if gap else None
        out.append(TablePower(source, report, tuple(stability), gap, needed))
    if not out:
        raise DataError("the power of a comparison needs verdicts on at least two models")
    return out


@dataclass(frozen=True, slots=True)
class CorrectedTable:
    """Corrected means of one table, by model; on the shown scale."""

    source: Source
    models: Mapping[str, Corrected]


def correct_files(
    files: Iterable[Path], labels: Path, *, judge: str | None = None, baseline: str | None = None
) -> list[CorrectedTable]:
    """Correct each judge's means by human labels.

    Args:
        files: verdicts.
        labels: CSV table of model, task_id and value; scores are of 1 to 10, outcomes of -1 to 1.
        judge, baseline: of files that do not state them.

    Raises:
        DataError: a label outside the scale, or on an answer without a verdict.
    """
    known = read_labels(labels)
    out = []
    for source, rows in read_sources(files, judge=judge, baseline=baseline).items():
        low, high, scale, shift = (1.0, 10.0, 20.0, -100.0) if source.kind == "score" else (-1.0, 1.0, 100.0, 0.0)
        wrong = [(m, t, v) for m, by_task in known.items() for t, v in by_task.items() if not low <= v <= high]
        if wrong:
            model, task, value = wrong[0]
            what = f"the label {value} of {model} on task {task} is outside {low:g} to {high:g}"
            raise DataError(what, where=str(labels), hint=f"{source.kind} verdicts have this scale")
        models = {model: by_task for model, by_task in known.items() if any(v.model == model for v in rows)}
        if models:
            corrected = correct_verdicts(rows, models)
            out.append(CorrectedTable(source, {m: c.rescaled(scale, shift) for m, c in corrected.items()}))
    if not out:
        raise DataError("no labeled model has a verdict", where=str(labels), hint="do the names agree?")
    return out
