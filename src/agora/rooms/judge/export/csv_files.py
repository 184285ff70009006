"""Tables for spreadsheets: the leaderboard and every verdict, with nothing in them that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from agora.core.files import write_bytes
from agora.rooms.judge.export.source import ExportSource
from agora.rooms.judge.ranking.board import Leaderboard

# What a spreadsheet takes for the beginning of a formula, full-width forms included.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠", "|", "%")
VERDICT_COLUMNS = (
    "judge", "version", "kind", "task_id", "model", "baseline", "order", "status", "value", "n_chars",
    "baseline_n_chars", "prompt_name", "prompt_hash", "reasons",
)  # fmt: skip


def export_csv(source: ExportSource, board: Leaderboard, out: Path) -> tuple[list[Path], list[str]]:
    """Write ``leaderboard.csv`` and ``verdicts.csv``; returns their paths and what a reader should know."""
    models = board.to_json()["models"]
    groups = sorted({name for model in models for name in model.get("groups", {})})
    baselines = sorted({name for model in models for name in model.get("wb_reward", {})})
    head = ["judge", "version", "rank", "model", "wb_score", "low", "high", "macro", *groups, "reward_mix"]
    head += [*(f"reward_vs_{name}" for name in baselines), "n", "coverage", "mean_chars"]
    rows = []
    for m in models:
        low, high = m.get("wb_score_ci") or (None, None)
        of_group = [(m.get("groups", {}).get(name) or {}).get("value") for name in groups]
        rewards = [m.get("wb_reward_mix"), *((m.get("wb_reward", {}).get(b) or {}).get("reward") for b in baselines)]
        figures = [m.get("wb_score"), low, high, m.get("macro"), *of_group, *rewards]
        counts = [m.get("n"), m.get("coverage"), m.get("mean_chars")]
        rows.append([m["judge"], m["version"], m["rank"], m["name"], *figures, *counts])
    write_csv(out / "leaderboard.csv", head, rows)
    write_csv(out / "verdicts.csv", VERDICT_COLUMNS, _verdict_rows(source))
    return [out / "leaderboard.csv", out / "verdicts.csv"], list(board.notes)


def _verdict_rows(source: ExportSource) -> Iterable[list[Any]]:
    for version, v in source.verdicts:
        reasons = "\n\n".join(f"{name}: {text}" for name, text in v.parsed.items() if isinstance(text, str))
        yield [v.judge, version, v.kind, v.task_id, v.model, v.baseline, v.order, v.status, v.value, v.n_chars,
               v.baseline_n_chars, v.prompt_name, v.prompt_hash, reasons]  # fmt: skip


def write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table atomically: numbers as numbers, missing as an empty cell, texts unable to be a formula."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([safe_cell(name) for name in head])
    writer.writerows([safe_cell(cell) for cell in row] for row in rows)
    write_bytes(path, text.getvalue().encode("utf-8", "replace"))


def safe_cell(value: Any) -> Any:
    """A cell that a spreadsheet shows and does not run: a text that could begin a formula begins with an apostrophe."""
    if not isinstance(value, str):
        return value
    value = value.replace("\0", "")
    return f"'{value}" if value.lstrip(" ").startswith(_FORMULA) else value
