"""Conversations of other sources as rows of the store. Nothing that a record carries is lost on the way.

What has no column of its own (country, headers, moderation, usage, ...) is kept as JSON, Zstandard inside, in
``conversations.imported_zstd``: one blob a conversation, since its parts repeat each other. :func:`carried` reads it.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import zstandard
from sqlalchemy import Connection, Table, insert, select, update

from agora.core.json_text import dumps, loads
from agora.core.records import Conversation, JsonMap, Message, Provenance
from agora.rooms.collect.tables import CONVERSATIONS, MESSAGES
from agora.rooms.collect.types import Status
from agora.store import events
from agora.store.ids import new_ids, now_us

_TIMES = ("timestamp", "created", "created_date", "create_time", "created_at", "date")
_ORIGIN = tuple(field.name for field in fields(Provenance))
_STATUSES = {str(status) for status in Status}
_ASKED_AT_ONCE = 500  # keys in one SELECT
_OF_THREAD = threading.local()


@dataclass(frozen=True, slots=True)
class Ready:
    """A conversation as rows. ``source`` and ``key`` say whether the store has it already."""

    source: str
    key: str
    row: JsonMap
    messages: list[JsonMap]


@dataclass(frozen=True, slots=True)
class Added:
    """What a batch did: conversations that were new and known, messages added; of the known, how many have ``grown``.

    ``other`` known ones are longer in the source too, but not as a continuation of what is stored: they are left alone.
    """

    new: int
    known: int
    messages: int
    grown: int = 0
    other: int = 0

    def __add__(self, more: Added) -> Added:
        return Added(*(getattr(self, f.name) + getattr(more, f.name) for f in fields(Added)))


def make_ready(conversation: Conversation) -> Ready:
    """The rows of a conversation: a pure function but for the ids and the present time where the source knows none."""
    messages, origin = conversation.messages, conversation.provenance
    conversation_id, *ids = new_ids(len(messages) + 1)
    by_id = {message.id: own for message, own in zip(messages, ids, strict=True)}
    times = _times(messages, _micros(origin.created))
    model = conversation.meta.get("model")
    compress = _compressor().compress
    rows = [
        _message_row(message, own, conversation_id, by_id, at, model, compress)
        for message, own, at in zip(messages, ids, times, strict=True)
    ]
    source, key = origin.source[:64] or "import", conversation.id[:128]
    row = {
        "conversation_id": conversation_id,
        "created_us": times[0] if times else now_us(),
        "updated_us": max(times, default=now_us()),
        "state": "closed",
        "source": source,
        "source_license": origin.licence[:64],
        "source_key": key,
        "imported_zstd": compress(dumps(_carried(conversation))),
    }
    return Ready(source, key, row, rows)


def _compressor() -> zstandard.ZstdCompressor:
    """One for each thread: making one costs ten times what it is used for here."""
    if not hasattr(_OF_THREAD, "compressor"):
        _OF_THREAD.compressor = zstandard.ZstdCompressor(level=3)
    made: zstandard.ZstdCompressor = _OF_THREAD.compressor
    return made


def _message_row(
    message: Message, own: str, conversation_id: str, ids: dict[str, str], at: int, model: Any, compress: Any
) -> JsonMap:
    raw = message.content.encode("utf-8", "replace")
    meta = message.meta
    said = meta.get("model") or (model if message.role == "assistant" else None)
    status = meta.get("status")
    return {
        "message_id": own,
        "conversation_id": conversation_id,
        "parent_id": ids[message.parent] if message.parent is not None else None,
        "role": message.role,
        "content_zstd": compress(raw),
        "content_sha256": hashlib.sha256(raw).digest(),
        "created_us": at,
        "completed_us": at,
        "status": status if isinstance(status, str) and status in _STATUSES else "complete",
        "model": str(said)[:128] if said else None,
    }


def _times(messages: Sequence[Message], of_whole: int | None) -> list[int]:
    """When each message was written, in microseconds, no child before its parent.

    A message without a time of its own (WildChat's questions) has that of its first answer, or of what it answers.
    """
    known = [_own_time(message.meta) for message in messages]
    told = [time is not None for time in known]
    place = {message.id: i for i, message in enumerate(messages)}
    for i in range(len(messages) - 1, -1, -1):
        parent, own = messages[i].parent, known[i]
        if parent is not None and own is not None and not told[above := place[parent]]:
            earlier = known[above]
            known[above] = own if earlier is None else min(own, earlier)
    fallback = of_whole if of_whole is not None else now_us()
    times: list[int] = []
    for i, message in enumerate(messages):
        before = times[place[message.parent]] if message.parent is not None else None
        own = known[i]
        if own is None:
            own = before if before is not None else fallback
        times.append(own if before is None else max(own, before))
    return times


def _own_time(meta: JsonMap) -> int | None:
    for name in _TIMES:
        if name in meta and (time := _micros(meta[name])) is not None:
            return time
    return None


@lru_cache(maxsize=4096)
def _micros_of_text(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000_000)


def _micros(value: object) -> int | None:
    """Microseconds of ISO 8601 text (UTC where it names no zone) or of Unix seconds or milliseconds."""
    if isinstance(value, str):
        return _micros_of_text(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 1e8 < value < 1e14:
        return int(value * (1_000_000 if value < 1e11 else 1000))
    return None


def _carried(conversation: Conversation) -> JsonMap:
    return {
        "id": conversation.id,
        "provenance": {name: v for name in _ORIGIN if (v := getattr(conversation.provenance, name)) is not None},
        "tags": conversation.tags,
        "meta": conversation.meta,
        "messages": [{"id": m.id, "meta": m.meta} for m in conversation.messages],
    }


@dataclass(frozen=True, slots=True)
class Carried:
    """What its source said of an imported conversation beside the texts; an entry of ``messages`` for each of them."""

    id: str
    provenance: Provenance
    tags: JsonMap
    meta: JsonMap
    messages: list[JsonMap]


def carried(imported_zstd: bytes) -> Carried:
    """Read ``conversations.imported_zstd``. Messages stand in the order of their ``message_id``."""
    data = loads(zstandard.decompress(imported_zstd))
    return Carried(data["id"], Provenance(**data["provenance"]), data["tags"], data["meta"], data["messages"])


def insert_ready(
    connection: Connection, batch: Sequence[Ready], import_id: str | None = None, *, grow: bool = False
) -> Added:
    """Insert what the store does not have yet, inside the caller's transaction, and log it as one event.

    With ``grow`` the messages that a known conversation lacks are added (a log may have gone on since).
    """
    known = _known(connection, batch)
    fresh: dict[tuple[str, str], Ready] = {}
    for ready in batch:
        if (ready.source, ready.key) not in known:
            fresh.setdefault((ready.source, ready.key), ready)
    conversations = [ready.row | {"import_id": import_id} for ready in fresh.values()]
    messages = [row for ready in fresh.values() for row in ready.messages]
    if conversations:
        insert_rows(connection, CONVERSATIONS, conversations)
        insert_rows(connection, MESSAGES, messages)
        keys = hashlib.sha256("\n".join(row["conversation_id"] for row in conversations).encode()).hexdigest()
        counts = {"conversations": len(conversations), "messages": len(messages), "ids_sha256": keys}
        sources = sorted({ready.source for ready in fresh.values()})
        payload = {"import_id": import_id, "sources": sources, **counts}
        events.append(connection, events.Event("import.batch", payload=payload))
    added = Added(len(fresh), len(batch) - len(fresh), len(messages))
    if grow and known:
        added += _grow(connection, [ready for ready in batch if (ready.source, ready.key) in known])
    return added


def _grow(connection: Connection, batch: Sequence[Ready]) -> Added:
    """Add what known conversations lack, where what is stored is how the source's conversation begins."""
    total = Added(0, 0, 0)
    for ready in batch:
        where = (CONVERSATIONS.c.source == ready.source) & (CONVERSATIONS.c.source_key == ready.key)
        held = connection.execute(
            select(MESSAGES.c.conversation_id, MESSAGES.c.message_id, MESSAGES.c.role, MESSAGES.c.content_sha256)
            .join(CONVERSATIONS, CONVERSATIONS.c.conversation_id == MESSAGES.c.conversation_id)
            .where(where)
            .order_by(MESSAGES.c.message_id)
        ).all()
        if not held or len(held) >= len(ready.messages):
            continue
        stored = [(row.role, bytes(row.content_sha256)) for row in held]
        if stored != [(m["role"], m["content_sha256"]) for m in ready.messages[: len(held)]]:
            total += Added(0, 0, 0, other=1)
            continue
        more = ready.messages[len(held) :]
        ids = {told["message_id"]: row.message_id for told, row in zip(ready.messages, held, strict=False)}
        own = held[0].conversation_id
        rows = [m | {"conversation_id": own, "parent_id": ids.get(m["parent_id"], m["parent_id"])} for m in more]
        insert_rows(connection, MESSAGES, rows)
        values = {name: ready.row[name] for name in ("updated_us", "imported_zstd")}
        connection.execute(update(CONVERSATIONS).where(CONVERSATIONS.c.conversation_id == own).values(**values))
        payload = {"messages": len(rows)}
        events.append(connection, events.Event("import.grown", conversation_id=own, payload=payload))
        total += Added(0, 0, len(rows), grown=1)
    return total


def insert_rows(connection: Connection, table: Table, rows: Sequence[JsonMap]) -> None:
    """Many rows with the same columns; the driver takes them as they are, at half the cost of SQLAlchemy's way."""
    if not rows:
        return
    compiled = insert(table).compile(dialect=connection.dialect, column_keys=list(rows[0]))
    names = compiled.positiontup
    connection.exec_driver_sql(str(compiled), [tuple(map(row.__getitem__, names)) for row in rows] if names else rows)


def _known(connection: Connection, batch: Sequence[Ready]) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    keys: dict[str, list[str]] = {}
    for ready in batch:
        keys.setdefault(ready.source, []).append(ready.key)
    for source, own in keys.items():
        for start in range(0, len(own), _ASKED_AT_ONCE):
            asked = own[start : start + _ASKED_AT_ONCE]
            by_stored = {key: key for key in asked} | {erased_key(key): key for key in asked}
            where = (CONVERSATIONS.c.source == source) & CONVERSATIONS.c.source_key.in_(by_stored)
            stored = connection.scalars(select(CONVERSATIONS.c.source_key).where(where))
            found |= {(source, by_stored[key]) for key in stored}
    return found


def erased_key(key: str) -> str:
    """What stands for the key of an erased conversation, so that another import of its file does not bring it back."""
    return "erased:" + hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
