"""ShareLM rows and ChatGPT account exports, plain and as an archive of numbered files."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from agora.core.errors import DataError
from agora.core.records import Conversation
from agora.core.tables import Rejects
from agora.curate.importers import detect_format, import_conversations


def _read(path: Path) -> tuple[list[Conversation], Rejects]:
    rejects = Rejects()
    return list(import_conversations(path, rejects=rejects)), rejects


def _paths(conversation: Conversation) -> list[str]:
    return [" ".join(m.content for m in path) for path in conversation.paths()]


def _node(parent: str | None, role: str | None, *parts: Any, **message: Any) -> dict[str, Any]:
    told = None
    if role is not None:
        told = {"author": {"role": role}, "content": {"content_type": "text", "parts": list(parts)}, **message}
    return {"parent": parent, "children": [], "message": told}


def _account(number: int = 0) -> dict[str, Any]:
    mapping = {
        "root": _node(None, None),
        "hidden": _node("root", "system", ""),
        "q": _node("hidden", "user", f"hello {number}", create_time=1.7e9),
        "a1": _node("q", "assistant", "one", metadata={"model_slug": "m-4"}),
        "a2": _node("q", "assistant", "two"),
        "q2": _node("a2", "user", {"content_type": "image_asset_pointer"}, "what is this?"),
    }
    return {
        "title": "t",
        "create_time": 1.7e9,
        "mapping": mapping,
        "conversation_id": f"c{number}",
        "current_node": "q2",
    }


def test_a_chatgpt_graph_becomes_a_tree_without_its_silent_nodes(tmp_path: Path) -> None:
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps([_account()]))
    assert detect_format(path).format == "chatgpt"
    (chat,), rejects = _read(path)
    assert _paths(chat) == ["hello 0 one", "hello 0 two [image_asset_pointer]\nwhat is this?"]
    assert [m.meta.get("model") for m in chat.messages] == [None, "m-4", None, None]
    assert chat.meta["nodes_without_words"] == 2 and chat.meta["title"] == "t" and rejects.count == 0
    assert chat.provenance.created == "2023-11-14T22:13:20+00:00" and chat.provenance.consent == "none"


def test_an_archive_of_numbered_files_is_read_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for part in (10, 2, 1):
            archive.writestr(f"data/conversations-{part:03}.json", json.dumps([_account(part), _account(part + 100)]))
        archive.writestr("user.json", "{}")
    assert detect_format(path).format == "chatgpt"
    chats, rejects = _read(path)
    assert [c.provenance.source_id for c in chats] == ["c1", "c101", "c2", "c102", "c10", "c110"]
    assert [c.provenance.line for c in chats] == [1, 2, 3, 4, 5, 6] and rejects.count == 0


def test_an_archive_without_conversations_or_a_damaged_one_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("user.json", "{}")
    with pytest.raises(DataError, match=r"no conversations\.json in the archive, which holds user\.json"):
        detect_format(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("conversations.json", json.dumps([_account(i) for i in range(50)]))
    raw = bytearray(path.read_bytes())
    raw[60:200] = bytes(140)
    path.write_bytes(raw)
    with pytest.raises(DataError, match="the archive cannot be read"):
        detect_format(path)


def test_nodes_in_a_circle_are_refused(tmp_path: Path) -> None:
    account = _account()
    account["mapping"]["q"]["parent"] = "q2"
    path = tmp_path / "conversations.json"
    path.write_text(json.dumps([account, _account(1)]))
    chats, rejects = _read(path)
    assert len(chats) == 1 and rejects.by_reason == {"nodes in a circle": 1}


def test_sharelm_rows_keep_all_their_fields(tmp_path: Path) -> None:
    row = {
        "conversation_id": "s1",
        "user_msgs": ["a", "c", "e"],
        "bot_msgs": ["b", "d"],
        "page_url": "https://chat.example.org",
        "user_id": "u1",
        "user_metadata": {"age": "30", "location": None, "gender": None},
        "timestamp": "2024-01-02T03:04:05",
        "conversation_metadata": {"rate": 1, "message_ratings": [1, None]},
    }
    path = tmp_path / "sharelm.jsonl"
    path.write_text(json.dumps(row) + "\n" + json.dumps({**row, "conversation_id": "s2", "user_msgs": []}) + "\n")
    assert detect_format(path).format == "sharelm"
    (chat,), rejects = _read(path)
    assert [(m.role, m.content) for m in chat.messages] == [
        ("user", "a"),
        ("assistant", "b"),
        ("user", "c"),
        ("assistant", "d"),
        ("user", "e"),
    ]
    assert chat.meta["incomplete"] and chat.meta["row"]["conversation_metadata"]["message_ratings"] == [1, None]
    assert chat.provenance.source_id == "s1" and rejects.by_reason == {"no user turn": 1}
