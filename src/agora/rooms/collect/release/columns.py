"""Columns: put together from lists, and in files beside a build that are read and written a batch at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agora.core.files import atomic_file

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray


def read_batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The batches of a file that :func:`write_batches` wrote.

    Args:
        path: of the file.
        columns: only these are read, in the order of the file; all by default.
    """
    import pyarrow as pa

    with pa.OSFile(str(path)) as source:
        options = pa.ipc.IpcReadOptions()
        if columns is not None:
            names = pa.ipc.open_file(source).schema.names
            options = pa.ipc.IpcReadOptions(included_fields=[names.index(name) for name in columns])
        reader = pa.ipc.open_file(source, options=options)
        for i in range(reader.num_record_batches):
            yield reader.get_batch(i)


def write_batches(path: Path, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
    """Write a file of columns, whole or not at all. All batches share one dictionary a column."""
    import pyarrow as pa

    with atomic_file(path) as out, pa.ipc.new_file(out, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def read_stream(path: Path) -> Iterator[pa.RecordBatch]:
    """The batches of a stream, each with dictionaries of its own."""
    import pyarrow as pa

    with pa.OSFile(str(path)) as source:
        yield from pa.ipc.open_stream(source)


def bytes_of(column: pa.Array) -> NDArray[Any]:
    """A column of equally many bytes as a table of numbers."""
    import numpy as np

    width = column.type.byte_width
    held = np.frombuffer(column.buffers()[1], np.uint8, len(column) * width, column.offset * width)
    return held.reshape(-1, width)


def neighbors(ids: Sequence[str]) -> dict[str, range]:
    """Where the entries of each id are, in a list in which those of one id are next to each other."""
    held = Counter(ids)
    return {i: range(end - n, end) for (i, n), end in zip(held.items(), accumulate(held.values()), strict=True)}


def arrays_of(fields: Iterable[pa.Field], columns: Mapping[str, Any], rows: int) -> list[pa.Array]:
    """The columns in the order and with the types of some fields; those that are missing are null."""
    import pyarrow as pa

    given = [(columns.get(field.name), field.type) for field in fields]
    return [pa.nulls(rows, kind) if values is None else array_of(values, kind) for values, kind in given]


def array_of(values: Any, kind: pa.DataType) -> pa.Array:
    """A list, or an array of a like type, as an array of a type."""
    import pyarrow as pa

    return values.cast(kind) if isinstance(values, pa.Array) else pa.array(values, kind)


def struct_of(kind: pa.StructType, columns: Mapping[str, Any], rows: int) -> pa.StructArray:
    """Columns as one column, none of whose rows is null."""
    import pyarrow as pa

    return pa.StructArray.from_arrays(arrays_of(kind, columns, rows), fields=list(kind))
