"""Tables on disk: rows in from JSON Lines, JSON or Parquet (plain, gzip or Zstandard), rows out atomically or appended.

What a file is, is told by its bytes; names only settle a doubt. A malformed row goes to a :class:`Rejects` with its
line and a reason, or stops the reading with one clear error.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

from agora.core.errors import DataError
from agora.core.files import open_plain, require_file
from agora.core.json_rows import Row, first_line, layout, line_rows, whole_rows
from agora.core.jsonl import JsonlWriter, Rejects, read_json, write_json, write_jsonl
from agora.core.parquet import (
    parquet_columns,
    parquet_num_rows,
    parquet_picked,
    parquet_rows,
    parquet_source,
    write_parquet,
)
from agora.core.schemas import from_row

__all__ = [
    "JsonlWriter",
    "Rejects",
    "Row",
    "column_names",
    "find_slices",
    "read_json",
    "read_picked",
    "read_records",
    "read_rows",
    "read_slice",
    "write_json",
    "write_jsonl",
    "write_parquet",
]

T = TypeVar("T")


def read_rows(path: Path, *, rejects: Rejects | None = None, limit: int | None = None) -> Iterator[Row]:
    """Stream the rows of a file.

    Args:
        path: JSON Lines, JSON (an array of objects, or one object) or Parquet; each also gzip or Zstandard.
        rejects: takes malformed rows; without it the first one is an error.
        limit: stop after this many rows.

    Raises:
        MissingError: no such file; names the nearest one.
        DataError: the file is empty or damaged, or a row is malformed and ``rejects`` is None.
    """
    path = Path(path)
    require_file(path)
    rows = _rows(path, rejects)
    return rows if limit is None else islice(rows, max(limit, 0))


def read_records(path: Path, record_type: type[T], *, rejects: Rejects | None = None) -> Iterator[T]:
    """Stream the records of a file; rows that do not fit the type are malformed rows (see :func:`read_rows`)."""
    path = Path(path)
    require_file(path)
    return _records(path, record_type, rejects)


def _records(path: Path, record_type: type[T], rejects: Rejects | None) -> Iterator[T]:
    for line, data in _rows(path, rejects):
        try:
            yield from_row(record_type, data)
        except DataError as err:
            where = f"{path}:{line}"
            if rejects is None:
                raise DataError(err.what, where=where, hint=err.hint) from None
            rejects.add(where, f"does not fit {record_type.SCHEMA}", data, detail=err.what)  # type: ignore[attr-defined]


def _rows(path: Path, rejects: Rejects | None) -> Iterator[Row]:
    with open_plain(path) as source:
        if source.peek(1)[:1] == b"[":  # an array is often one line, which would be sought and joined for nothing
            # a plain file in one piece (what is compressed or a pipe cannot seek): the buffer would copy it once more
            text = path.read_bytes() if source.seekable() else source.read()
            rows = whole_rows(path, text, 1, rejects)
            del text
            yield from rows
            return
        line, first = first_line(path, source)
        kind = layout(path, first)
        if kind == "whole":
            yield from whole_rows(path, first + source.read(), line, rejects)
        elif kind == "lines":
            yield from line_rows(path, [first], line, rejects)
            yield from line_rows(path, source, line + 1, rejects)
        else:
            number = 0
            with parquet_source(path, first, source) as file:
                for number, data in enumerate(parquet_rows(path, file), 1):
                    yield Row(number, data)
            if not number:
                raise DataError("the file holds no rows", where=str(path))


def read_slice(
    path: Path,
    start: int,
    stop: int,
    *,
    offset: int | None = None,
    rejects: Rejects | None = None,
    without: Collection[str] = (),
    finite: bool = False,
) -> Iterator[Row]:
    """Stream the rows that stand on lines ``start + 1`` to ``stop`` of a file (items of an array, rows of Parquet).

    Args:
        path: as for :func:`read_rows`.
        start: how many lines to pass over.
        stop: the last line, 1-based; blank lines count and give no row.
        offset: byte offset of the first line where it is known (uncompressed JSON Lines): nothing is passed over.
        rejects: takes malformed rows; without it the first one is an error.
        without: columns of a Parquet file that are not read; other files have all their keys.
        finite: floats of a Parquet file that are not finite are read as None.
    """
    if offset:
        with open_plain(path) as source:
            source.seek(offset)
            yield from line_rows(path, islice(source, stop - start), start + 1, rejects)
        return
    with open_plain(path) as source:
        number, first = first_line(path, source)
        kind = layout(path, first)
        if kind == "whole":
            rows = whole_rows(path, first + source.read(), number, rejects)
            yield from (row for row in rows if start < row.line <= stop)
        elif kind == "parquet":
            with parquet_source(path, first, source) as file:
                data = parquet_rows(path, file, start=start, stop=stop, without=without, finite=finite)
                yield from (Row(n, row) for n, row in enumerate(data, start + 1))
        else:
            if start < number <= stop:
                yield from line_rows(path, [first], number, rejects)
            skip = max(start - number, 0)
            rest = islice(source, skip, max(stop - number, 0))
            yield from line_rows(path, rest, number + skip + 1, rejects)


def read_picked(path: Path, numbers: Iterable[int]) -> Iterator[Row]:
    """Read single rows again: those on the given 1-based lines (items of an array, rows of Parquet), ascending.

    One pass over the file; only the wanted rows are parsed. A number outside the file gives no row.

    Raises:
        MissingError, DataError: as for :func:`read_rows`; a wanted row is malformed.
    """
    path = Path(path)
    require_file(path)
    wanted = sorted({number for number in numbers if number > 0})
    return _picked(path, wanted) if wanted else iter(())


def _picked(path: Path, wanted: list[int]) -> Iterator[Row]:
    with open_plain(path) as source:
        number, first = first_line(path, source)
        kind = layout(path, first)
        if kind == "parquet":
            with parquet_source(path, first, source) as file:
                yield from (Row(n, row) for n, row in parquet_picked(path, wanted, file))
            return
        chosen = set(wanted)
        if kind == "whole":
            rows = whole_rows(path, first + source.read(), number, Rejects())
            yield from (row for row in rows if row.line in chosen)
            return
        for n, line in enumerate(chain([first], source), number):
            if n in chosen:
                yield from line_rows(path, [line], n, None)
            if n >= wanted[-1]:
                return


def column_names(path: Path) -> list[str]:
    """The columns of a Parquet file; of any other file none, since each of its rows has its own keys."""
    path = Path(path)
    require_file(path)
    with open_plain(path) as source:
        _, first = first_line(path, source)
        if layout(path, first) != "parquet":
            return []
        with parquet_source(path, first, source) as file:
            return parquet_columns(path, file)


def find_slices(path: Path, every: int) -> list[tuple[int, int, int | None]]:
    """Cut a file into ranges of ``every`` lines for :func:`read_slice`.

    Returns:
        ``(start, stop, offset)`` each; together they cover the file.

    Raises:
        MissingError, DataError: as for :func:`read_rows`.
    """
    path = Path(path)
    require_file(path)
    with open_plain(path) as source:
        number, first = first_line(path, source)
        kind = layout(path, first)
        if kind == "lines":
            return _line_slices(path, every)
        if kind == "whole":
            rows = whole_rows(path, first + source.read(), number, Rejects())
            total = max((row.line for row in rows), default=0)
        else:
            with parquet_source(path, first, source) as file:
                total = parquet_num_rows(path, file)
    if not total:
        raise DataError("the file holds no rows", where=str(path))
    return [(start, min(start + every, total), None) for start in range(0, total, every)]


def _line_slices(path: Path, every: int) -> list[tuple[int, int, int | None]]:
    found: list[tuple[int, int, int | None]] = []
    start = offset = position = number = 0
    with open_plain(path) as source:
        seekable = source.seekable()
        for number, line in enumerate(source, 1):
            position += len(line)
            if number - start == every:
                found.append((start, number, offset if seekable else None))
                start, offset = number, position
    if number > start:
        found.append((start, number, offset if seekable else None))
    return found
