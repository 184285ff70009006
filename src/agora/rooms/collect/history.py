"""Where a stateless client's history belongs: after the stored message that has the same history, or in a new tree."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, select

from agora.rooms.collect import conversations
from agora.rooms.collect.conversations import path_to, read_messages
from agora.rooms.collect.tables import CONVERSATIONS, MESSAGES
from agora.rooms.collect.types import ChatError


class Place(NamedTuple):
    """A conversation, and the message that the next one follows (None at its beginning)."""

    conversation_id: str
    parent_id: str | None


def attach_history(connection: Connection, subject_id: str, turns: Sequence[tuple[str, str]]) -> Place:
    """Find the place of a history among the subject's conversations, or make one.

    A history that is not stored is kept as it was told, its messages marked ``reconstructed``: nothing is dropped
    because an earlier request never reached this service.

    Args:
        connection: of a transaction that writes.
        subject_id: whose history it is.
        turns: ``(role, text)`` before the new message; a system message may stand first.

    Raises:
        ChatError: ``bad_history``: the roles do not alternate or it ends with a user's turn.
    """
    _check_roles(turns)
    if turns and (found := _find(connection, subject_id, turns)):
        return found
    conversation_id = conversations.create_conversation(connection, subject_id, source="api")
    parent: str | None = None
    for role, text in turns:
        parent = conversations.add_reconstructed(connection, conversation_id, parent, role, text)
    return Place(conversation_id, parent)


def _check_roles(turns: Sequence[tuple[str, str]]) -> None:
    spoken = [role for role, _ in turns]
    if spoken and spoken[0] == "system":
        spoken = spoken[1:]
    expected = [("user", "assistant")[i % 2] for i in range(len(spoken))]
    if spoken != expected or len(spoken) % 2:
        raise ChatError("bad_history", "user and assistant must take turns, the user first", 422)


def _find(connection: Connection, subject_id: str, turns: Sequence[tuple[str, str]]) -> Place | None:
    last = hashlib.sha256(turns[-1][1].encode("utf-8", "replace")).digest()
    candidates = connection.execute(
        select(MESSAGES.c.message_id, MESSAGES.c.conversation_id)
        .join(CONVERSATIONS, CONVERSATIONS.c.conversation_id == MESSAGES.c.conversation_id)
        .where(
            CONVERSATIONS.c.subject_id == subject_id,
            CONVERSATIONS.c.state == "open",
            MESSAGES.c.role == turns[-1][0],
            MESSAGES.c.content_sha256 == last,
        )
        .order_by(MESSAGES.c.created_us.desc())
        .limit(50)
    ).all()
    for row in candidates:
        path = path_to(read_messages(connection, row.conversation_id), row.message_id)
        if [(m.role, m.content) for m in path] == list(turns):
            return Place(row.conversation_id, row.message_id)
    return None
