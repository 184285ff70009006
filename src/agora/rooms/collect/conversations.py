"""Conversations in the store: begin one, add what was said, read it back as a tree.

Every function runs inside the caller's transaction and logs an event without content beside what it changes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import zstandard
from sqlalchemy import Connection, bindparam, insert, select, update

from agora.core.json_text import dumps, loads
from agora.rooms.collect.tables import CONVERSATIONS, FEEDBACK, MESSAGES
from agora.rooms.collect.types import ChatError, ChatMessage, Ending, Status
from agora.store import events
from agora.store.ids import new_id, now_us
from agora.store.prepared import Prepared

_STATE = Prepared(
    select(CONVERSATIONS.c.state).where(
        CONVERSATIONS.c.conversation_id == bindparam("conversation"),
        CONVERSATIONS.c.subject_id == bindparam("subject"),
    )
)
_TOUCH = Prepared(
    update(CONVERSATIONS)
    .where(CONVERSATIONS.c.conversation_id == bindparam("conversation"))
    .values(updated_us=bindparam("now"))
)
_INSERT = insert(MESSAGES)
_COLUMNS: dict[str, Any] = dict.fromkeys(MESSAGES.c.keys())
_CONTENT = ("content_zstd", "content_sha256")
_END = ("completed_us", "status", "finish_reason", "error_code", "usage_json", "upstream_id")
_FLUSH = Prepared(
    update(MESSAGES)
    .where(MESSAGES.c.message_id == bindparam("message"))
    .values({MESSAGES.c[name]: bindparam(f"new_{name}") for name in _CONTENT})
)
_FINISH = Prepared(
    update(MESSAGES)
    .where(MESSAGES.c.message_id == bindparam("message"))
    .where((MESSAGES.c.status == str(Status.STREAMING)) | (MESSAGES.c.status == str(Status.INTERRUPTED)))
    .values({MESSAGES.c[name]: bindparam(f"new_{name}") for name in (*_CONTENT, *_END)})
    .returning(MESSAGES.c.conversation_id)
)


def create_conversation(connection: Connection, subject_id: str, *, source: str = "web") -> str:
    """Begin a conversation of a subject; its id is returned."""
    conversation_id, at = new_id(), now_us()
    connection.execute(
        insert(CONVERSATIONS).values(
            conversation_id=conversation_id,
            subject_id=subject_id,
            created_us=at,
            updated_us=at,
            state="open",
            source=source,
        )
    )
    _log(connection, "conversation.created", subject_id, conversation_id)
    return conversation_id


def owned_conversation(connection: Connection, subject_id: str, conversation_id: str) -> None:
    """Raise unless the conversation is this subject's and open; another's and none look alike.

    Raises:
        ChatError: ``not_found``.
    """
    found = _STATE.run(connection, {"conversation": conversation_id, "subject": subject_id}).fetchone()
    if found != ("open",):
        raise ChatError("not_found", "there is no such conversation", 404)


def conversation_of(connection: Connection, message_id: str) -> str:
    """The conversation a message stands in.

    Raises:
        ChatError: ``not_found``.
    """
    found = connection.scalar(select(MESSAGES.c.conversation_id).where(MESSAGES.c.message_id == message_id))
    if found is None:
        raise ChatError("not_found", "there is no such message", 404)
    return str(found)


def add_reconstructed(connection: Connection, conversation_id: str, parent_id: str | None, role: str, text: str) -> str:
    """A message that a client tells of, but that never passed through this service."""
    message_id = new_id()
    row = message_row(
        message_id=message_id,
        conversation_id=conversation_id,
        parent_id=parent_id,
        role=role,
        text=text,
        at_us=now_us(),
        status=Status.RECONSTRUCTED,
    )
    connection.execute(_INSERT, row)
    _log(connection, "message.reconstructed", None, conversation_id, message_id, role=role)
    return message_id


def flush_reply(connection: Connection, message_id: str, text: str) -> None:
    """Keep what has been written so far."""
    _FLUSH.run(connection, {"message": message_id, **content_columns(text, "new_")})


def finish_reply(connection: Connection, message_id: str, text: str, ending: Ending) -> None:
    """Keep the whole reply and how it ended.

    One that was marked as interrupted, because its process slept for so long, ends as it should; one that was erased
    stays erased.
    """
    values = {
        "message": message_id,
        **content_columns(text, "new_"),
        "new_completed_us": now_us(),
        "new_status": str(ending.status),
        "new_finish_reason": ending.finish_reason,
        "new_error_code": ending.error_code,
        "new_usage_json": dumps(ending.usage).decode(),
        "new_upstream_id": ending.upstream_id,
    }
    row = _FINISH.run(connection, values).fetchone()
    if row is None:
        return
    (conversation_id,) = row
    touch(connection, conversation_id)
    payload = {"status": ending.status, "chars": len(text)}
    final = events.Event("message.assistant.final", None, conversation_id, message_id, payload)
    events.append(connection, final)


def read_messages(connection: Connection, conversation_id: str) -> list[ChatMessage]:
    """All messages of a conversation, parents before children."""
    return messages_of(connection, [conversation_id]).get(conversation_id, [])


def messages_of(connection: Connection, conversation_ids: Sequence[str]) -> dict[str, list[ChatMessage]]:
    """The messages of some conversations (a few hundred at once), parents before children."""
    found = connection.execute(
        select(MESSAGES, FEEDBACK.c.rating)
        .join(FEEDBACK, FEEDBACK.c.message_id == MESSAGES.c.message_id, isouter=True)
        .where(MESSAGES.c.conversation_id.in_(conversation_ids))
        .order_by(MESSAGES.c.created_us, MESSAGES.c.message_id)
    )
    messages: dict[str, list[ChatMessage]] = {}
    for row in found:
        messages.setdefault(row.conversation_id, []).append(_message(row))
    return messages


def _message(row: Any) -> ChatMessage:
    return ChatMessage(
        id=row.message_id,
        conversation_id=row.conversation_id,
        parent_id=row.parent_id,
        role=row.role,
        content=zstandard.decompress(row.content_zstd).decode("utf-8"),
        created_us=row.created_us,
        status=Status(row.status),
        model=row.model,
        finish_reason=row.finish_reason,
        error_code=row.error_code,
        completed_us=row.completed_us,
        edited_of=row.edited_of,
        rating=row.rating,
        usage=loads(row.usage_json.encode()) if row.usage_json else {},
    )


def path_to(messages: Sequence[ChatMessage], leaf_id: str) -> list[ChatMessage]:
    """The messages from the first one to a leaf."""
    by_id = {message.id: message for message in messages}
    path = [by_id[leaf_id]]
    while (parent := path[-1].parent_id) is not None:
        path.append(by_id[parent])
    return path[::-1]


def newest_leaf(messages: Sequence[ChatMessage]) -> str | None:
    """The leaf that was written last: what a person sees when they come back."""
    inner = {message.parent_id for message in messages}
    return next((message.id for message in reversed(messages) if message.id not in inner), None)


def conversations_of(connection: Connection, subject_id: str, *, limit: int = 100) -> list[tuple[str, int, str]]:
    """The subject's open conversations, newest first: id, last change, the first words of the first message."""
    found = connection.execute(
        select(CONVERSATIONS.c.conversation_id, CONVERSATIONS.c.updated_us)
        .where(CONVERSATIONS.c.subject_id == subject_id, CONVERSATIONS.c.state == "open")
        .order_by(CONVERSATIONS.c.updated_us.desc())
        .limit(limit)
    ).all()
    return [(row.conversation_id, row.updated_us, _first_words(connection, row.conversation_id)) for row in found]


