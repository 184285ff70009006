"""A benchmark and its verdicts for other tools: WildBench's files, tables, lm-evaluation-harness, inspect_ai."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from agora.core.errors import UsageError
from agora.core.records import Answer
from agora.rooms.judge.export.source import ExportSource
from agora.rooms.judge.types import TaskSet

__all__ = ["Exported", "export"]


class Exported(NamedTuple):
    """What an export wrote, and what its reader should know."""

    files: list[Path]
    notes: list[str]


def export(
    to: str,
    out: Path,
    files: Sequence[Path] = (),
    *,
    tasks: TaskSet | None = None,
    answers: Iterable[Answer] = (),
    judge: str | None = None,
    baseline: str | None = None,
    name: str = "",
    include_private: bool = False,
) -> Exported:
    """Write a benchmark and its verdicts in another tool's form.

    Args:
        to: ``wildbench``, ``csv``, ``lm-eval`` or ``inspect``.
        out: folder to write to.
        files: of verdicts; a folder stands for the files in it. Not needed for lm-eval and inspect.
        tasks: the benchmark; needed for lm-eval and inspect.
        answers: what the models said, where the judged files do not hold it.
        judge: who grades in lm-eval or inspect; else the judge of files that do not name theirs.
        name: of the task in lm-eval or inspect.
        include_private: whether private tasks are exported; by default they and all that belongs to them stay out.

    Raises:
        UsageError: something that the form needs is not given.
        MissingError, DataError: as the readers of the files raise them.
    """
    harness = to in ("lm-eval", "inspect")
    if not files and to == "csv":
        raise UsageError("an export to csv needs files of verdicts", hint="name them before the options")
    if not files and tasks is None:
        raise UsageError(f"nothing to export to {to}", hint="give files of verdicts, or --tasks FILE")
    source = ExportSource.read(
        files,
        tasks=tasks,
        answers=answers,
        judge=None if harness else judge,
        baseline=baseline,
        include_private=include_private,
    )
    if to == "csv":
        from agora.rooms.judge.export.csv_files import export_csv
        from agora.rooms.judge.ranking.board import leaderboard

        board = leaderboard(files, tasks=tasks, judge=judge, baseline=baseline)
        written, notes = export_csv(source, board, out)
    else:
        written, notes = _write(to, source, out, name, judge)
    if source.num_private:
        notes.append(f"{source.num_private:,} private tasks are left out (--include-private takes them in)")
    return Exported(written, notes)


def _write(to: str, source: ExportSource, out: Path, name: str, judge: str | None) -> tuple[list[Path], list[str]]:
    from agora.rooms.judge.export.harness import export_inspect, export_lm_eval
    from agora.rooms.judge.export.wildbench import export_wildbench

    if to == "lm-eval":
        return export_lm_eval(source, out, name=name, judge=judge)
    if to == "inspect":
        return export_inspect(source, out, name=name, judge=judge)
    if to == "wildbench":
        return export_wildbench(source, out)
    raise UsageError(f"no export to {to!r}", hint="use wildbench, csv, lm-eval or inspect")
