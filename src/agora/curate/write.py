"""Rows to a file whose name says its layout: ``.jsonl``, ``.json`` (an array), ``.parquet``; lines also compressed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from agora.core.errors import UsageError
from agora.core.files import atomic_file
from agora.core.json_text import dumps
from agora.core.jsonl import write_jsonl
from agora.core.records import JsonMap
from agora.core.schemas import to_row
from agora.core.tables import write_parquet


def write_records(rows: Iterable[Any], path: Path, record_type: type[Any]) -> int:
    """Write records, or their rows, whole or not at all.

    Args:
        rows: records of ``record_type``, or what :func:`agora.core.schemas.to_row` makes of them.
        path: ``.parquet`` gets the record's columns; any other name is written as :func:`write_rows` does.
        record_type: of every row.

    Returns:
        How many rows were written.

    Raises:
        DataError: a row does not fit the record type (Parquet).
        AgoraError: the disk is full; nothing is left behind.
    """
    if path.suffix == ".parquet":
        return write_parquet(path, rows, record_type)
    return write_rows((row if isinstance(row, dict) else to_row(row) for row in rows), path)


def write_rows(rows: Iterable[JsonMap], path: Path) -> int:
    """Write rows of any columns, whole or not at all; returns how many.

    Raises:
        UsageError: a compressed JSON array is asked for.
        AgoraError: the disk is full; nothing is left behind.
    """
    if path.suffix == ".parquet":
        return _write_table(rows, path)
    if path.suffix == ".json":
        return _write_array(rows, path)
    if bare_name(path).suffix == ".json":
        raise UsageError("a JSON array is written uncompressed", where=str(path), hint=f"name it {path.stem}l")
    return write_jsonl(path, rows)


def bare_name(path: Path) -> Path:
    """The path without the suffix of its compression."""
    return path.with_suffix("") if path.suffix in (".gz", ".zst") else path


def beside(path: Path, kind: str) -> Path:
    """The file that belongs to an output: ``kept.jsonl`` and ``rejects.jsonl`` give ``kept.rejects.jsonl``."""
    bare = bare_name(path)
    return path.with_name(f"{bare.stem}.{kind}")


def _write_array(rows: Iterable[JsonMap], path: Path) -> int:
    written = 0
    with atomic_file(path) as out:
        for written, row in enumerate(rows, 1):
            out.write((b"[\n" if written == 1 else b",\n") + dumps(row))
        out.write(b"[]\n" if not written else b"\n]\n")
    return written


def _write_table(rows: Iterable[JsonMap], path: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    listed = list(rows)
    # Arrow takes the columns of the first row for all, and would lose those that only later rows have
    table = pa.table({name: [row.get(name) for row in listed] for name in _names(listed)})
    with atomic_file(path) as out:
        pq.write_table(table, out, compression="zstd")
    return int(table.num_rows)


def _names(rows: Iterable[JsonMap]) -> Iterator[str]:
    yield from dict.fromkeys(name for row in rows for name in row)
