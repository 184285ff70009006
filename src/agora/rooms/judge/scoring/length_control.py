"""Length-controlled win rates of a table's models, from stored pair verdicts (AlpacaEval 2)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from agora.core.csv_table import CsvTable
from agora.core.errors import DataError
from agora.core.length_control import GamedRows, LengthControlled, length_controlled, scaled_gap
from agora.core.records import Verdict


def length_control(
    verdicts: Iterable[Verdict],
    *,
    difficulty: Mapping[str, float] | None = None,
    gamed: GamedRows | None = None,
) -> dict[str, dict[str, LengthControlled]]:
    """The win rate at equal lengths of every model against every baseline.

    Args:
        verdicts: pair verdicts by one judge; a task asked in both orders counts with the mean of the two. Verdicts
            without a value or without both lengths are left out.
        difficulty: of each task; joined by the task's id, never by its place in a file. None: the model without it.
        gamed: rows that hold the length term in place.

    Returns:
        By model, then by baseline.

    Raises:
        DataError: a task has no difficulty.
    """
    by_pair: dict[tuple[str, str], dict[str, list[Verdict]]] = defaultdict(lambda: defaultdict(list))
    for v in verdicts:
        known = v.value is not None and v.n_chars is not None and v.baseline_n_chars is not None
        if v.kind == "pair" and v.baseline and v.baseline != v.model and known:
            by_pair[v.model, v.baseline][v.task_id].append(v)
    out: dict[str, dict[str, LengthControlled]] = defaultdict(dict)
    for (model, baseline), by_task in sorted(by_pair.items()):
        tasks = sorted(by_task)
        first = [by_task[task][0] for task in tasks]
        preferences = [0.5 + sum(v.value or 0.0 for v in by_task[task]) / (2 * len(by_task[task])) for task in tasks]
        out[model][baseline] = length_controlled(
            preferences,
            [v.n_chars or 0 for v in first],
            [v.baseline_n_chars or 0 for v in first],
            None if difficulty is None else _joined(difficulty, tasks),
            gamed=gamed,
        )
    return dict(out)


def _joined(difficulty: Mapping[str, float], tasks: list[str]) -> list[float]:
    unknown = [task for task in tasks if task not in difficulty]
    if unknown:
        raise DataError(f"{len(unknown)} tasks have no difficulty, the first is {unknown[0]}")
    return [difficulty[task] for task in tasks]


def read_difficulty(path: Path) -> dict[str, float]:
    """Difficulties from a CSV file of ``index`` (or ``task_id``) and ``instruction_difficulty`` (or ``difficulty``)."""
    table = CsvTable.read(path)
    task = table.column("task_id", "index")
    values = table.known(table.column("difficulty", "instruction_difficulty"))
    return {row[task]: value for row, value in zip(table.rows, values, strict=True)}


def read_gamed(path: Path, difficulty: Mapping[str, float] | None = None) -> GamedRows:
    """Gamed rows from a CSV file of ``gamed_model``, ``index``, ``len_baseline``, ``len_model`` and a preference.

    The preference's column is ``preference`` or ``fitted_preference``, from 0 to 1. Together the gamed baselines weigh
    0.2 of a model, as published.
    """
    import numpy as np

    table = CsvTable.read(path)
    name, task = table.column("gamed_model", "model"), table.column("task_id", "index")
    models = np.array([row[name] for row in table.rows])
    gaps = np.array(table.known("len_baseline")) - np.array(table.known("len_model"))
    lengths = np.zeros(len(gaps))
    for model in np.unique(models):
        lengths[models == model] = scaled_gap(gaps[models == model])
    known = np.zeros(len(gaps)) if difficulty is None else _joined(difficulty, [row[task] for row in table.rows])
    preferences = np.array(table.known(table.column("preference", "fitted_preference")))
    return GamedRows(lengths, np.asarray(known, dtype=float), preferences, 0.2 / len(np.unique(models)))
