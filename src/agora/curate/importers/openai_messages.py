"""OpenAI messages: ``{"messages": [{"role", "content"}, ...], ...}`` with text or a list of parts as content."""

from __future__ import annotations

from collections import Counter
from typing import Any

from agora.core.records import Conversation, JsonMap, Provenance, Role
from agora.curate.importers.base import (
    Format,
    Origin,
    RowError,
    Turn,
    chain,
    iso_time,
    list_of,
    pick_role,
    text_of,
    text_or_none,
    without,
)

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_TEXT_PARTS = frozenset({"text", "input_text", "output_text"})


def _matches(data: JsonMap) -> str | None:
    messages = data.get("messages")
    if isinstance(messages, list) and messages and isinstance(messages[0], dict) and "role" in messages[0]:
        return "'messages' holds objects with 'role'"
    return None


def _join_parts(parts: list[Any], index: int) -> tuple[str, JsonMap]:
    """Text parts joined by line breaks; any other part leaves a placeholder and is counted."""
    texts, others = [], Counter[str]()
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
            continue
        if not isinstance(part, dict):
            raise RowError("content is not text", f"message {index + 1} has a part that is {type(part).__name__}")
        kind = str(part.get("type", "unknown"))
        if kind in _TEXT_PARTS:
            texts.append(text_of(part.get("text"), index))
        else:
            texts.append(f"[{kind}]")
            others[kind] += 1
    return "\n".join(texts), {"other_parts": dict(others)} if others else {}


def _turn(item: JsonMap, index: int) -> Turn:
    role = pick_role(item.get("role"), ROLES)
    meta = without(item, "role", "content")
    if str(item["role"]).strip().lower() != role:
        meta["original_role"] = item["role"]
    content = item.get("content")
    if content is None and role == "assistant" and any(item.get(k) for k in ("tool_calls", "function_call", "refusal")):
        # a call or a refusal stands in for the text
        return Turn(role, "", meta)
    if isinstance(content, list):
        text, parts = _join_parts(content, index)
        return Turn(role, text, meta | parts)
    return Turn(role, text_of(content, index), meta)


def _convert(data: JsonMap, origin: Origin) -> Conversation:
    turns = [_turn(item, i) for i, item in enumerate(list_of(data, "messages"))]
    given = next((i for k in ("id", "conversation_id", "uuid") if (i := text_or_none(data.get(k)))), None)
    created = next((t for k in ("created", "timestamp", "created_at") if (t := iso_time(data.get(k)))), None)
    provenance = Provenance(
        source=OPENAI.name,
        source_id=given or "",
        licence=text_or_none(data.get("license")) or text_or_none(data.get("licence")) or OPENAI.licence,
        language=text_or_none(data.get("language")),
        created=created,
        path=origin.path,
        line=origin.line,
    )
    return chain(turns, provenance, meta=without(data, "messages"))


OPENAI = Format(
    name="openai",
    title="OpenAI messages",
    shape='{"messages": [{"role", "content"}, ...]}',
    licence="unknown",
    note="The format says nothing about rights: check who wrote the conversations before you publish anything.",
    consent="unknown",
    matches=_matches,
    convert=_convert,
)
