"""Records to rows and back, strictly, and their Arrow schemas.

A row is what a JSON line holds: the record's fields, tuples as lists, inner records as objects, and
``"schema": "NAME/VERSION"`` first. In Parquet the schema's name is in the file's metadata, inner records are structs
and free-form maps are JSON strings, marked as such on their column.
"""

from __future__ import annotations

import dataclasses
import typing
from functools import cache
from typing import Any, ClassVar, Protocol, TypeVar, cast

from agora.core.errors import DataError
from agora.core.fields import Code, FieldError, codec, field_types
from agora.core.json_text import dumps

if typing.TYPE_CHECKING:
    import pyarrow

META_SCHEMA = b"agora.schema"
META_JSON = b"agora.json"


class Record(Protocol):
    """A frozen dataclass with a schema's name and version."""

    SCHEMA: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]


T = TypeVar("T")


def to_row(record: Record) -> dict[str, Any]:
    """The row of a record: its fields and its schema's name. Maps are shared with the record, not copied.

    Raises:
        DataError: a number is infinite. A float that is not a number becomes None, which is what missing is.
    """
    row: dict[str, Any] = {"schema": record.SCHEMA}
    row.update(codec(type(record)).encode(record))  # type: ignore[misc]
    return row


def from_row(record_type: type[T], row: dict[str, Any]) -> T:
    """Build a record from its row.

    Args:
        record_type: one of :mod:`agora.core.records`, or a room's own dataclass with a ``SCHEMA``.
        row: what :func:`to_row` gave; ``schema`` may be absent. Fields with a default may be absent.

    Raises:
        DataError: an unknown key, a missing field, another schema or a value of the wrong type; names the field.
    """
    if not isinstance(row, dict):
        raise DataError(f"a row must be an object, got {type(row).__name__}")
    expected = record_type.SCHEMA  # type: ignore[attr-defined]
    found = row.get("schema", expected)
    if found != expected:
        raise DataError(f"the row's schema is {str(found)[:60]}, expected {expected}", hint="convert the file first")
    if "schema" in row:
        row = row.copy()
        del row["schema"]
    try:
        record: T = codec(cast(Any, record_type)).decode(row)
    except FieldError as wrong:
        raise DataError(f'field "{wrong.path}" {wrong.what}') from None
    return record


def arrow_schema(record_type: type[Any]) -> pyarrow.Schema:
    """The Arrow schema of a record type.

    Tuples of records are ``list<struct>``, free-form maps are JSON strings (field metadata ``agora.json``), and the
    schema's name is in the metadata under ``agora.schema``.
    """
    import pyarrow as pa

    fields = [_arrow_field(name, hint) for name, hint in field_types(record_type).items()]
    return pa.schema(fields, metadata={META_SCHEMA: record_type.SCHEMA.encode()})


def _arrow_field(name: str, annotation: Any) -> Any:
    import pyarrow as pa

    optional = type(None) in typing.get_args(annotation)
    inner = next(a for a in typing.get_args(annotation) if a is not type(None)) if optional else annotation
    metadata = {META_JSON: b"1"} if is_map(inner) else None
    return pa.field(name, _arrow_type(inner), nullable=optional, metadata=metadata)


def _arrow_type(annotation: Any) -> Any:
    import pyarrow as pa

    if dataclasses.is_dataclass(annotation):
        return pa.struct([_arrow_field(name, hint) for name, hint in field_types(annotation).items()])
    scalars = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    if annotation in scalars:
        return scalars[annotation]
    if typing.get_origin(annotation) in (tuple, list):
        return pa.list_(_arrow_field("item", typing.get_args(annotation)[0]))
    return pa.string()  # choices and free-form maps


def is_map(annotation: Any) -> bool:
    """True for the annotations that Parquet holds as JSON strings."""
    return annotation is Any or typing.get_origin(annotation) is dict


@cache
def column_packer(annotation: Any) -> Code | None:
    """What turns a row's value into its Parquet form (maps into JSON strings); None where nothing has to change."""
    if is_map(annotation):
        return lambda value: None if value is None else dumps(value).decode()
    if dataclasses.is_dataclass(annotation):
        packers = {name: pack for name, hint in field_types(annotation).items() if (pack := column_packer(hint))}
        return (lambda value: _packed(value, packers)) if packers else None
    for inner in typing.get_args(annotation):
        pack = None if inner in (type(None), Ellipsis) or isinstance(inner, str) else column_packer(inner)
        if pack is not None:
            return _pack_optional(pack) if type(None) in typing.get_args(annotation) else _pack_list(pack)
    return None


def _packed(value: Any, packers: dict[str, Code]) -> Any:
    return None if value is None else value | {name: pack(value[name]) for name, pack in packers.items()}


def _pack_optional(pack: Code) -> Code:
    return lambda value: None if value is None else pack(value)


def _pack_list(pack: Code) -> Code:
    return lambda values: None if values is None else [pack(v) for v in values]
