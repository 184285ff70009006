"""Where a stateless client's history belongs: after the stored message that has the same history, or in a new tree."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, func, select

from agora.rooms.collect import conversations
from agora.rooms.collect.conversations import read_messages
from agora.rooms.collect.linking.prefix import START, next_key, prefix_keys
from agora.rooms.collect.tables import CONVERSATIONS, MESSAGES
from agora.rooms.collect.types import ChatError


class Place(NamedTuple):
    """A conversation, and the message that the next one follows (None at its beginning)."""

    conversation_id: str
    parent_id: str | None


def attach_history(connection: Connection, subject_id: str, turns: Sequence[tuple[str, str]]) -> Place:
    """Find the place of a history among the subject's conversations, or make one.

    It is attached to the longest part of it that is stored. What goes beyond is kept as it was told, its messages
    marked ``reconstructed``: nothing is dropped because an earlier request never reached this service.

    Args:
        connection: of a transaction that writes.
        subject_id: whose history it is.
        turns: ``(role, text)`` before the new message; a system message may stand first.

    Raises:
        ChatError: ``bad_history``: the roles do not alternate or it ends with a user's turn.
    """
    _check_roles(turns)
    known, place = _deepest(connection, subject_id, turns)
    if place is None:
        place = Place(conversations.create_conversation(connection, subject_id, source="api"), None)
    parent = place.parent_id
    for role, text in turns[known:]:
        parent = conversations.add_reconstructed(connection, place.conversation_id, parent, role, text)
    return Place(place.conversation_id, parent)


def _check_roles(turns: Sequence[tuple[str, str]]) -> None:
    spoken = [role for role, _ in turns]
    if spoken and spoken[0] == "system":
        spoken = spoken[1:]
    expected = [("user", "assistant")[i % 2] for i in range(len(spoken))]
    if spoken != expected or len(spoken) % 2:
        raise ChatError("bad_history", "user and assistant must take turns, the user first", 422)


def _deepest(connection: Connection, subject_id: str, turns: Sequence[tuple[str, str]]) -> tuple[int, Place | None]:
    """How many turns are stored, and where; as in :mod:`agora.rooms.collect.linking.tree`, at least one reply is."""
    first = next((i for i, (role, _) in enumerate(turns) if role == "assistant"), None)
    if first is None:
        return 0, None
    depth_of = {key: depth for depth, key in enumerate(prefix_keys(turns), 1) if turns[depth - 1][0] == "assistant"}
    best, place = 0, None
    for conversation_id in _with_reply(connection, subject_id, turns[first][1]):
        keys: dict[str | None, bytes] = {None: START}
        for message in read_messages(connection, conversation_id):
            keys[message.id] = next_key(keys[message.parent_id], message.role, message.content)
            depth = depth_of.get(keys[message.id], 0)
            if depth > best:
                best, place = depth, Place(conversation_id, message.id)
    return best, place


def _with_reply(connection: Connection, subject_id: str, text: str) -> list[str]:
    """The subject's latest open conversations that hold this reply: every longer history holds it too."""
    found = connection.execute(
        select(MESSAGES.c.conversation_id, func.max(MESSAGES.c.created_us))
        .join(CONVERSATIONS, CONVERSATIONS.c.conversation_id == MESSAGES.c.conversation_id)
        .where(
            CONVERSATIONS.c.subject_id == subject_id,
            CONVERSATIONS.c.state == "open",
            MESSAGES.c.role == "assistant",
            MESSAGES.c.content_sha256 == hashlib.sha256(text.encode("utf-8", "replace")).digest(),
        )
        .group_by(MESSAGES.c.conversation_id)
        .order_by(func.max(MESSAGES.c.created_us).desc())
        .limit(50)
    )
    return [row.conversation_id for row in found]
