"""JSON text as rows with their line numbers; malformed rows are refused one by one."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import orjson

from agora.core.errors import DataError
from agora.core.json_text import loads
from agora.core.jsonl import Rejects

PARQUET = b"PAR1"


class Row(NamedTuple):
    """One row and its place: the 1-based line of a JSON Lines file, item of a JSON array or row of a Parquet file."""

    line: int
    data: dict[str, Any]


def first_line(path: Path, source: IO[bytes]) -> tuple[int, bytes]:
    """The first line that is not blank, without a byte order mark, and its 1-based number.

    Raises:
        DataError: there is none, or the text is UTF-16.
    """
    for number, line in enumerate(source, 1):
        if number == 1:
            if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                hint = "convert it: iconv -f UTF-16 -t UTF-8"
                raise DataError("the text is UTF-16, expected UTF-8", where=str(path), hint=hint)
            line = line.removeprefix(codecs.BOM_UTF8)
        if line.strip():
            return number, line
    raise DataError("the file is empty", where=str(path), hint="was it written to the end?")


def layout(path: Path, first: bytes) -> Literal["lines", "whole", "parquet"]:
    """How a file holds its rows, told by its first line; the name settles what one line cannot.

    Raises:
        DataError: the name promises Parquet and the bytes do not keep it.
    """
    bare = path.with_suffix("") if path.suffix in (".gz", ".zst") else path
    start = first.lstrip()[:1]
    if first.startswith(PARQUET):
        return "parquet"
    if bare.suffix == ".parquet":
        raise DataError("not a Parquet file", where=str(path), hint="name it .jsonl if it is JSON Lines")
    if start == b"[" or (start == b"{" and bare.suffix == ".json" and not _is_json(first)):
        return "whole"
    return "lines"


def _is_json(text: bytes) -> bool:
    with suppress(ValueError):
        loads(text)
        return True
    return False


def line_rows(path: Path, lines: Iterable[bytes], first: int, rejects: Rejects | None) -> Iterator[Row]:
    """One row a line; blank lines are passed over. ``first`` is the number of the first line."""
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


def whole_rows(path: Path, text: bytes, line: int, rejects: Rejects | None) -> Iterator[Row]:
    """The rows of a JSON array, or one object; else lines, where the first stands alone as JSON."""
    try:
        data = loads(text)
    except ValueError as err:
        lines = text.splitlines(keepends=True)
        if not _is_json(lines[0]):
            raise DataError(f"not valid JSON ({err})", where=str(path)) from None
        yield from line_rows(path, lines, line, rejects)
        return
    del text  # as large as the file, and not needed while its rows are taken
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


def _refuse(path: Path, number: int, reason: str, raw: object, rejects: Rejects | None, *, detail: str) -> None:
    where = f"{path}:{number}"
    if rejects is None:
        raise DataError(f"{reason} ({detail})", where=where, hint="mend or remove it")
    rejects.add(where, reason, raw, detail=detail)
