"""How each annotation of a record's field is written to a row and read back; worked out once per type."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable
from functools import cache
from typing import Any, Literal, NamedTuple

from agora.core.errors import DataError
from agora.core.files import nearest
from agora.core.quick_records import quick

Code = Callable[[Any], Any]


class FieldError(Exception):
    """A field is wrong: ``what`` says how; ``path`` grows from the inside out as this rises through the records."""

    def __init__(self, what: str) -> None:
        self.what, self.path = what, ""

    def inside(self, part: str) -> FieldError:
        """The same, one level further out."""
        self.path = part + ("." if self.path and not self.path.startswith("[") else "") + self.path
        return self


def _mismatch(expected: str, value: object) -> FieldError:
    text = repr(value)
    return FieldError(f"must be {expected}, got {text if len(text) <= 60 else text[:57] + '...'}")


class Codec(NamedTuple):
    """How one annotation is written to a row (``encode`` None: as it is) and read back."""

    encode: Code | None
    decode: Code


@cache
def codec(annotation: Any) -> Codec:
    """The codec of one annotation.

    Raises:
        TypeError: records do not hold values of this kind.
    """
    if dataclasses.is_dataclass(annotation):
        return _record_codec(annotation)
    if annotation is Any:
        return Codec(None, lambda value: value)
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return _literal_codec(args)
    if origin in (typing.Union, types.UnionType):
        return _optional_codec(annotation, args)
    if origin is list or (origin is tuple and len(args) == 2 and args[1] is Ellipsis):
        return _list_codec(args[0], origin)
    if origin is dict and args[0] is str:
        return _map_codec(args[1])
    raise TypeError(f"a record's field cannot be annotated {annotation}")


def _checked(kind: type, expected: str) -> Code:
    def decode(value: Any) -> Any:
        if type(value) is not kind:  # exact: True is not a number
            raise _mismatch(expected, value)
        return value

    return decode


def _decode_float(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is int:  # writers of JSON drop the ".0"
        return float(value)
    raise _mismatch("a number", value)


def _encode_float(value: Any) -> Any:
    if value is None or math.isfinite(value):
        return value
    if math.isnan(value):
        return None
    raise DataError(f"a number must be finite, got {value}")


_SCALARS: dict[Any, Codec] = {
    str: Codec(None, _checked(str, "a string")),
    int: Codec(None, _checked(int, "a whole number")),
    bool: Codec(None, _checked(bool, "true or false")),
    float: Codec(_encode_float, _decode_float),
}


def _literal_codec(choices: tuple[Any, ...]) -> Codec:
    allowed = frozenset(choices)
    expected = "one of " + ", ".join(str(c) for c in choices)

    def decode(value: Any) -> Any:
        if type(value) is not str or value not in allowed:
            raise _mismatch(expected, value)
        return value

    return Codec(None, decode)


def _optional_codec(annotation: Any, args: tuple[Any, ...]) -> Codec:
    inner = [a for a in args if a is not type(None)]
    if len(inner) != 1 or len(args) != 2:
        raise TypeError(f"a record's field cannot be annotated {annotation}")
    encode, decode = codec(inner[0])
    coded = None if encode is None else lambda value: None if value is None else encode(value)
    return Codec(coded, lambda value: None if value is None else decode(value))


def _list_codec(item: Any, container: type) -> Codec:
    encode_item, decode_item = codec(item)

    def encode(values: Any) -> list[Any]:
        return list(values) if encode_item is None else [encode_item(v) for v in values]

    def decode(values: Any) -> Any:
        if type(values) is not list and type(values) is not tuple:
            raise _mismatch("a list", values)
        out = []
        for value in values:
            try:
                out.append(decode_item(value))
            except FieldError as wrong:
                raise wrong.inside(f"[{len(out)}]") from None
        return out if container is list else tuple(out)

    return Codec(encode, decode)


def _map_codec(item: Any) -> Codec:
    decode_item = None if item is Any else codec(item).decode

    def decode(value: Any) -> Any:
        if type(value) is not dict:
            raise _mismatch("an object", value)
        if decode_item is None:
            return value
        out = {}
        for key, inner in value.items():
            try:
                out[key] = decode_item(inner)
            except FieldError as wrong:
                raise wrong.inside(f"[{key}]") from None
        return out

    return Codec(None, decode)


def _record_codec(record_type: Any) -> Codec:
    hints = field_types(record_type)
    coded = {name: codec(hint) for name, hint in hints.items()}
    encoders = [(name, code.encode) for name, code in coded.items()]
    decoders = {name: code.decode for name, code in coded.items()}
    exact = {name: hint for name, hint in hints.items() if hint in (str, int, bool, float)}
    make = quick(record_type)
    required = {f.name for f in dataclasses.fields(record_type) if _has_no_default(f)}

    def encode(record: Any) -> dict[str, Any]:
        return {name: getattr(record, name) if code is None else code(getattr(record, name)) for name, code in encoders}

    def decode(row: Any) -> Any:
        if type(row) is not dict:
            raise _mismatch("an object", row)
        values = {}
        for name, value in row.items():
            if type(value) is exact.get(name):  # most fields: spares a call
                values[name] = value
                continue
            code = decoders.get(name)
            if code is None:
                raise FieldError(_unknown(name, list(decoders))).inside(str(name))
            try:
                values[name] = code(value)
            except FieldError as wrong:
                raise wrong.inside(name) from None
        if not required <= values.keys():
            raise FieldError("is missing").inside(min(required - values.keys()))
        return make(**values)

    return Codec(encode, decode)


def _unknown(name: object, known: list[str]) -> str:
    near = nearest(str(name), known)
    return f"is unknown, did you mean {near}?" if near else f"is unknown (known: {', '.join(known)})"


def _has_no_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def field_types(record_type: Any) -> dict[str, Any]:
    """The fields of a record type with their resolved annotations, in order."""
    hints = typing.get_type_hints(record_type)
    return {f.name: hints[f.name] for f in dataclasses.fields(record_type)}
