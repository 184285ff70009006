"""Leaderboards as text tables."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from agora.core.files import printable
from agora.core.stats import Interval
from agora.rooms.judge.ranking.board import BoardRow, JudgeTable, Leaderboard
from agora.rooms.judge.ranking.self_preference import KinRanks

if TYPE_CHECKING:
    from rich.table import Table


Columns = Iterator[tuple[str, Callable[[BoardRow], str]]]


def tables(board: Leaderboard) -> Iterator[Table]:
    """One rich table a judge, and one of its comparisons where it also gave scores; then the ranking of all judges
    with and without self-preference.
    """
    for table in board.tables:
        name = f"Judge: {table.judge} {table.version}".rstrip()
        out = _ranked(table, name, [*_value_columns(table), *_rating_columns(table), *_length_columns()])
        notes = list(_caption(table))
        margin = "rewards without length margin" if board.margin is None else f"length margin K = {board.margin}"
        if table.ranked_by == "reward":
            notes.append(margin)
        out.caption = "\n".join(notes)
        yield out
        if table.ranked_by == "score" and any(row.reward for row in table.rows):
            pairs = _ranked(table, f"{name}, comparisons", list(_reward_columns(table)))
            pairs.caption = margin
            yield pairs
    for found in board.together:
        if found.rows:
            yield _together(found)


def _together(found: KinRanks) -> Table:
    from rich.markup import escape
    from rich.table import Table

    title = f"{len(found.judges)} judges, with and without what they say of their own family"
    out = Table(title=title, title_justify="left", caption_justify="left")
    for heading in ("#", "without", "moved"):
        out.add_column(heading, justify="right")
    out.add_column("model", overflow="fold")
    for heading in ("value", "without"):
        out.add_column(heading, justify="right")
    out.add_column("kin of")
    for row in found.rows:
        ranks = ("-" if rank is None else str(rank) for rank in (row.rank, row.rank_without))
        values = (_figure(value, 2) for value in (row.value, row.value_without))
        kin = escape(printable(", ".join(row.kin)))
        out.add_row(*ranks, "moved" if row.moved else "", escape(printable(row.name)), *values, kin)
    out.caption = "values at the judges' mean level: strength of the model + level of the judge, least squares"
    return out


def _ranked(table: JudgeTable, title: str, columns: list[tuple[str, Callable[[BoardRow], str]]]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    out = Table(title=escape(printable(title)), title_justify="left", caption_justify="left")
    out.add_column("#", justify="right")
    out.add_column("95 %", justify="right")
    if table.own is not None:
        out.add_column("# without own", justify="right")
    out.add_column("model", overflow="fold")
    for heading, _ in columns:
        out.add_column(heading, justify="right")
    out.add_column("next")
    separable = {d.first: d.separable for d in table.neighbors}
    for row in table.rows:
        rank = "-" if row.rank is None else str(row.rank)
        bounds = "" if row.rank_bounds is None else f"{row.rank_bounds[0]}-{row.rank_bounds[1]}"
        mark = {True: ">", False: "~", None: ""}[separable.get(row.name)]
        kin = table.own.row(row.name) if table.own is not None else None
        without = [] if table.own is None else [str(kin.rank_without) if kin and kin.rank_without else "-"]
        out.add_row(rank, bounds, *without, escape(printable(row.name)), *[cell(row) for _, cell in columns], mark)
    return out


def _value_columns(table: JudgeTable) -> Columns:
    """Scores, or rewards in a table without scores."""
    return _score_columns(table) if any(row.score for row in table.rows) else _reward_columns(table)


def _rating_columns(table: JudgeTable) -> Columns:
    """The ratings that the votes determine, and the reference's figures where they were asked for."""
    if table.ratings and table.ratings.ratings:
        yield "rating", lambda row: _rating(table.rating(row.name))
    if table.ratings_at_equal_length and table.ratings_at_equal_length.ratings:
        yield "at equal length", lambda row: _rating(table.rating_at_equal_length(row.name))
    if table.ratings_at_equal_style and table.ratings_at_equal_style.ratings:
        yield "at equal style", lambda row: _rating(table.rating_at_equal_style(row.name))
    if any(row.legacy for row in table.rows):
        yield from _legacy_columns(table)


