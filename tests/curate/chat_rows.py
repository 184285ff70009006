"""Rows of chat logs that the importers' tests are made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from agora.core.records import Conversation
from agora.core.tables import Rejects
from agora.curate.importers import import_conversations


def write_lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def read_all(path: Path, **options: Any) -> tuple[list[Conversation], Rejects]:
    rejects = Rejects()
    return list(import_conversations(path, rejects=rejects, **options)), rejects


def one(path: Path, row: dict[str, Any], **options: Any) -> Conversation:
    [conversation], _ = read_all(write_lines(path, [row]), **options)
    return conversation


def chat(*turns: tuple[str, Any], **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": r, "content": c} for r, c in turns], **more}


def gpt(*turns: tuple[str, Any], **more: Any) -> dict[str, Any]:
    return {"conversations": [{"from": r, "value": c} for r, c in turns], **more}


def tree(**more: Any) -> dict[str, Any]:
    replies = [
        {"message_id": "b", "parent_id": "a", "text": "one", "role": "assistant", "rank": 0, "replies": []},
        {"message_id": "c", "parent_id": "a", "text": None, "role": "assistant", "deleted": True, "replies": []},
    ]
    prompt = {"message_id": "a", "text": "q", "role": "prompter", "lang": "en", "replies": replies}
    return {"message_tree_id": "a", "tree_state": "growing", "prompt": prompt, **more}
