"""Rows of a shard's part of the plan, a group at a time: as columns, and as lists for what is made row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agora.rooms.collect.release.columns import read_batches

if TYPE_CHECKING:
    import pyarrow as pa


class Planned:
    """Some rows of the plan.

    Args:
        batch: the rows; columns that repeat values may hold numbers of values.
    """

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch = batch
        self._values: dict[str, Sequence[Any]] = {}

    def __len__(self) -> int:
        return int(self._batch.num_rows)

    def column(self, name: str) -> pa.Array:
        """A column with its values themselves."""
        import pyarrow as pa

        column = self._batch[name]
        return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column

    def values(self, name: str) -> Sequence[Any]:
        """A column as Python's values."""
        found = self._values.get(name)
        if found is None:
            found = self._values[name] = _values(self.column(name))
        return found

    def without(self, places: Sequence[int]) -> Planned:
        """The rows but for some."""
        import numpy as np
        import pyarrow as pa

        stay = np.ones(len(self), bool)
        stay[list(places)] = False
        return Planned(self._batch.filter(pa.array(stay)))


def _values(column: pa.Array) -> list[Any]:
    """A column as a list, through numpy: Arrow's own way makes an object of each value first."""
    import pyarrow as pa

    if pa.types.is_primitive(column.type) and column.null_count:  # numpy has no missing numbers
        return list(column.to_pylist())
    return list(column.to_numpy(zero_copy_only=False).tolist())


def read_planned(path: Path, size: int) -> Iterator[Planned]:
    """The rows of a file, ``size`` at a time whatever its batches."""
    import pyarrow as pa

    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in read_batches(path):
        held.append(batch)
        rows += batch.num_rows
        while rows >= size:
            whole = pa.concat_batches(held) if len(held) > 1 else held[0]
            yield Planned(whole.slice(0, size))
            rows -= size
            held = [whole.slice(size)]
    if rows:
        yield Planned(pa.concat_batches(held) if len(held) > 1 else held[0])
