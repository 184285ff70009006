"""Agora's own conversations, so that what one command imported the next can read."""

from __future__ import annotations

from dataclasses import replace
from typing import get_type_hints

from agora.core.errors import DataError
from agora.core.records import ROLES, Conversation, JsonMap
from agora.core.schemas import from_row
from agora.curate.importers.base import Format, Origin, RowError

_REQUIRED = frozenset({"id", "messages", "provenance"})


def _matches(data: JsonMap) -> str | None:
    if data.get("schema") == Conversation.SCHEMA:
        return f"'schema' is {Conversation.SCHEMA!r}"
    if data.keys() >= _REQUIRED and data.keys() <= get_type_hints(Conversation).keys():
        return "the columns of conversation/1"
    return None


def _convert(data: JsonMap, origin: Origin) -> Conversation:
    try:
        conversation = from_row(Conversation, data)
    except DataError as error:
        raise RowError("not a conversation/1 row", error.what) from None
    _check_tree(conversation)
    if conversation.provenance.path is None:
        return replace(conversation, provenance=replace(conversation.provenance, path=origin.path, line=origin.line))
    return conversation


def _check_tree(conversation: Conversation) -> None:
    if not any(m.role == "user" for m in conversation.messages):
        raise RowError("no user turn")
    seen: set[str] = set()
    for message in conversation.messages:
        if message.role not in ROLES:
            raise RowError("unknown role", repr(message.role)[:40])
        if message.id in seen:
            raise RowError("duplicate message id", repr(message.id[:60]))
        if message.parent is not None and message.parent not in seen:
            raise RowError("wrong message order", f"the parent of {message.id[:60]!r} does not come before it")
        seen.add(message.id)


AGORA = Format(
    name="agora",
    title="Agora conversations (conversation/1)",
    shape='{"schema": "conversation/1", "id", "messages", "provenance", ...}',
    licence="as stated in each row",
    note="Every row carries the licence of its source.",
    consent="as stated in each row",
    matches=_matches,
    convert=_convert,
)
