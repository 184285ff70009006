"""Records and their rows."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings

from agora.core import records
from agora.core.errors import DataError
from agora.core.fields import field_types
from agora.core.json_text import dumps, loads
from agora.core.records import Answer, Conversation, Measure, Message, Provenance, Sample, Verdict
from agora.core.schemas import arrow_schema, from_row, to_row
from tests.examples import examples

from .strategies import RECORD_TYPES, any_record

CONVERSATION = Conversation.linear([("user", "Hello"), ("assistant", "Hi")], Provenance("test"))


def test_every_record_with_a_schema_is_tested() -> None:
    found = {r for _, r in inspect.getmembers(records, inspect.isclass) if hasattr(r, "SCHEMA")}
    assert found == set(RECORD_TYPES)


@settings(max_examples=examples(60), deadline=None)
@given(any_record)
def test_a_row_gives_its_record_back_directly_and_through_json(record: Any) -> None:
    assert from_row(type(record), to_row(record)) == record
    assert from_row(type(record), loads(dumps(to_row(record)))) == record


def test_a_row_names_its_schema_first_and_holds_plain_values() -> None:
    row = to_row(CONVERSATION)
    assert list(row)[:2] == ["schema", "id"]
    assert row["schema"] == "conversation/1"
    assert row["messages"][1] == {"role": "assistant", "content": "Hi", "id": "1", "parent": "0", "meta": {}}


def test_fields_with_a_default_may_be_absent_and_whole_numbers_become_floats() -> None:
    measure = from_row(Measure, {"name": "loss", "value": 1, "n": 3})
    assert measure == Measure("loss", 1.0, 3)
    assert type(measure.value) is float


def test_not_a_number_is_written_as_missing() -> None:
    assert to_row(Measure("loss", math.nan, 3))["value"] is None


def test_an_infinite_number_is_refused() -> None:
    with pytest.raises(DataError, match="finite, got inf"):
        to_row(Measure("loss", math.inf, 3))


MESSAGE = {"role": "user", "content": "Hi"}


@pytest.mark.parametrize(
    ("record_type", "change", "line"),
    [
        (Conversation, {"id": 7}, 'field "id" must be a string, got 7'),
        (Conversation, {"mesages": []}, 'field "mesages" is unknown, did you mean messages?'),
        (Conversation, {"id": ...}, 'field "id" is missing'),
        (Conversation, {"messages": "Hi"}, "field \"messages\" must be a list, got 'Hi'"),
        (Conversation, {"messages": ["Hi"]}, "field \"messages[0]\" must be an object, got 'Hi'"),
        (Conversation, {"messages": [MESSAGE, {"role": "user"}]}, 'field "messages[1].content" is missing'),
        (Conversation, {"messages": [MESSAGE | {"contents": "x"}]}, 'field "messages[0].contents" is unknown'),
        (Conversation, {"provenance": None}, 'field "provenance" must be an object, got None'),
        (Conversation, {"tags": []}, 'field "tags" must be an object, got []'),
        (Conversation, {"schema": "task/1"}, "the row's schema is task/1, expected conversation/1"),
        (Conversation, {"schema": "conversation/2"}, "the row's schema is conversation/2"),
        (Sample, {"seed": True}, 'field "seed" must be a whole number, got True'),
        (Sample, {"seed": 1.0}, 'field "seed" must be a whole number, got 1.0'),
        (Sample, {"flags": ["a", 1]}, 'field "flags[1]" must be a string, got 1'),
        (Sample, {"kept": 1}, 'field "kept" must be true or false, got 1'),
        (Verdict, {"value": "5"}, "field \"value\" must be a number, got '5'"),
        (Verdict, {"value": True}, 'field "value" must be a number, got True'),
        (Verdict, {"status": "good"}, 'field "status" must be one of ok, unparsed, refused, missing, got'),
    ],
)
def test_a_wrong_row_is_refused_with_the_name_of_its_field(
    record_type: type[Any], change: dict[str, Any], line: str
) -> None:
    good: dict[type[Any], Any] = {
        Conversation: CONVERSATION,
        Sample: Sample("a", "run", "slice", 0, 1, (Message("user", "Hi"),), "Hi", "stop_token"),
        Verdict: Verdict("v", "score", "t", "m", "j", "ok", 5.0, "5", "score", "abc"),
    }
    row = to_row(good[record_type]) | change
    with pytest.raises(DataError) as caught:
        from_row(record_type, {key: value for key, value in row.items() if value is not ...})
    assert str(caught.value).startswith(line)


@pytest.mark.parametrize("row", [None, [], "text", 3])
def test_what_is_no_object_is_no_row(row: Any) -> None:
    with pytest.raises(DataError, match="a row must be an object"):
        from_row(Answer, row)


def test_a_long_wrong_value_is_shortened() -> None:
    with pytest.raises(DataError) as caught:
        from_row(Answer, {"task_id": ["x" * 10_000], "model": "m", "output": "o"})
    assert len(str(caught.value)) < 150


def test_arrow_schemas_carry_their_name_and_mark_free_form_maps() -> None:
    schema = arrow_schema(Conversation)
    assert schema.metadata == {b"agora.schema": b"conversation/1"}
    assert schema.field("tags").metadata == {b"agora.json": b"1"}
    message = schema.field("messages").type.value_type
    assert [f.name for f in message] == ["role", "content", "id", "parent", "meta"]
    assert [f.nullable for f in message] == [False, False, False, True, False]
    assert str(arrow_schema(Verdict).field("value").type) == "double"
    assert arrow_schema(Verdict).field("value").nullable


@pytest.mark.parametrize("record_type", RECORD_TYPES)
def test_arrow_schemas_have_the_fields_of_the_record(record_type: type[Any]) -> None:
    assert arrow_schema(record_type).names == list(field_types(record_type))


@dataclass(frozen=True, slots=True)
class Scored:
    """A room's own record."""

    SCHEMA: ClassVar[str] = "scored/1"
    id: str
    scores: dict[str, float] = field(default_factory=dict)
    first: Message | None = None
    names: list[str] = field(default_factory=list)


def test_a_room_may_define_its_own_records() -> None:
    record = Scored("a", {"x": 1.5}, Message("user", "Hi"), ["n"])
    assert from_row(Scored, loads(dumps(to_row(record)))) == record
    with pytest.raises(DataError, match=r'field "scores\[x\]" must be a number'):
        from_row(Scored, {"id": "a", "scores": {"x": "high"}})
    assert to_row(replace(record, first=None))["first"] is None


@dataclass(frozen=True)
class Odd:
    """A record that no file can hold."""

    SCHEMA: ClassVar[str] = "odd/1"
    value: str | int


def test_a_record_with_an_ambiguous_field_is_our_own_mistake() -> None:
    with pytest.raises(TypeError, match="cannot be annotated"):
        to_row(Odd("a"))