def _length_columns() -> Columns:
    yield "coverage", lambda row: f"{100 * row.coverage:.1f} %"
    yield "chars", _chars


def _score_columns(table: JudgeTable) -> Columns:
    yield "WB-Score", _score
    yield "95 % interval", lambda row: _range(row.score.interval) if row.score and row.rank else ""
    if any(row.score and row.score.macro is not None for row in table.rows):
        yield "macro", lambda row: _figure(row.score.macro if row.score else None, 2)
        yield "groups' mean", lambda row: _figure(row.score.macro_unweighted if row.score else None, 2)
    yield "n", lambda row: f"{row.score.n:,}" if row.score else ""


def _reward_columns(table: JudgeTable) -> Columns:
    baselines = sorted({name for row in table.rows if row.reward for name in row.reward.baselines})
    yield "Reward mix", lambda row: "missing" if not row.reward or row.reward.mix is None else f"{row.reward.mix:.2f}"
    yield "95 % interval", lambda row: _range(row.reward.mix_interval if row.reward else None)
    if len(baselines) == 1:
        against = baselines[0]
        yield "win rate %", lambda row: _figure(row.reward.baselines[against].win_rate if row.reward else None, 2)
    for name in baselines:
        heading = "equal length %" if len(baselines) == 1 else f"equal length % vs {printable(name)}"
        yield heading, partial(_controlled, name)


def _legacy_columns(table: JudgeTable) -> Columns:
    if any(row.legacy and row.legacy.macro is not None for row in table.rows):
        yield "legacy macro", lambda row: _figure(row.legacy.macro if row.legacy else None, 2)
    if any(row.reward for row in table.rows):
        yield "legacy mix", lambda row: _figure(row.legacy.mix if row.legacy else None, 2)
    if table.legacy_elo:
        yield (
            "legacy Elo",
            lambda row: _figure(table.legacy_elo[row.name].mean if row.name in table.legacy_elo else None, 0),
        )


def _caption(table: JudgeTable) -> Iterator[str]:
    yield f"{table.num_tasks:,} tasks ({table.basis}); n: tasks with a score; 95 %: bootstrap over tasks"
    found = table.separability
    if found is not None:
        yield (
            f"{found.num_paired} of {len(found.pairs)} pairs are separable task by task, {found.num_unpaired} by "
            f"intervals that do not overlap; next: > the model below is separable (paired, 95 %), ~ it is not"
        )
    if table.own is not None:
        yield "# without own: the rank without the verdicts in which the judge meets its own family"
    if any(row.legacy for row in table.rows):
        yield "legacy: as the reference computes it, with its faults; for comparison with published numbers only"


def _score(row: BoardRow) -> str:
    if row.score is None:
        return ""
    return _figure(row.score.wb_score, 2) if row.rank is not None else "withheld"


def _controlled(baseline: str, row: BoardRow) -> str:
    if row.name == baseline:
        return "50.00"
    return _figure(row.length_controlled[baseline].rate if baseline in row.length_controlled else None, 2)


def _chars(row: BoardRow) -> str:
    return _figure(row.score.mean_chars if row.score else row.reward.mean_chars if row.reward else None, 0)


def _rating(value: Interval | None) -> str:
    if value is None:
        return ""
    return (
        f"{value.estimate:.0f} ± {(value.high - value.low) / 2:.0f}"
        if value.high > value.low
        else f"{value.estimate:.0f}"
    )


def _figure(value: float | None, digits: int) -> str:
    return "" if value is None or math.isnan(value) else f"{value:,.{digits}f}"


def _range(value: Interval | None) -> str:
    return "" if value is None or math.isnan(value.low) else f"{value.low:.1f} to {value.high:.1f}"
