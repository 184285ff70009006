"""Tables on disk: rows in from JSON Lines, JSON or Parquet (plain, gzip or Zstandard), rows out atomically or appended.

What a file is, is told by its bytes; names only settle a doubt. A malformed row goes to a :class:`Rejects` with its
line and a reason, or stops the reading with one clear error.
"""

from __future__ import annotations

import codecs
import io
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple, TypeVar, cast

import orjson

from .errors import DataError
from .files import BLOCK, open_plain, require_file
from .json_text import loads
from .jsonl import JsonlWriter, Rejects, read_json, write_json, write_jsonl
from .parquet import parquet_rows, write_parquet
from .schemas import from_row

__all__ = [
    "JsonlWriter",
    "Rejects",
    "Row",
    "read_json",
    "read_records",
    "read_rows",
    "write_json",
    "write_jsonl",
    "write_parquet",
]

T = TypeVar("T")
PARQUET = b"PAR1"


class Row(NamedTuple):
    """One row and its place: the 1-based line of a JSON Lines file, item of a JSON array or row of a Parquet file."""

    line: int
    data: dict[str, Any]


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
            rejects.add(where, f"not a {record_type.SCHEMA} row", data, detail=err.what)  # type: ignore[attr-defined]


def _rows(path: Path, rejects: Rejects | None) -> Iterator[Row]:
    with open_plain(path) as source:
        line, first = _first_line(path, source)
        bare = path.with_suffix("") if path.suffix in (".gz", ".zst") else path
        start = first.lstrip()[:1]
        if first.startswith(PARQUET):
            yield from _parquet(path, first, source)
        elif bare.suffix == ".parquet":
            raise DataError("not a Parquet file", where=str(path), hint="name it .jsonl if it is JSON Lines")
        elif start == b"[" or (start == b"{" and bare.suffix == ".json" and not _is_json(first)):
            yield from _whole(path, first + source.read(), line, rejects)
        else:
            yield from _lines(path, [first], line, rejects)
            yield from _lines(path, source, line + 1, rejects)


def _first_line(path: Path, source: IO[bytes]) -> tuple[int, bytes]:
    """The first line that is not blank, without a byte order mark, and its number."""
    for number, line in enumerate(source, 1):
        if number == 1:
            if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                hint = "convert it: iconv -f UTF-16 -t UTF-8"
                raise DataError("the text is UTF-16, expected UTF-8", where=str(path), hint=hint)
            line = line.removeprefix(codecs.BOM_UTF8)
        if line.strip():
            return number, line
    raise DataError("the file is empty", where=str(path), hint="was it written to the end?")


def _is_json(text: bytes) -> bool:
    with suppress(ValueError):
        loads(text)
        return True
    return False


def _lines(path: Path, lines: Iterable[bytes], first: int, rejects: Rejects | None) -> Iterator[Row]:
    parse = orjson.loads
    for number, line in enumerate(lines, first):
        try:
            data = parse(line)
        except ValueError:
            if not line.strip():
                continue
            try:
                data = loads(line)
            except ValueError as err:
                reason = "not valid JSON" if line.endswith(b"\n") else "cut off: the last line is not finished"
                _refuse(path, number, reason, line, rejects, detail=str(err))
                continue
        if type(data) is dict:
            yield Row(number, data)
        else:
            _refuse(path, number, "not an object", line, rejects, detail=type(data).__name__)


def _refuse(path: Path, number: int, reason: str, raw: object, rejects: Rejects | None, *, detail: str) -> None:
    where = f"{path}:{number}"
    if rejects is None:
        raise DataError(f"{reason} ({detail})", where=where, hint="mend or remove it")
    rejects.add(where, reason, raw, detail=detail)


def _whole(path: Path, text: bytes, line: int, rejects: Rejects | None) -> Iterator[Row]:
    """A JSON array of objects or one object; else lines, where the first stands alone."""
    try:
        data = loads(text)
    except ValueError as err:
        lines = text.splitlines(keepends=True)
        if not _is_json(lines[0]):
            raise DataError(f"not valid JSON ({err})", where=str(path)) from None
        yield from _lines(path, lines, line, rejects)
        return
    if isinstance(data, dict):
        yield Row(1, data)
        return
    if not data:
        raise DataError("the array is empty", where=str(path))
    for number, item in enumerate(data, 1):
        if type(item) is dict:
            yield Row(number, item)
        else:
            _refuse(path, number, "not an object", item, rejects, detail=type(item).__name__)


def _parquet(path: Path, first: bytes, source: BinaryIO) -> Iterator[Row]:
    number = 0
    for number, data in enumerate(_parquet_rows(path, first, source), 1):
        yield Row(number, data)
    if not number:
        raise DataError("the file holds no rows", where=str(path))


def _parquet_rows(path: Path, first: bytes, source: BinaryIO) -> Iterator[dict[str, Any]]:
    if path.is_file() and isinstance(getattr(source, "raw", None), io.FileIO):
        yield from parquet_rows(path)
        return
    with tempfile.TemporaryFile() as copy:  # Parquet is read from its end: a decompressed copy is needed
        copy.write(first)
        shutil.copyfileobj(source, copy, BLOCK)
        copy.seek(0)
        yield from parquet_rows(path, cast(BinaryIO, copy))
