"""What is on disk when a person has sent a message or asked for another answer: one look, one write, one job.

    consent -> the conversation is theirs -> known already? -> limits -> the message and the beginning of its reply

All of it runs inside one transaction of the writer, so nothing can change between the look and the write, and fifty
people who send at one instant share a commit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import zstandard
from sqlalchemy import Connection, bindparam, insert, select, update

from agora.core.json_text import dumps
from agora.rooms.collect.conversations import message_row, owned_conversation, repaired, touch
from agora.rooms.collect.guard.budget import Charge
from agora.rooms.collect.tables import MESSAGES
from agora.rooms.collect.types import ChatError, NewMessage, Params, Status
from agora.store import events
from agora.store.consent import Subject
from agora.store.ids import new_id, now_us
from agora.store.prepared import Prepared

Turns = list[dict[str, str]]

_TREE = Prepared(
    select(
        MESSAGES.c.message_id,
        MESSAGES.c.parent_id,
        MESSAGES.c.role,
        MESSAGES.c.status,
        MESSAGES.c.client_msg_id,
        MESSAGES.c.model,
        MESSAGES.c.content_zstd,
    )
    .where(MESSAGES.c.conversation_id == bindparam("conversation"))
    .order_by(MESSAGES.c.created_us, MESSAGES.c.message_id)
)
_INSERT = Prepared(insert(MESSAGES), MESSAGES.c.keys())


@dataclass(frozen=True, slots=True)
class Begun:
    """A reply that begins, or that an earlier sending of the same message began (``is_new`` False, no ``turns``)."""

    subject_id: str
    conversation_id: str
    message_id: str
    parent_id: str
    model: str | None
    is_new: bool
    turns: tuple[dict[str, str], ...] = ()
    charge: Charge | None = None


class Reply(NamedTuple):
    """What is known of a reply before its first word."""

    model: str
    params: Params
    writer: str  # id of the process that will write it


class _Node(NamedTuple):
    message_id: str
    parent_id: str | None
    role: str
    status: str
    client_msg_id: str | None
    model: str | None
    content_zstd: bytes

    @property
    def turn(self) -> dict[str, str]:
        """As a model reads it."""
        return {"role": self.role, "content": zstandard.decompress(self.content_zstd).decode("utf-8")}


def keep_message(
    connection: Connection,
    subject: Subject,
    new: NewMessage,
    reply: Reply,
    *,
    most_rounds: int,
    count: Callable[[], None],
) -> Begun:
    """Keep what a person wrote and the beginning of its reply.

    Args:
        connection: of the writer.
        subject: who may chat, as the store has them now.
        new: the message; sent a second time it changes nothing.
        reply: who will answer, and how.
        most_rounds: user messages that a conversation may hold, all branches counted.
        count: called for a message that is new; raises when there were too many.

    Raises:
        ChatError: the conversation is not theirs or is full, or the parent is no finished reply of it.
        LimitError: from ``count``.
    """
    owned_conversation(connection, subject.id, new.conversation_id)
    tree = _read_tree(connection, new.conversation_id)
    known = next((node for node in tree.values() if node.client_msg_id == new.client_msg_id), None)
    if known is not None:
        answers = [node for node in tree.values() if node.parent_id == known.message_id]
        if answers:
            last = answers[-1]
            return Begun(subject.id, new.conversation_id, last.message_id, known.message_id, last.model, False)
    else:
        _check_parent(tree, new.parent_id)
    if sum(node.role == "user" for node in tree.values()) + (known is None) > most_rounds:
        raise ChatError("conversation_full", "this conversation is at its longest; please begin another", 409)
    count()
    rows: list[dict[str, Any]] = []
    happened: list[events.Event] = []
    at = now_us()
    if known is None:
        message_id = new_id(at)
        text = repaired(new.content)
        flags = None if text == new.content else "text_repaired"
        rows.append(
            message_row(
                message_id=message_id,
                conversation_id=new.conversation_id,
                parent_id=new.parent_id,
                role="user",
                text=text,
                at_us=at,
                edited_of=new.edited_of,
                client_msg_id=new.client_msg_id,
                flags=flags,
            )
        )
        happened.append(_event("message.user", subject, new.conversation_id, message_id, chars=len(text)))
        turns = [*_path(tree, new.parent_id), {"role": "user", "content": text}]
    else:
        message_id, turns = known.message_id, _path(tree, known.message_id)
    begun = Begun(subject.id, new.conversation_id, new_id(at), message_id, reply.model, True, tuple(turns))
    _begin(connection, subject, begun, reply, rows, happened, at)
    return begun


def keep_another(
    connection: Connection, subject: Subject, reply_id: str, reply: Reply, *, count: Callable[[], None]
) -> Begun:
    """Keep the beginning of another answer to the same message; the earlier one stays as its sibling.

    Raises:
        ChatError: there is no such reply of theirs.
        LimitError: from ``count``.
    """
    found = connection.scalar(select(MESSAGES.c.conversation_id).where(MESSAGES.c.message_id == reply_id))
    if found is None:
        raise ChatError("not_found", "there is no such message", 404)
    conversation_id = str(found)
    owned_conversation(connection, subject.id, conversation_id)
    tree = _read_tree(connection, conversation_id)
    old = tree[reply_id]
    if old.role != "assistant" or old.parent_id is None:
        raise ChatError("not_found", "there is no such reply", 404)
    count()
    at, turns = now_us(), tuple(_path(tree, old.parent_id))
    begun = Begun(subject.id, conversation_id, new_id(at), old.parent_id, reply.model, True, turns)
    _begin(connection, subject, begun, reply, [], [], at)
    return begun


def note_truncated(connection: Connection, begun: Begun, params: Params, rounds: int) -> None:
    """Keep with a reply how many of the oldest rounds its model was not shown."""
    params_json = dumps({**asdict(params), "truncated_rounds": rounds}).decode()
    connection.execute(
        update(MESSAGES).where(MESSAGES.c.message_id == begun.message_id).values(params_json=params_json)
    )


def _begin(
    connection: Connection,
    subject: Subject,
    begun: Begun,
    reply: Reply,
    rows: list[dict[str, Any]],
    happened: list[events.Event],
    at: int,
) -> None:
    """Insert the reply's empty row after those of the message, and log all of it."""
    rows.append(
        message_row(
            message_id=begun.message_id,
            conversation_id=begun.conversation_id,
            parent_id=begun.parent_id,
            role="assistant",
            text="",
            at_us=at + 1,  # a microsecond later: parents are read before their children
            status=Status.STREAMING,
            model=reply.model,
            params_json=dumps(asdict(reply.params)).decode(),
            writer=reply.writer,
        )
    )
    started = "message.assistant.started"
    happened.append(_event(started, subject, begun.conversation_id, begun.message_id, model=reply.model))
    _INSERT.run_many(connection, rows)
    touch(connection, begun.conversation_id)
    events.append_all(connection, happened)


def _read_tree(connection: Connection, conversation_id: str) -> dict[str, _Node]:
    found = _TREE.run(connection, {"conversation": conversation_id})
    return {row[0]: _Node(*row) for row in found.fetchall()}


def _check_parent(tree: Mapping[str, _Node], parent_id: str | None) -> None:
    if parent_id is None:
        return  # a first message has no parent
    parent = tree.get(parent_id)
    if parent is None or parent.role not in ("assistant", "system"):  # a system message may stand before the first one
        raise ChatError("bad_parent", "the message to answer is not in this conversation", 422)
    if parent.status == Status.STREAMING:
        raise ChatError("reply_in_progress", "the reply before is still being written", 409)


def _path(tree: Mapping[str, _Node], leaf: str | None) -> Turns:
    turns: Turns = []
    while leaf is not None:
        node = tree[leaf]
        turns.append(node.turn)
        leaf = node.parent_id
    return turns[::-1]


def _event(kind: str, subject: Subject, conversation_id: str, message_id: str, **payload: object) -> events.Event:
    return events.Event(kind, subject.id, conversation_id, message_id, payload)
