"""Leaderboards as text tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from agora.core.files import printable
from agora.core.stats import Interval
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
    columns = list(_columns(table))
    out = Table(title=f"Judge: {escape(name)}", title_justify="left", caption_justify="left")
    out.add_column("#", justify="right")
    out.add_column("95 %", justify="right")
    out.add_column("model", overflow="fold")
    for heading, _ in columns:
        out.add_column(heading, justify="right")
    out.add_column("next")
    separable = {d.first: d.separable for d in table.neighbors}
    for row in table.rows:
        rank = "-" if row.rank is None else str(row.rank)
        bounds = "" if row.rank_bounds is None else f"{row.rank_bounds[0]}-{row.rank_bounds[1]}"
        mark = {True: ">", False: "~", None: ""}[separable.get(row.name)]
        out.add_row(rank, bounds, escape(printable(row.name)), *[cell(row) for _, cell in columns], mark)
    out.caption = "\n".join(_caption(table, margin))
    return out


def _columns(table: JudgeTable) -> Iterator[tuple[str, Callable[[BoardRow], str]]]:
    """The columns that the table has something for."""
    rows = table.rows
    if any(row.score for row in rows):
        yield "WB-Score", _score
        yield "95 % interval", lambda row: _range(row.score.interval) if row.score and row.rank else ""
        if any(row.score and row.score.macro is not None for row in rows):
            yield "macro", lambda row: _figure(row.score.macro if row.score else None, 2)
            yield "groups' mean", lambda row: _figure(row.score.macro_unweighted if row.score else None, 2)
        yield "n", lambda row: f"{row.score.n:,}" if row.score else ""
    if any(row.reward for row in rows):
        yield (
            "Reward mix",
            lambda row: _figure(row.reward.mix, 2) if row.reward and row.reward.mix is not None else ("missing"),
        )
        yield "95 % interval", lambda row: _range(row.reward.mix_interval if row.reward else None)
    baselines = sorted({name for row in rows if row.reward for name in row.reward.baselines})
    if len(baselines) == 1:
        against = baselines[0]
        yield "win rate %", lambda row: _figure(row.reward.baselines[against].win_rate if row.reward else None, 2)
    for name in baselines:
        heading = "equal length %" if len(baselines) == 1 else f"equal length % vs {printable(name)}"
        yield heading, lambda row, name=name: _figure(_controlled(row, name), 2)  # type: ignore[misc]
    if table.ratings and table.ratings.ratings:
        yield "rating", lambda row: _rating(table.rating(row.name))
    if table.ratings_at_equal_length and table.ratings_at_equal_length.ratings:
        yield "at equal length", lambda row: _rating(table.rating_at_equal_length(row.name))
    yield "coverage", lambda row: f"{100 * row.coverage:.1f} %"
    yield "chars", _chars


def _caption(table: JudgeTable, margin: int | None) -> Iterator[str]:
    yield f"{table.num_tasks:,} tasks ({table.basis}); n: tasks with a score; 95 %: bootstrap over tasks"
    found = table.separability
    if found is not None:
        yield (
            f"{found.num_paired} of {len(found.pairs)} pairs are separable task by task, {found.num_unpaired} by "
            f"intervals that do not overlap; next: > the model below is separable (paired, 95 %), ~ it is not"
        )
    if any(row.reward for row in table.rows):
        yield "rewards without length margin" if margin is None else f"rewards with length margin K = {margin}"
    if table.order is not None and table.order.difference.excludes(0):
        yield f"the judge favors a place: the candidate gets {table.order.difference.estimate:+.1f} when shown first"


def _score(row: BoardRow) -> str:
    if row.score is None:
        return ""
    return _figure(row.score.wb_score, 2) if row.rank is not None else "withheld"


def _controlled(row: BoardRow, baseline: str) -> float | None:
    if row.name == baseline:
        return 50.0
    return row.length_controlled[baseline].rate if baseline in row.length_controlled else None


def _chars(row: BoardRow) -> str:
    return _figure(row.score.mean_chars if row.score else row.reward.mean_chars if row.reward else None, 0)


def _rating(value: Interval | None) -> str:
    return "" if value is None else f"{value.estimate:.0f} [{value.low:.0f}, {value.high:.0f}]"


def _figure(value: float | None, digits: int) -> str:
    return "" if value is None or math.isnan(value) else f"{value:,.{digits}f}"


def _range(value: Interval | None) -> str:
    return "" if value is None or math.isnan(value.low) else f"{value.low:.1f} to {value.high:.1f}"
