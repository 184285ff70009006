"""Which preference format a source is in, judged by its first rows."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from agora.core.errors import DataError, UsageError
from agora.core.files import nearest
from agora.core.records import JsonMap
from agora.core.tables import Rejects
from agora.curate.pairs.base import PairFormat
from agora.curate.pairs.formats import PAIR_FORMATS, format_named
from agora.curate.sources import open_source

_ROWS_LOOKED_AT = 50


class Chosen(NamedTuple):
    """A format, and the column names that the user gave with it."""

    format: PairFormat
    keys: dict[str, str]


def detect_pairs(path: Path) -> PairFormat:
    """The format that most of the first 50 readable rows have.

    Raises:
        MissingError: no such source.
        DataError: empty, nothing readable, or no known format: names the columns and the nearest format.
    """
    rejects = Rejects()
    rows = [row.data for _, row in islice(open_source(path, rejects=rejects), _ROWS_LOOKED_AT)]
    if not rows:
        reason = next(iter(rejects.by_reason), "no rows")
        raise DataError(f"no readable row among the first {rejects.count}: {reason}", where=str(path))
    votes = Counter(format_.name for row in rows if (format_ := format_of(row)) is not None)
    if not votes:
        raise _unknown(path, rows[0])
    return PAIR_FORMATS[max(votes, key=lambda name: votes[name])]


def format_of(row: JsonMap) -> PairFormat | None:
    """The first format that a row fits."""
    return next((format_ for format_ in PAIR_FORMATS.values() if format_.guessed and format_.matches(row)), None)


def choose_format(path: Path, name: str) -> Chosen:
    """The format that a user named; ``auto`` looks at the rows.

    ``openrlhf:prompt=question,chosen=good,rejected=bad`` names the columns.

    Raises:
        UsageError: unknown name or key. And as :func:`detect_pairs`.
    """
    if name == "auto":
        return Chosen(detect_pairs(path), {})
    bare, _, flags = name.partition(":")
    format_ = format_named(bare)
    keys = dict(flag.partition("=")[::2] for flag in flags.split(",") if flag)
    allowed = {"prompt", "chosen", "rejected", "margin"} if bare == "openrlhf" else set()
    if wrong := sorted(keys.keys() - allowed):
        hint = "write openrlhf:prompt=COLUMN,chosen=COLUMN,rejected=COLUMN"
        raise UsageError(f"format {bare} takes no {', '.join(wrong)}", hint=hint)
    return Chosen(format_, keys)


def _unknown(path: Path, row: JsonMap) -> DataError:
    seen = list(row)
    what = f"unknown preference format; the columns are {', '.join(map(repr, seen[:12])) or 'none'}"
    named = "name a format with --format, or columns with --format openrlhf:prompt=..,chosen=..,rejected=.."
    best, lacking = nearest_format(seen)
    needs = f"it also needs {', '.join(map(repr, lacking))}" if lacking else "its values have another shape"
    near = f"the nearest is {best.name} ({needs})" if len(lacking) < len(best.columns) else "none is near"
    return DataError(what, where=str(path), hint=f"{near}; {named}")


def nearest_format(columns: list[str]) -> tuple[PairFormat, list[str]]:
    """The format whose columns are the most like the given ones, and those of its columns that are not there."""

    def likeness(format_: PairFormat) -> float:
        return sum(map(near, format_.columns)) / len(format_.columns)

    def near(name: str) -> float:
        alike = nearest(name, columns) is not None or any(name in column for column in columns)
        return 1.0 if name in columns else 0.5 * alike

    candidates = [format_ for format_ in PAIR_FORMATS.values() if format_.columns]
    # among equals the plainest layout, which is the one to rename columns to
    best = max(candidates, key=lambda f: (likeness(f), f.name == "trl", -len(f.columns)))
    return best, [name for name in best.columns if name not in columns]
