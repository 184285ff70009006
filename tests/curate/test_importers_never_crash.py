"""Arbitrary rows are imported or refused; no importer fails in another way, and what it gives can be stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agora.core.errors import AgoraError
from agora.core.records import Conversation
from agora.core.tables import read_records, write_parquet
from agora.curate.importers import FORMATS, import_file
from agora.curate.importers.base import Origin
from tests.examples import examples

texts = st.text(st.characters(), max_size=12)
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | texts
values = st.recursive(scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(texts, v, max_size=3), max_leaves=8)
roles = st.sampled_from(["user", "assistant", "system", "tool", "human", "gpt", "prompter", "developer", "x", None])
contents = (
    texts | values | st.lists(st.fixed_dictionaries({"type": st.sampled_from(["text", "image", 1]), "text": values}))
)


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


turns = optional(role=roles | values, content=contents, tool_calls=values, usage=values, turn_identifier=values)
shared = optional(**{"from": roles | values}, value=contents, role=roles, content=contents)
nodes = st.recursive(
    optional(message_id=texts | values, text=contents, role=roles, deleted=values, replies=values, parent_id=values),
    lambda n: optional(message_id=texts, text=texts, role=roles, replies=st.lists(n, max_size=3)),
    max_leaves=6,
)
rows = optional(
    messages=st.lists(turns, max_size=4) | values,
    conversations=st.lists(shared, max_size=4) | values,
    conversation=st.lists(turns, max_size=4) | values,
    prompt=nodes | values,
    id=values,
    conversation_id=values,
    conversation_hash=values,
    message_tree_id=values,
    timestamp=values,
    created=values,
    language=values,
    model=values,
    system=values,
    provenance=values,
    schema=st.just("conversation/1") | values,
)


@pytest.mark.parametrize("name", list(FORMATS))
@given(row=rows)
@settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_row_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, name: str, row: dict[str, Any]) -> None:
    format_ = FORMATS[name]
    format_.matches(row)
    try:
        conversation = format_.convert(row, Origin("f", 1))
    except AgoraError as error:
        assert "\n" not in str(error)
        return
    assert all(path[0].parent is None for path in conversation.paths())
    file = tmp_path_factory.mktemp("rows") / "c.parquet"
    assert write_parquet(file, [conversation], Conversation) == 1
    [back] = read_records(file, Conversation)
    assert (back.id, [m.as_chat() for m in back.messages]) == (
        conversation.id,
        [m.as_chat() for m in conversation.messages],
    )


@given(lines=st.lists(rows.map(json.dumps) | st.text(max_size=20), min_size=1, max_size=5))
@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_is_imported_or_refused_with_one_line(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    folder: Path = tmp_path_factory.mktemp("files")
    (folder / "a.jsonl").write_bytes("\n".join(lines).encode("utf-8", "surrogatepass"))
    try:
        report = import_file(folder / "a.jsonl", folder / "o.parquet")
    except AgoraError as error:
        assert "\n" not in str(error)
        return
    assert report.n_read == report.n_imported + report.n_rejected
    assert sum(report.reasons.values()) == report.n_rejected
    assert sum(1 for _ in read_records(report.out, Conversation)) == report.n_imported
