"""Leaderboards as text tables."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from agora.core.files import printable
from agora.rooms.judge.board import BoardRow, JudgeTable, Leaderboard

if TYPE_CHECKING:
    from rich.table import Table


def tables(board: Leaderboard) -> Iterator[Table]:
    """One rich table a judge."""
    for table in board.tables:
        yield _table(table, board.margin)


def _table(table: JudgeTable, margin: int | None) -> Table:
    from rich.markup import escape
    from rich.table import Table

    name = printable(f"{table.judge} {table.version}".strip())
    caption = [f"{table.num_tasks:,} tasks ({table.basis}); n: tasks with a score; intervals: bootstrap over tasks"]
    with_scores = any(row.score for row in table.rows)
    with_rewards = any(row.reward for row in table.rows)
    with_groups = any(row.score and row.score.macro is not None for row in table.rows)
    out = Table(title=f"Judge: {escape(name)}", title_justify="left", caption_justify="left")
    out.add_column("#", justify="right")
    out.add_column("model", overflow="fold")
    if with_scores:
        macro = ["macro"] if with_groups else []
        for column in ("WB-Score", "95 % interval", *macro, "SE", "n", "coverage", "chars"):
            out.add_column(column, justify="right")
        out.add_column("next")
        caption.append("next: > the model below is separable on the common tasks (paired, 95 %), ~ it is not")
    if with_rewards:
        out.add_column("Reward mix", justify="right")
        out.add_column("95 % interval", justify="right")
        caption.append(
            "rewards without length margin" if margin is None else f"rewards with length margin K = {margin}"
        )
    separable = {d.first: d.separable for d in table.neighbors}
    for row in table.rows:
        mark = {True: ">", False: "~", None: ""}[separable.get(row.name)]
        cells = ["-" if row.rank is None else str(row.rank), escape(printable(row.name))]
        cells += [*_score_cells(row, with_groups), mark] if with_scores else []
        cells += _reward_cells(row) if with_rewards else []
        out.add_row(*cells)
    out.caption = "\n".join(caption)
    return out


def _score_cells(row: BoardRow, with_groups: bool) -> list[str]:
    score = row.score
    if score is None:
        return [""] * (6 + with_groups)
    shown = row.rank is not None
    return [
        _figure(score.wb_score, 2) if shown else "withheld",
        _range(score.interval.low, score.interval.high) if shown else "",
        *([_figure(score.macro, 2)] if with_groups else []),
        _figure(score.se, 2),
        f"{score.n:,}",
        f"{100 * score.coverage:.1f} %",
        _figure(score.mean_chars, 0),
    ]


def _reward_cells(row: BoardRow) -> list[str]:
    reward = row.reward
    if reward is None or reward.mix is None:
        return ["missing", ""]
    interval = reward.mix_interval
    return [_figure(reward.mix, 2), _range(interval.low, interval.high) if interval else ""]


def _figure(value: float | None, digits: int) -> str:
    return "" if value is None or math.isnan(value) else f"{value:,.{digits}f}"


def _range(low: float, high: float) -> str:
    return "" if math.isnan(low) else f"{low:.1f} to {high:.1f}"
