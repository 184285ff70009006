"""Parquet files as rows, as JSON lines would hold them: maps from their JSON strings, dates as ISO 8601 text."""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, BinaryIO, cast

from agora.core.errors import AgoraError, DataError
from agora.core.fields import field_types
from agora.core.files import BLOCK, atomic_file
from agora.core.json_text import dumps, loads
from agora.core.parquet_values import BatchRows, Unpack, holds_json
from agora.core.schemas import arrow_schema, column_packer, from_row, to_row

BATCH_ROWS = 4096


@contextmanager
def parquet_source(path: Path, first: bytes, source: BinaryIO) -> Iterator[Path | BinaryIO]:
    """What pyarrow can read from its end: the path itself, or a copy of a compressed stream or pipe.

    Args:
        path: the file.
        first: what has been read from ``source`` already.
        source: the opened, decompressed file.
    """
    if path.is_file() and isinstance(getattr(source, "raw", None), io.FileIO):
        yield path
        return
    with tempfile.TemporaryFile() as copy:
        copy.write(first)
        shutil.copyfileobj(source, copy, BLOCK)
        copy.seek(0)
        yield cast(BinaryIO, copy)


def parquet_rows(
    path: Path,
    source: Path | BinaryIO | None = None,
    *,
    start: int = 0,
    stop: int | None = None,
    without: Collection[str] = (),
    finite: bool = False,
) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet file, a batch in memory at a time.

    Args:
        path: the file; also named in errors.
        source: read this instead (see :func:`parquet_source`).
        start: skip this many rows, whole row groups without reading them.
        stop: the number of the last row, from 1; what is read is cut there, and a batch spans no row group after it.
        without: columns that are not read.
        finite: floats that are not finite are read as None, as from JSON.

    Raises:
        DataError: the file is damaged or holds values that have no JSON form.
    """
    with _reading(path, source or path) as file:
        rows = BatchRows(file.schema_arrow, finite=finite)
        groups, skip = _groups_of(file, start, stop)
        left = sys.maxsize if stop is None else max(stop - start, 0)
        columns = [name for name in file.schema_arrow.names if name not in without] if without else None
        # slices are what processes read side by side: a second thread in each takes from the others
        threads = stop is None
        for batch in file.iter_batches(BATCH_ROWS, row_groups=groups, columns=columns, use_threads=threads):
            first = min(skip, batch.num_rows)
            skip -= first
            part = batch.slice(first, min(left, batch.num_rows))
            left -= part.num_rows
            yield from rows.of(part)


def parquet_picked(
    path: Path, numbers: Sequence[int], source: Path | BinaryIO | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Single rows by their 1-based numbers, ascending; row groups that hold none of them are not read."""
    import pyarrow as pa

    with _reading(path, source or path) as file:
        rows = BatchRows(file.schema_arrow)
        ends = list(accumulate(file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)))
        groups = sorted({bisect_left(ends, number) for number in numbers if 1 <= number <= (ends[-1] if ends else 0)})
        at = 0  # how many of the numbers are found
        for group in groups:
            first = ends[group - 1] if group else 0
            for batch in file.iter_batches(batch_size=BATCH_ROWS, row_groups=[group]):
                stop = bisect_right(numbers, first + batch.num_rows)
                wanted = numbers[at:stop]
                places = pa.array([n - first - 1 for n in wanted], pa.int64())  # typed: a batch may hold none of them
                yield from zip(wanted, rows.of(batch.take(places)), strict=True)
                at, first = stop, first + batch.num_rows


def parquet_columns(path: Path, source: Path | BinaryIO | None = None) -> list[str]:
    """The names of the columns."""
    with _reading(path, source or path) as file:
        return [str(name) for name in file.schema_arrow.names]


def parquet_holds_json(path: Path) -> bool:
    """Whether rows that are read with ``finite`` hold JSON's own values, so that nothing in them is to be cleaned."""
    with _reading(path, path) as file:
        return holds_json(file.schema_arrow)


def parquet_num_rows(path: Path, source: Path | BinaryIO | None = None) -> int:
    """How many rows the file's footer promises."""
    with _reading(path, source or path) as file:
        return int(file.metadata.num_rows)


def parquet_spans(path: Path, rows: int, most: int = BATCH_ROWS) -> list[tuple[int, int]] | None:
    """Runs of whole row groups of about ``rows`` rows, as first row and the one after the last, from 0.

    None where a row group is larger than ``most``: reading its end would mean to read it from its beginning.
    """
    with _reading(path, path) as file:
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    if max(sizes, default=0) > most:
        return None
    spans: list[tuple[int, int]] = []
    for end, size in zip(accumulate(sizes), sizes, strict=True):
        if spans and end - spans[-1][0] <= rows:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((end - size, end))
    return spans


@contextmanager
def _reading(path: Path, source: Path | BinaryIO) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(source) as file:
            yield file
    except (pa.ArrowException, OSError, ValueError, OverflowError, TypeError, KeyError) as err:
        raise DataError(f"not a readable Parquet file ({_first_line(err)})", where=str(path)) from err


def _first_line(err: BaseException) -> str:
    return (str(err).splitlines() or [type(err).__name__])[0]


def _groups_of(file: Any, start: int, stop: int | None) -> tuple[list[int], int]:
    """The row groups with rows ``start + 1`` to ``stop``, and how many rows of the first are to be skipped."""
    groups: list[int] = []
    skip = first = 0
    for number in range(file.num_row_groups):
        end = first + file.metadata.row_group(number).num_rows
        if end > start and (stop is None or first < stop):
            skip = skip if groups else start - first
            groups.append(number)
        first = end
    return groups, skip


def write_parquet(path: Path, rows: Iterable[Any], record_type: type[Any]) -> int:
    """Write records (or their rows, checked) as one Parquet file, atomically, Zstandard inside.

    Args:
        path: the file to appear; its folder is made.
        rows: records of ``record_type``, or dictionaries that :func:`agora.core.schemas.from_row` takes.
        record_type: gives the columns.

    Returns:
        How many rows were written.

    Raises:
        DataError: a row does not fit the record type.
        AgoraError: the disk is full; nothing is left behind.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = arrow_schema(record_type)
    packers = [(n, pack) for n, hint in field_types(record_type).items() if (pack := column_packer(hint))]
    packed = (_packed_row(record_type, row, packers) for row in rows)
    written = 0
    with atomic_file(path) as out, pq.ParquetWriter(out, schema, compression="zstd") as writer:
        while batch := list(islice(packed, BATCH_ROWS)):
            try:
                writer.write_batch(_record_batch(batch, schema))
            except AgoraError:
                raise
            except (pa.ArrowException, ValueError, OverflowError, TypeError) as err:
                first = written + 1
                what = f"rows {first}-{written + len(batch)} do not fit {record_type.SCHEMA} ({_first_line(err)})"
                raise DataError(what, where=str(path)) from err
            written += len(batch)
    return written


def _packed_row(record_type: type[Any], row: Any, packers: list[tuple[str, Unpack]]) -> dict[str, Any]:
    packed: dict[str, Any] = to_row(from_row(record_type, row) if isinstance(row, dict) else row)
    del packed["schema"]
    for name, pack in packers:
        packed[name] = pack(packed[name])
    return packed


def _record_batch(rows: list[dict[str, Any]], schema: Any) -> Any:
    import pyarrow as pa

    try:
        return pa.RecordBatch.from_pylist(rows, schema=schema)
    except UnicodeEncodeError:  # a lone surrogate somewhere: replace it, as JSON Lines does
        return pa.RecordBatch.from_pylist([loads(dumps(row)) for row in rows], schema=schema)
