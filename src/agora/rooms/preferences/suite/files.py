"""Find a test's local files and read their rows, whatever of the usual formats they have.

No data set is shipped: a user keeps the published files in one folder, or names one file for one test.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from agora.core.errors import DataError, MissingError, UsageError
from agora.core.files import missing, open_plain, require_file
from agora.core.json_rows import Row
from agora.core.tables import read_rows

_PACKED = ("", ".gz", ".zst")


def find_file(data: Path, names: Sequence[str]) -> Path | None:
    """The file of a test: `data` itself if it is a file, else the first of `names` that stands in or below the folder.

    Args:
        data: a file or a folder.
        names: relative names in order of preference, without a compression suffix.

    Returns:
        None when the folder holds none of them.

    Raises:
        MissingError: `data` does not exist.
        UsageError: several files of one name; lists them.
    """
    if not data.exists():
        raise missing(data, "file or folder")
    if data.is_file():
        return data
    for name in names:
        for packed in _PACKED:
            if (data / (name + packed)).is_file():
                return data / (name + packed)
    for name in names:
        found = sorted({path for packed in _PACKED for path in data.rglob(name + packed) if path.is_file()})
        if len(found) > 1:
            shown = ", ".join(str(path.relative_to(data)) for path in found[:4])
            raise UsageError(f"{len(found)} files fit: {shown}", where=str(data), hint="name one of them with --data")
        if found:
            return found[0]
    return None


def need_file(data: Path | None, names: Sequence[str], what: str) -> Path:
    """Like :func:`find_file`, but its absence is an error.

    Raises:
        MissingError: says which names would do.
    """
    if data is None:
        raise MissingError(f"{what} needs a data file", hint=f"give --data FILE, or a folder with {names[0]}")
    found = find_file(data, names)
    if found is None:
        raise MissingError(f"no file of {what} here", where=str(data), hint=f"looked for {', '.join(names)}")
    return found


def read_text(path: Path) -> str:
    """A whole text file (plain, gzip or Zstandard), UTF-8 with or without a byte order mark.

    Raises:
        MissingError: no such file.
        DataError: not UTF-8.
    """
    require_file(path)
    with open_plain(path) as source:
        try:
            return source.read().decode("utf-8-sig")
        except UnicodeDecodeError as error:
            hint = "convert it: iconv -t UTF-8"
            raise DataError(f"not UTF-8 (byte {error.start})", where=str(path), hint=hint) from None


def read_table(path: Path, header: Sequence[str] | None = None) -> Iterator[Row]:
    """Rows of a JSON Lines, JSON, Parquet or CSV file (told apart by the name), with their line numbers.

    Args:
        path: the file.
        header: column names of a CSV file that has no head line; it is not used where the first line holds the first
            name of it.

    Raises:
        MissingError, DataError: as for :func:`agora.core.tables.read_rows`.
    """
    bare = path.with_suffix("") if path.suffix in (".gz", ".zst") else path
    if bare.suffix not in (".csv", ".tsv"):
        yield from read_rows(path)
        return
    lines = csv.reader(io.StringIO(read_text(path), newline=""), delimiter="\t" if bare.suffix == ".tsv" else ",")
    names: list[str] | None = None
    for values in lines:
        if names is None:
            first = [value.strip() for value in values]
            headed = header is None or header[0].lower() in (name.lower() for name in first)
            names = first if headed else list(header or ())
            if headed:
                continue
        if not values:
            continue
        if len(values) != len(names):
            where = f"{path}:{lines.line_num}"
            raise DataError(f"{len(values)} columns, expected {len(names)} ({', '.join(names)})", where=where)
        yield Row(lines.line_num, dict(zip(names, values, strict=True)))


def field(path: Path, row: Row, *names: str, kind: type = str) -> Any:
    """The first of `names` that a row has, as `kind`.

    Raises:
        DataError: it has none, or of another type; names the file, the line and the columns seen.
    """
    for name in names:
        value = row.data.get(name)
        if value is None:
            continue
        if not isinstance(value, kind):
            found = type(value).__name__
            raise DataError(f'"{name}" must be {kind.__name__}, got {found}', where=f"{path}:{row.line}")
        return value
    seen = ", ".join(map(str, row.data)) or "none"
    raise DataError(f'no column "{" or ".join(names)}" (columns: {seen})', where=f"{path}:{row.line}")


def check_some(path: Path, items: Sequence[Any]) -> None:
    """Refuse a file without a single item.

    Raises:
        DataError: there is none.
    """
    if not items:
        raise DataError("the file holds no items", where=str(path))
