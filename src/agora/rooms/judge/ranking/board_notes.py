"""What a reader of a leaderboard must know beside its numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from agora.core.length_control import is_extreme
from agora.rooms.judge.ranking.self_preference import KinRanks, kin_note
from agora.rooms.judge.scoring.bias import OrderBias

if TYPE_CHECKING:
    from agora.rooms.judge.ranking.board import BoardRow, JudgeTable


def board_notes(tables: Sequence[JudgeTable], allow_partial: bool, together: Sequence[KinRanks] = ()) -> Iterable[str]:
    """Notes on all tables, one line each."""
    if len(tables) > 1:
        named = ", ".join(f"{table.judge} {table.version}".strip() for table in tables)
        yield f"{len(tables)} judges or versions ({named}): their scores are not comparable and share no ranking"
    for table in tables:
        for row in table.rows:
            yield from _row_notes(table, row, allow_partial)
        cut = [f"{row.name} {row.truncated}" for row in table.rows if row.truncated]
        if cut:
            yield f"answers that were cut before {table.judge} saw them: {', '.join(cut)}"
        if table.own is not None:
            yield kin_note(table.own)
        if table.order is not None and table.order.difference.excludes(0):
            yield _order_note(table, table.order)
        ratings = ("", table.ratings), (" at equal length", table.ratings_at_equal_length)
        for what, found in (*ratings, (" at equal style", table.ratings_at_equal_style)):
            if found is not None and found.reason and found.num_votes:
                yield f"no ratings{what} by {table.judge}: {found.reason}"
    yield from map(kin_note, together)


def _order_note(table: JudgeTable, order: OrderBias) -> str:
    gap = order.difference
    size = f"{gap.estimate:+.1f} ({gap.low:.1f} to {gap.high:.1f})"
    note = f"{table.judge} favors a place: shown first, the candidate gets {size}"
    if len(order.by_model) > 1:
        note += f"; {order.models_better_second} of {len(order.by_model)} models do better when shown second"
    if table.difficulty_shift is not None and table.difficulty_shift.excludes(0):
        shift = table.difficulty_shift
        note += f"; the given difficulties differ by {shift.estimate:+.2f} between the two places: they hold this bias"
    return note


def _row_notes(table: JudgeTable, row: BoardRow, allow_partial: bool) -> Iterable[str]:
    if row.value is not None and row.partial and not allow_partial:
        share = f"{100 * row.coverage:.1f} % of the tasks {'have a score' if row.score else 'were compared'}"
        bounds = row.score.bounds if row.score else None
        between = f", its score lies between {bounds[0]:.1f} and {bounds[1]:.1f}" if bounds else ""
        common = f"; on the {row.num_common:,} common tasks {row.common:.1f}" if row.common is not None else ""
        yield f"{row.name} by {table.judge}: {share}, not ranked (--allow-partial ranks it){between}{common}"
    for warning in (*(row.score.warnings if row.score else ()), *(row.reward.warnings if row.reward else ())):
        yield f"{row.name} by {table.judge}: {warning}"
    for baseline, one in row.length_controlled.items():
        raw = row.reward.baselines[baseline].win_rate if row.reward else None
        if one.rate is not None and raw is not None and is_extreme(one.rate, raw):
            yield f"{row.name} against {baseline}: length control moves {raw:.1f} % to {one.rate:.1f} %: why?"
        if one.rate is None:
            yield f"{row.name} against {baseline} by {table.judge}: no length-controlled rate, {one.reason}"
