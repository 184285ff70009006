"""Rows with labels, as the curation verbs read and write them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from agora.core.records import Conversation, Provenance
from agora.core.schemas import to_row


def talk(instruction: str = "Say hi.", answer: str | None = "Hi.", id: str = "", **tags: Any) -> dict[str, Any]:
    """A row of one question and, perhaps, one answer; plain tag values become labels that did not fail."""
    turns = [("user", instruction), *([("assistant", answer)] if answer is not None else [])]
    labels = {k: v if isinstance(v, dict) else {"value": v, "status": "ok"} for k, v in tags.items()}
    more = {"id": id} if id else {}
    return to_row(Conversation.linear(turns, Provenance("test"), tags=labels, **more))


def write(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """The rows as JSON Lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of JSON Lines."""
    return [json.loads(line) for line in path.read_bytes().split(b"\n") if line]


def ids(path: Path) -> list[str]:
    """The ids of the rows of a file, in its order."""
    return [row["id"] for row in read(path)]
