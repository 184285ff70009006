"""Batches of a Parquet file as rows of Python values, as JSON lines would hold them."""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Callable, Iterator
from typing import Any

from agora.core.json_text import loads
from agora.core.schemas import META_JSON, META_SCHEMA

ROWS_AT_ONCE = 256  # as Python objects: whoever wants the first rows does not wait for all of a batch
_MICROS = {"s": 1_000_000, "ms": 1000, "us": 1}  # of a unit of time
_EPOCH = datetime.datetime(1970, 1, 1)
_SIMPLE = ("string", "large_string", "integer", "floating", "boolean", "null")  # Python's values are JSON's
Unpack = Callable[[Any], Any]


class BatchRows:
    """Makes rows of the batches of one file.

    Args:
        schema: Arrow's, of the file.
        finite: floats that are not finite are read as None, since JSON has no word for them.
    """

    def __init__(self, schema: Any, *, finite: bool = False) -> None:
        name = (schema.metadata or {}).get(META_SCHEMA)
        self._schema_name = name.decode() if name and "schema" not in schema.names else None
        self._unpackers = {field.name: unpack for field in schema if (unpack := _unpacker(field))}
        self._finite = finite

    def of(self, batch: Any) -> Iterator[dict[str, Any]]:
        """The rows of a batch, which may leave out columns."""
        import pyarrow as pa

        finite = not self._finite or all(map(_all_finite, batch.columns))
        light = pa.schema([field.with_type(_light(field.type)) for field in batch.schema])
        if not light.equals(batch.schema):
            batch = batch.cast(light)
        unpackers = [(name, unpack) for name, unpack in self._unpackers.items() if name in batch.schema.names]
        for at in range(0, batch.num_rows, ROWS_AT_ONCE):
            for row in batch.slice(at, ROWS_AT_ONCE).to_pylist():
                for name, unpack in unpackers:
                    row[name] = unpack(row[name])
                if not finite:
                    row = _finite_form(row)
                yield {"schema": self._schema_name} | row if self._schema_name else row


def holds_json(schema: Any) -> bool:
    """Whether rows of this schema are JSON's own values but for floats that are not finite (see :class:`BatchRows`).

    Not so where a column holds JSON text (it may hold larger integers than JSON's writers take), or a rare type.
    """
    return all(_holds_json(field, 0) for field in schema)


def _holds_json(field: Any, depth: int) -> bool:
    import pyarrow.types as kinds

    if (field.metadata or {}).get(META_JSON) or depth > 20:
        return False
    if kinds.is_struct(field.type):
        return all(_holds_json(inner, depth + 1) for inner in field.type)
    if kinds.is_list(field.type) or kinds.is_large_list(field.type):
        return _holds_json(field.type.value_field, depth + 1)
    if kinds.is_float16(field.type):
        return False
    return _is_simple(field.type) or kinds.is_timestamp(field.type) or kinds.is_date(field.type)


def _is_simple(kind: Any) -> bool:
    import pyarrow.types as kinds

    return any(getattr(kinds, f"is_{name}")(kind) for name in _SIMPLE)


def _is_light(kind: Any) -> bool:
    import pyarrow.types as kinds

    return bool(kinds.is_timestamp(kind) and kind.unit in _MICROS and kind.tz in (None, "UTC"))


def _light(kind: Any) -> Any:
    """The type with whole numbers for times, of which text is made in a fifth of the time that a datetime takes."""
    import pyarrow as pa

    if _is_light(kind):
        return pa.int64()
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_light(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_light(kind.value_type)))
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_light(kind.value_type)))
    return kind


def _unpacker(field: Any) -> Unpack | None:
    import pyarrow as pa

    if (field.metadata or {}).get(META_JSON):
        return lambda text: None if text is None else loads(text.encode())
    if pa.types.is_struct(field.type):
        inner = [(f.name, unpack) for f in field.type if (unpack := _unpacker(f))]
        return _unpack_struct(inner) if inner else None
    if pa.types.is_list(field.type) or pa.types.is_large_list(field.type):
        item = _unpacker(field.type.value_field)
        return (lambda values: None if values is None else [item(v) for v in values]) if item else None
    if _is_light(field.type):
        return _unpack_time(_MICROS[field.type.unit], "+00:00" if field.type.tz else "")
    return None if _is_simple(field.type) else _json_form


def _unpack_struct(inner: list[tuple[str, Unpack]]) -> Unpack:
    def unpack(value: Any) -> Any:
        if value is not None:
            for name, inside in inner:
                value[name] = inside(value[name])
        return value

    return unpack


def _unpack_time(micros: int, zone: str) -> Unpack:
    def unpack(count: Any) -> Any:
        if count is None:
            return None
        return (_EPOCH + datetime.timedelta(0, 0, count * micros)).isoformat() + zone

    return unpack


def _json_form(value: Any) -> Any:
    """Dates, decimals, bytes and Arrow maps as what JSON would hold."""
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, decimal.Decimal):
        return float(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, dict):
        return {k: _json_form(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_json_form(v) for v in value]
    return value


def _all_finite(array: Any) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_floating(array.type):
        return pc.all(pc.is_finite(array)).as_py() is not False
    if pa.types.is_struct(array.type):
        return all(_all_finite(array.field(i)) for i in range(array.type.num_fields))
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return _all_finite(array.values)
    return True


def _finite_form(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _finite_form(v) for k, v in value.items()}
    return [_finite_form(v) for v in value] if isinstance(value, list) else value
