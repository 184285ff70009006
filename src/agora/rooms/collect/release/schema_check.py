"""Gate 8: where the columns of a written file differ from those of its profile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def schema_difference(path: Path, expected: pa.Schema) -> str:
    """Where a file's columns differ, member by member; empty where they are the same."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = pq.read_schema(path)
    if found.equals(expected):
        return ""
    told = list(_differences(pa.struct(list(expected)), pa.struct(list(found)), ""))
    return "; ".join(told) or "the columns stand in another order, or allow missing values elsewhere"


def _differences(expected: pa.DataType | None, found: pa.DataType | None, where: str) -> Iterator[str]:
    """The places below which two types differ, as deep as they still have the same shape."""
    import pyarrow.types as kinds

    if expected == found:
        return
    if expected is not None and found is not None and expected.id == found.id:
        if kinds.is_struct(expected):
            for name in dict.fromkeys([*(f.name for f in expected), *(f.name for f in found)]):
                own = [kind.field(name).type if kind.get_field_index(name) >= 0 else None for kind in (expected, found)]
                yield from _differences(own[0], own[1], f"{where}.{name}" if where else name)
            return
        if kinds.is_list(expected):
            yield from _differences(expected.value_type, found.value_type, f"{where}[]")
            return
    want, have = ("missing" if kind is None else str(kind) for kind in (expected, found))
    yield f"{where}: {want} expected, {have} found"
