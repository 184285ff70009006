"""WildChat and LMSYS rows come in and go out unchanged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from agora.core.errors import DataError, UsageError
from agora.core.records import Conversation, Provenance
from agora.core.tables import Rejects
from agora.curate.importers import export_lmsys, export_wildchat, import_conversations, import_file
from agora.curate.importers.schemas import PUBLISHED, published_schema
from agora.curate.importers.wildchat import conversation_hash

FIXTURES = {"wildchat-1m": "wildchat_1m", "wildchat-4.8m": "wildchat_4_8m", "lmsys-chat-1m": "lmsys_chat_1m"}


def export(name: str, chats: list[Conversation], path: Path) -> Any:
    return export_lmsys(chats, path) if name.startswith("lmsys") else export_wildchat(chats, path, name.split("-")[1])


def talk(*turns: tuple[str, str], **more: Any) -> Conversation:
    return Conversation.linear(
        list(turns), Provenance("mine", "7", language="English", created="2024-05-01T10:00:00"), **more
    )


def described(kind: Any) -> Any:
    """An Arrow type the way ``schemas.json`` writes it."""
    if pa.types.is_struct(kind):
        return {f.name: described(f.type) for f in kind}
    return [described(kind.value_type)] if pa.types.is_list(kind) else str(kind)


@pytest.mark.parametrize("name", PUBLISHED)
def test_schema_equals_the_published_one(shared_dir: Path, name: str) -> None:
    published = json.loads((shared_dir / "data/wildchat/schema/schemas.json").read_text())[FIXTURES[name]]
    ours = {f.name: described(f.type) for f in published_schema(name)}
    assert json.dumps(ours) == json.dumps(published)  # the order of fields counts


@pytest.mark.parametrize("name", PUBLISHED)
def test_fixture_comes_out_as_it_went_in(shared_dir: Path, tmp_path: Path, name: str) -> None:
    source = shared_dir / f"data/wildchat/schema/{FIXTURES[name]}_fixture.parquet"
    report = import_file(source, tmp_path / "in.parquet")
    chats = list(import_conversations(report.out, rejects=Rejects()))
    done = export(name, chats, tmp_path / "out.parquet")

    before, after = pq.read_table(source), pq.read_table(tmp_path / "out.parquet")
    assert (report.format, report.n_imported, done.n_rows, done.skipped) == (name, 8, 8, {})
    assert after.schema.equals(before.schema, check_metadata=True)
    assert after.to_pylist() == before.to_pylist()


@pytest.mark.parametrize("name", ["wildchat-1m", "wildchat-4.8m"])
def test_conversation_hash_of_the_fixtures_is_reproduced(shared_dir: Path, name: str) -> None:
    source = shared_dir / f"data/wildchat/schema/{FIXTURES[name]}_fixture.parquet"
    for chat in import_conversations(source, rejects=Rejects()):
        assert conversation_hash(chat.messages) == chat.meta["row"]["conversation_hash"]


def test_turn_identifier_is_the_key_of_a_wildchat_row(shared_dir: Path) -> None:
    source = shared_dir / "data/wildchat/schema/wildchat_1m_fixture.parquet"
    first = next(import_conversations(source, rejects=Rejects()))
    assert first.provenance.source_id == "100001"
    assert first.provenance.created == "2023-04-10T00:03:08+00:00"
    assert first.meta["model"] == "gpt-3.5-turbo-0301"


def test_edited_text_gets_a_new_hash(shared_dir: Path, tmp_path: Path) -> None:
    source = shared_dir / "data/wildchat/schema/wildchat_1m_fixture.parquet"
    chat = next(import_conversations(source, rejects=Rejects()))
    first = chat.messages[0]
    edited = Conversation(
        chat.id,
        (type(first)(first.role, "redacted", first.id, None, first.meta), *chat.messages[1:]),
        chat.provenance,
        meta=chat.meta,
    )
    export_wildchat([edited], tmp_path / "o.parquet")
    [row] = pq.read_table(tmp_path / "o.parquet").to_pylist()
    assert row["conversation_hash"] == conversation_hash(edited.messages)
    assert row["conversation_hash"] != chat.meta["row"]["conversation_hash"]


@pytest.mark.parametrize("version", ["1m", "4.8m"])
def test_other_conversations_are_exported_with_what_is_known(tmp_path: Path, version: str) -> None:
    chat = talk(("system", "s"), ("user", "hi"), ("assistant", "hello"), meta={"model": "m"})
    report = export_wildchat([chat], tmp_path / "o.parquet", version)
    [row] = pq.read_table(tmp_path / "o.parquet").to_pylist()
    assert report.skipped == {"system turn left out": 1}
    assert [u["content"] for u in row["conversation"]] == ["hi", "hello"]
    assert (row["model"], row["turn"], row["language"], row["toxic"]) == ("m", 1, "English", None)
    assert row["timestamp"].isoformat().startswith("2024-05-01T10:00:00")


def test_each_branch_of_a_tree_is_one_row(tmp_path: Path) -> None:
    chat = talk(("user", "q"), ("assistant", "a"))
    branched = Conversation("t", (*chat.messages, type(chat.messages[0])("assistant", "b", "2", "0")), chat.provenance)
    assert export_wildchat([branched], tmp_path / "o.parquet").n_rows == 2
    rows = pq.read_table(tmp_path / "o.parquet").to_pylist()
    assert len({r["conversation_hash"] for r in rows}) == 2


def test_paths_with_tools_are_skipped_and_counted(tmp_path: Path) -> None:
    report = export_wildchat([talk(("user", "q"), ("assistant", ""), ("tool", "x"))], tmp_path / "o.parquet")
    assert (report.n_rows, report.skipped) == (0, {"path with a role other than user and assistant": 1})


def test_a_field_that_does_not_fit_is_named_and_nothing_is_left(tmp_path: Path) -> None:
    chat = talk(("user", "q"), meta={"row": {"turn": "many"}})
    with pytest.raises(DataError, match="does not fit the wildchat-1m schema"):
        export_wildchat([chat], tmp_path / "o.parquet")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError, match="'timestamp' is no ISO 8601 time"):
        export_wildchat([talk(("user", "q"), meta={"row": {"timestamp": "soon"}})], tmp_path / "o.parquet")


def test_unknown_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"choose 1m or 4\.8m"):
        export_wildchat([], tmp_path / "o.parquet", "2m")