def owned_reply(connection: Connection, subject_id: str, message_id: str) -> str:
    """The conversation of a reply, which must be this subject's and open.

    Raises:
        ChatError: it is no reply in a conversation of theirs.
    """
    row = connection.execute(
        select(MESSAGES.c.conversation_id, MESSAGES.c.role).where(MESSAGES.c.message_id == message_id)
    ).first()
    if row is None or row.role != "assistant":
        raise ChatError("not_found", "there is no such reply", 404)
    owned_conversation(connection, subject_id, row.conversation_id)
    return str(row.conversation_id)


def rate(connection: Connection, subject_id: str, message_id: str, rating: int, comment: str | None) -> None:
    """Keep a person's rating of a reply; a later one takes its place.

    Raises:
        ChatError: it is no reply in a conversation of theirs.
    """
    conversation_id = owned_reply(connection, subject_id, message_id)
    values = {"rating": rating, "comment": comment, "created_us": now_us()}
    changed = connection.execute(update(FEEDBACK).where(FEEDBACK.c.message_id == message_id).values(**values))
    if changed.rowcount == 0:
        connection.execute(insert(FEEDBACK).values(message_id=message_id, **values))
    _log(connection, "feedback", subject_id, conversation_id, message_id, rating=rating)


def _first_words(connection: Connection, conversation_id: str) -> str:
    raw = connection.scalar(
        select(MESSAGES.c.content_zstd)
        .where(MESSAGES.c.conversation_id == conversation_id, MESSAGES.c.role == "user")
        .order_by(MESSAGES.c.created_us)
        .limit(1)
    )
    text = " ".join(zstandard.decompress(raw).decode("utf-8").split()) if raw else ""
    return text if len(text) <= 60 else text[:59] + "…"


def message_row(
    *,
    message_id: str,
    conversation_id: str,
    parent_id: str | None,
    role: str,
    text: str,
    at_us: int,
    status: Status = Status.COMPLETE,
    **more: Any,
) -> dict[str, Any]:
    """All columns of a new message, whoever wrote it, so that one statement inserts both sides of a round.

    Text that UTF-8 cannot hold is repaired. A message that is not streaming is whole at ``at_us``; ``more`` are further
    columns by name.
    """
    return {
        **_COLUMNS,
        "message_id": message_id,
        "conversation_id": conversation_id,
        "parent_id": parent_id,
        "role": role,
        **content_columns(repaired(text)),
        "created_us": at_us,
        "completed_us": None if status == Status.STREAMING else at_us,
        "status": str(status),
        **more,
    }


def repaired(text: str) -> str:
    """The text with replacement characters (U+FFFD) for what UTF-8 cannot hold."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def content_columns(text: str, prefix: str = "") -> dict[str, bytes]:
    """A text as it is stored: compressed, and its hash."""
    raw = text.encode("utf-8")
    packed, digest = zstandard.compress(raw, 3), hashlib.sha256(raw).digest()
    return {f"{prefix}content_zstd": packed, f"{prefix}content_sha256": digest}


def touch(connection: Connection, conversation_id: str) -> None:
    """A conversation has changed now."""
    _TOUCH.run(connection, {"conversation": conversation_id, "now": now_us()})


def _log(
    connection: Connection,
    kind: str,
    subject_id: str | None,
    conversation_id: str,
    message_id: str | None = None,
    **payload: object,
) -> None:
    events.append(
        connection,
        events.Event(
            kind, subject_id=subject_id, conversation_id=conversation_id, message_id=message_id, payload=payload
        ),
    )
