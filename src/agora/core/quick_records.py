"""Frozen records made a few times as fast as their own ``__init__`` makes them.

A frozen dataclass sets each field through ``object.__setattr__``, which for a record of seventeen fields is most of the
cost of reading a row. A class with the same slots and an ordinary ``__init__`` sets them directly and then hands its
object over: Python allows that between classes of equal layout.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, cast

T = TypeVar("T")


@cache
def quick(record_type: type[T]) -> type[T]:
    """A class that is called as ``record_type`` is and makes its records.

    What has no slots, does not freeze or has a ``__post_init__`` comes back as it is.
    """
    if not _is_plain(record_type):
        return record_type
    own = fields(cast(Any, record_type))
    space: dict[str, Any] = {"_record": record_type}
    given, lines = [], []
    for field in own:
        given.append(_parameter(field, space))
        lines.append(f"        self.{field.name} = {_value(field, space)}")
    source = "\n".join(
        [
            "class Quick:",
            f"    __slots__ = {tuple(field.name for field in own)!r}",
            f"    def __init__(self, {', '.join(given)}):",
            *lines,
            "        self.__class__ = _record",
        ]
    )
    exec(source, space)  # as dataclasses makes its own; the names are those of fields
    return cast("type[T]", space["Quick"])


def _is_plain(record_type: type[Any]) -> bool:
    if not is_dataclass(record_type) or hasattr(record_type, "__post_init__") or record_type.__bases__ != (object,):
        return False
    own = fields(record_type)
    frozen = record_type.__dataclass_params__.frozen  # type: ignore[attr-defined]
    slots = tuple(record_type.__dict__.get("__slots__", ()))
    return bool(frozen and slots == tuple(f.name for f in own) and all(f.init and not f.kw_only for f in own))


def _parameter(field: Field[Any], space: dict[str, Any]) -> str:
    if field.default is not MISSING:
        space[f"_default_{field.name}"] = field.default
        return f"{field.name}=_default_{field.name}"
    return f"{field.name}=_record" if field.default_factory is not MISSING else field.name


def _value(field: Field[Any], space: dict[str, Any]) -> str:
    if field.default_factory is MISSING:
        return field.name
    space[f"_make_{field.name}"] = field.default_factory
    return f"_make_{field.name}() if {field.name} is _record else {field.name}"
