"""From values to what a page shows: formatted numbers, interval bars, funnel bars, folded texts.

A view is a plain mapping for the template; nothing here is HTML.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias

from agora.core.errors import DataError
from agora.core.stats import Interval

Cell: TypeAlias = str | int | float | bool | Interval | None
Row: TypeAlias = Sequence[Cell] | Mapping[str, Cell]
FunnelStep: TypeAlias = tuple[str, int, Mapping[str, int]]
View: TypeAlias = dict[str, Any]

_MISSING = "–"
_FOLD_CHARS = 600  # a longer text shows its beginning and folds the rest
_ROLE_TONES = {"user": "user", "instruction": "user", "prompt": "user", "chosen": "good", "rejected": "bad"}


def value_view(value: Cell, spec: str = "") -> View:
    """One value: `text`, and for an interval `low`, `high` and `how` it was found. No `spec`: decimals by magnitude."""
    value = _plain(value)
    spec = spec or _auto_format([value])
    if not isinstance(value, Interval):
        text = _format(value, spec)
        return {"text": text, "missing": text == _MISSING}
    estimate, low, high = (_format(part, spec) for part in value[:3])
    how = f"{value.method}; n = {value.n:,}" + (f"; {value.dropped:,} missing left out" if value.dropped else "")
    view: View = {"text": estimate, "missing": estimate == _MISSING, "how": how}
    return view if _MISSING in (low, high) else view | {"low": low, "high": high}


def value_text(value: Cell | Path) -> str:
    """One value in running text; whole numbers as they are, since a seed or a year has no thousands separator."""
    value = _plain(value)
    if isinstance(value, Path) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    view = value_view(value)
    return f"{view['text']} [{view['low']}, {view['high']}]" if "low" in view else str(view["text"])


def table_view(
    columns: list[str],
    rows: Sequence[Row],
    formats: Mapping[str, str],
    align: Mapping[str, Literal["left", "right"]],
    bars: Sequence[str] | None,
) -> View:
    """Heads, lines of cells, and the note on intervals of :meth:`agora.core.report.Report.table`."""
    unknown = [name for name in [*formats, *align, *(bars or ())] if name not in columns]
    if not columns or unknown or len(set(columns)) < len(columns):
        raise DataError(f"unknown or repeated columns {unknown or columns}; the table has {columns}")
    grid = [_cells(row, columns, number) for number, row in enumerate(rows, 1)]
    by_column = {name: [line[j] for line in grid] for j, name in enumerate(columns)}
    intervals = {name: [c for c in cells if isinstance(c, Interval)] for name, cells in by_column.items()}
    with_intervals = [name for name, found in intervals.items() if found]
    drawn = (with_intervals if len(with_intervals) <= 2 else []) if bars is None else bars
    heads, columns_of_views = [], []
    for name, cells in by_column.items():
        views = _column_views(cells, formats.get(name) or _auto_format(cells), name in drawn)
        # an interval aligns its own parts, so its column starts at the left like text
        default = "left" if name in with_intervals or not any(map(_is_number, cells)) else "right"
        heads.append({"title": name, "right": align.get(name, default) == "right"})
        columns_of_views.append(views)
    lines = [list(line) for line in zip(*columns_of_views, strict=True)]
    method = _method_note([interval for found in intervals.values() for interval in found])
    return {"heads": heads, "rows": lines, "method": method, "row_heads": not heads[0]["right"]}


def funnel_view(steps: Sequence[FunnelStep]) -> list[View]:
    """One view a step: count, share of the first step, bar width in percent, losses by reason."""
    views: list[View] = []
    widest = max((n for _, n, _ in steps), default=0) or 1
    before: int | None = None
    for label, n, reasons in steps:
        listed = sorted(((why, k) for why, k in reasons.items() if k), key=lambda item: (-item[1], item[0]))
        explained = sum(k for _, k in listed)
        lost = explained if before is None else before - n
        if lost > explained:  # nothing disappears silently
            listed.append(("no reason recorded", lost - explained))
        most = max((k for _, k in listed), default=1)
        views.append(
            {
                "label": label,
                "n": f"{n:,}",
                "share": _format(n / steps[0][1], ".1%") if steps[0][1] else _MISSING,
                "width": round(100 * n / widest, 2),
                "lost": f"{lost:,}" if lost > 0 else "",
                "reasons": [{"why": why, "n": f"{k:,}", "width": round(100 * k / most, 2)} for why, k in listed],
            }
        )
        before = n
    return views


def text_view(name: str, value: Cell) -> View:
    """A named text of an example, cut where a long one folds, with the tone of its role."""
    text = value if isinstance(value, str) else value_text(value)
    cut = len(text)
    if len(text) > _FOLD_CHARS + 200:  # folding away a line or two helps nobody
        cut = max(text.rfind(" ", 0, _FOLD_CHARS), text.rfind("\n", 0, _FOLD_CHARS)) + 1 or _FOLD_CHARS
    return {"name": name, "tone": _ROLE_TONES.get(name.lower(), "other"), "head": text[:cut], "rest": text[cut:]}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(value: Any) -> Any:
    """A numpy scalar as the Python value it stands for; anything else unchanged."""
    return value.item() if type(value).__module__ == "numpy" and hasattr(value, "item") else value


def _finite(values: Iterable[Any]) -> list[float]:
    parts = [part for v in values for part in (v[:3] if isinstance(v, Interval) else (v,))]
    return [part for part in parts if _is_number(part) and math.isfinite(part)]


def _auto_format(values: Iterable[Any]) -> str:
    """Whole numbers with thousands separators; otherwise about three digits for the largest value."""
    numbers = _finite(values)
    if all(isinstance(v, int) for v in numbers):
        return ",d"
    largest = max(abs(v) for v in numbers)
    return f",.{0 if largest >= 1000 else 1 if largest >= 10 else 2 if largest >= 1 else 3}f"


def _format(value: Any, spec: str) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return _MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not _is_number(value):
        return str(value)
    try:
        text = format(int(value) if spec.endswith("d") else value, spec)
    except ValueError as error:
        raise DataError(f"{spec!r} is not a number format: {error}", hint="use one such as .1f or .0%") from error
    # a difference that rounds to nothing has no sign
    return text[1:] if text.startswith("-") and not re.search("[1-9]", text) else text


def _cells(row: Row, columns: list[str], number: int) -> list[Any]:
    if isinstance(row, Mapping):
        extra = [key for key in row if key not in columns]
        if extra:
            raise DataError(f"row {number} has unknown columns {extra}; the table has {columns}")
        return [_plain(row.get(name)) for name in columns]
    if len(row) != len(columns):
        raise DataError(f"row {number} has {len(row)} cells, the table has {len(columns)} columns")
    return [_plain(cell) for cell in row]


def _column_views(cells: Sequence[Any], spec: str, with_bars: bool) -> list[View]:
    views = [value_view(cell, spec) for cell in cells]
    # one width for each part, so that digits stand below digits and bars start at one place
    text_ch = max((len(v["text"]) for v in views), default=0)
    bounds_ch = max((len(v["low"] + v["high"]) + 2 for v in views if "low" in v), default=0)  # "[", ", " and "]"
    views = [view | {"text_ch": text_ch, "bounds_ch": bounds_ch} if "how" in view else view for view in views]
    if with_bars:
        _add_bars(cells, views)
    return views


def _add_bars(cells: Sequence[Any], views: Sequence[View]) -> None:
    """Place each interval on the axis that the column shares, in 3..97 of 100."""
    numbers = _finite(cell for cell in cells if isinstance(cell, Interval))
    if not numbers:
        return
    low, high = min(numbers), max(numbers)
    # where zero is near, the axis starts there: the eye then compares sizes and not only places
    low, high = min(low, 0.0 if 0 < low < high / 2 else low), max(high, 0.0 if low / 2 < high < 0 else high)
    span = high - low or 1.0

    def place(value: float) -> float:
        return round(3 + 94 * (value - low) / span, 2)

    for cell, view in zip(cells, views, strict=True):
        if isinstance(cell, Interval) and "low" in view and not view["missing"]:
            zero = place(0.0) if low <= 0 <= high else None
            view["bar"] = {"low": place(cell.low), "x": place(cell.estimate), "high": place(cell.high), "zero": zero}


def _method_note(intervals: Sequence[Interval]) -> str:
    """How the intervals were found and from how many values, for below the table."""
    parts = []
    for method in sorted({interval.method for interval in intervals}):
        counts = sorted({interval.n for interval in intervals if interval.method == method})
        span = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
        parts.append(f"{method} (n = {span})")
    dropped = sum(interval.dropped for interval in intervals)
    missing = f" Missing values left out: {dropped:,}." if dropped else ""
    return f"Intervals: {'; '.join(parts)}.{missing}" if parts else ""
