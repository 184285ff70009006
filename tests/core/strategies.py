"""Hypothesis strategies for records: built from the annotations, so that a new field is tested without a word."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, Literal

from hypothesis import strategies as st

from agora.core import records
from agora.core.fields import field_types

RECORD_TYPES: list[type[Any]] = [
    records.Conversation,
    records.Sample,
    records.PreferencePair,
    records.PromptItem,
    records.Task,
    records.Answer,
    records.Verdict,
    records.Measure,
]
INT64 = st.integers(min_value=-(2**63), max_value=2**63 - 1)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | INT64 | FINITE | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
JSON_MAPS = st.dictionaries(st.text(max_size=8), JSON_VALUES, max_size=3)


def values_of(annotation: Any) -> st.SearchStrategy[Any]:
    """Values that fit one annotation."""
    plain = {str: st.text(max_size=12), int: INT64, float: FINITE, bool: st.booleans(), Any: JSON_VALUES}
    if annotation in plain:
        return plain[annotation]
    if dataclasses.is_dataclass(annotation):
        return records_of(typing.cast(type, annotation))
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return st.sampled_from(args)
    if origin in (typing.Union, types.UnionType):
        return st.one_of([st.none() if a is type(None) else values_of(a) for a in args])
    if origin is tuple:
        return st.lists(values_of(args[0]), max_size=3).map(tuple)
    if origin is dict:
        return JSON_MAPS
    raise TypeError(f"no values for {annotation}")


def records_of(record_type: type[Any]) -> st.SearchStrategy[Any]:
    """Records of one type."""
    return st.builds(record_type, **{name: values_of(hint) for name, hint in field_types(record_type).items()})


any_record = st.sampled_from(RECORD_TYPES).flatmap(records_of)
