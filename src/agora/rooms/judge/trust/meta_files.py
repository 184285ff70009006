"""Read leaderboards and human ratings, ours and published ones, as ratings by metric."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from agora.core.csv_table import CsvTable
from agora.core.errors import DataError, UsageError
from agora.core.tables import read_json, read_rows
from agora.rooms.judge.trust.meta import Rated, Ratings

_NAMES = ("model", "name", "key", "generator")
_RATING = ("rating", "elo", "score", "value", "human")
_LOW = ("rating_q025", "low", "lower", "ci_low")
_HIGH = ("rating_q975", "high", "upper", "ci_high")


def read_metrics(path: Path, *, names: Mapping[str, str] | None = None) -> dict[str, dict[str, Rated]]:
    """The metrics of a leaderboard.

    Args:
        path: what ``agora judge leaderboard --json`` printed (metrics of two judges stay apart), a JSON object of rows
            by model, rows of ``model``, ``score``, ``lower``, ``upper``, ``results`` (bootstrap statistics), or a CSV
            table with a column of models and columns of numbers.
        names: other names of models, such as those of the human ratings.

    Raises:
        MissingError: no such file.
        DataError: none of these forms, or no number in it.
    """
    path = Path(path)
    if path.name.endswith((".csv", ".csv.gz", ".csv.zst")):
        found = _from_csv(CsvTable.read(path))
    elif path.suffix == ".json":
        data = read_json(path)
        found = _from_board(data) if isinstance(data, dict) and "models" in data else _from_objects(path, data)
    else:
        found = _from_rows(path)
    metrics = {metric: dict(ratings) for metric, ratings in found.items() if ratings}
    if not metrics:
        raise DataError("the leaderboard holds no numbers by model", where=str(path))
    return {metric: _renamed(ratings, names or {}, path) for metric, ratings in metrics.items()}


def read_human(path: Path, column: str | None = None, *, names: Mapping[str, str] | None = None) -> dict[str, Rated]:
    """Human ratings from a CSV table: a column of models and one of ratings, and perhaps their bounds and variance.

    Raises:
        DataError: a column is missing; names those there are.
        UsageError: `column` is not in the table.
    """
    table = CsvTable.read(path)
    named = {" ".join(name.split()): name for name in table.columns}  # a heading may be broken into lines
    if column is not None and " ".join(column.split()) not in named:
        raise UsageError(f"no column {column!r} in {path}, it has {', '.join(named)}")
    value = named[" ".join(column.split())] if column is not None else table.column(*_RATING)
    models = [row[_model_column(table)] for row in table.rows]
    low, high, variance = (_optional(table, *wanted) for wanted in (_LOW, _HIGH, ("variance",)))
    out: dict[str, Rated] = {}
    for model, rating, below, above, spread in zip(models, table.numbers(value), low, high, variance, strict=True):
        if rating is None:
            continue
        if model in out:
            raise DataError(f"two human ratings of {model}", where=str(path))
        out[model] = Rated(rating, below, above, rating, spread)
    return _renamed(out, names or {}, path)


def _optional(table: CsvTable, *names: str) -> list[float]:
    there = {name.casefold() for name in table.columns}
    if not there.intersection(names):
        return [math.nan] * len(table.rows)
    return [math.nan if v is None else v for v in table.numbers(table.column(*names))]


def _model_column(table: CsvTable) -> str:
    try:
        return table.column(*_NAMES)
    except DataError:
        return table.columns[0]


def _renamed(ratings: Mapping[str, Rated], names: Mapping[str, str], path: Path) -> dict[str, Rated]:
    out = {names.get(model, model): rated for model, rated in ratings.items()}
    if len(out) < len(ratings):
        raise DataError("two models of the table are given one name", where=str(path))
    return out


def _from_csv(table: CsvTable) -> dict[str, dict[str, Rated]]:
    name = _model_column(table)
    out: dict[str, dict[str, Rated]] = {}
    for column in table.columns:
        if column == name:
            continue
        try:
            values = list(table.numbers(column))
        except DataError:
            continue  # a column of words
        out[column] = {
            row[name]: Rated(value) for row, value in zip(table.rows, values, strict=True) if value is not None
        }
    return out


def _from_objects(path: Path, data: Any) -> dict[str, dict[str, Rated]]:
    if not isinstance(data, dict) or not all(isinstance(row, dict) for row in data.values()):
        raise DataError("expected a JSON object of rows by model", where=str(path))
    out: dict[str, dict[str, Rated]] = defaultdict(dict)
    for model, row in data.items():
        for column, value in row.items():
            number = _as_number(value)
            if number is not None:
                out[column][model] = Rated(number)
    return out


def _as_number(value: Any) -> float | None:
    if isinstance(value, bool) or value is None or isinstance(value, dict | list):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _from_rows(path: Path) -> dict[str, dict[str, Rated]]:
    out: dict[str, Rated] = {}
    for line, row in read_rows(path):
        try:
            draws = [float(value) for value in row.get("results") or []]
            low, high = (float(row.get(name, math.nan)) for name in ("lower", "upper"))
            mean = sum(draws) / len(draws) if draws else math.nan
            variance = sum((draw - mean) ** 2 for draw in draws) / len(draws) if draws else math.nan
            out[row["model"]] = Rated(float(row["score"]), low, high, mean, variance)
        except (KeyError, TypeError, ValueError) as err:
            raise DataError(f"not a row of model and score: {err}", where=f"{path}:{line}") from None
    return {"score": out}


def _from_board(data: dict[str, Any]) -> dict[str, dict[str, Rated]]:
    judges = {(row.get("judge", ""), row.get("version", "")) for row in data["models"]}
    out: dict[str, dict[str, Rated]] = defaultdict(dict)
    for row in data["models"]:
        by = f" by {row.get('judge', '')} {row.get('version', '')}".rstrip() if len(judges) > 1 else ""
        for metric, rated in _board_metrics(row):
            out[f"{metric}{by}"][row["name"]] = rated
    return out


def _board_metrics(row: Mapping[str, Any]) -> Iterator[tuple[str, Rated]]:
    yield from _rated("wb_score", row.get("wb_score"), row.get("wb_score_ci"), row.get("se"))
    yield from _rated("macro", row.get("macro"), row.get("macro_ci"))
    yield from _rated("macro_unweighted", row.get("macro_unweighted"))
    if row.get("rank") is not None or row.get("wb_score") is None:
        yield from _rated("wb_reward_mix", row.get("wb_reward_mix"), row.get("wb_reward_mix_ci"))
        yield from _rated("wb_reward_macro", row.get("wb_reward_macro"))
    for baseline, one in (row.get("wb_reward") or {}).items():
        yield from _rated(f"wb_reward vs {baseline}", one.get("reward"), one.get("ci"), one.get("se"))
        yield from _rated(
            f"length-controlled vs {baseline}", one.get("length_controlled_win_rate"), one.get("length_controlled_ci")
        )
    for metric in ("rating", "rating_at_equal_length", "rating_at_equal_style"):
        found = row.get(metric) or {}
        yield from _rated(metric, found.get("value"), found.get("ci"))
    yield from _rated("mean_chars", row.get("mean_chars"))


def _rated(metric: str, value: Any, bounds: Any = None, se: Any = None) -> Iterator[tuple[str, Rated]]:
    if value is None:
        return
    low, high = bounds if bounds and None not in bounds else (math.nan, math.nan)
    spread = float(se) if se is not None else (high - low) / (2 * 1.959964)
    yield metric, Rated(float(value), low, high, float(value), spread**2)


def ratings_of(metrics: Mapping[str, Ratings], wanted: Sequence[str]) -> dict[str, Ratings]:
    """The metrics asked for; all of them when none is named.

    Raises:
        UsageError: one is not there; names those there are.
    """
    unknown = [metric for metric in wanted if metric not in metrics]
    if unknown:
        raise UsageError(f"no metric {unknown[0]!r}; there are {', '.join(metrics)}")
    return {metric: metrics[metric] for metric in wanted or metrics}
