"""Conversations of other sources into the store: each once, an event for each batch, nothing twice or half."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields

from sqlalchemy import Connection, Table, select, update

from agora.core.records import JsonMap
from agora.rooms.collect.ready import ConversationRow, MessageRow, Ready, Values
from agora.rooms.collect.tables import CONVERSATIONS, MESSAGES
from agora.store import events

_ASKED_AT_ONCE = 500  # keys in one SELECT
_CONVERSATION = (*ConversationRow._fields, "import_id")


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
    conversations = [(*ready.row, import_id) for ready in fresh.values()]
    messages = [row for ready in fresh.values() for row in ready.messages]
    if conversations:
        insert_values(connection, CONVERSATIONS, _CONVERSATION, conversations)
        insert_values(connection, MESSAGES, MessageRow._fields, messages)
        keys = hashlib.sha256("\n".join(conversation_id for conversation_id, *_ in conversations).encode()).hexdigest()
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
        told = [MessageRow(*message) for message in ready.messages]
        if stored != [(m.role, m.content_sha256) for m in told[: len(held)]]:
            total += Added(0, 0, 0, other=1)
            continue
        ids: dict[str | None, str] = {m.message_id: row.message_id for m, row in zip(told, held, strict=False)}
        own = held[0].conversation_id
        more = told[len(held) :]
        rows = [m._replace(conversation_id=own, parent_id=ids.get(m.parent_id, m.parent_id)) for m in more]
        insert_values(connection, MESSAGES, MessageRow._fields, rows)
        whole = ConversationRow(*ready.row)
        values = {"updated_us": whole.updated_us, "imported_zstd": whole.imported_zstd}
        connection.execute(update(CONVERSATIONS).where(CONVERSATIONS.c.conversation_id == own).values(**values))
        payload = {"messages": len(rows)}
        events.append(connection, events.Event("import.grown", conversation_id=own, payload=payload))
        total += Added(0, 0, len(rows), grown=1)
    return total


def insert_rows(connection: Connection, table: Table, rows: Sequence[JsonMap]) -> None:
    """Many rows with the same columns; the driver takes them as they are, at half the cost of SQLAlchemy's way."""
    if rows:
        columns = tuple(rows[0])
        insert_values(connection, table, columns, [tuple(map(row.__getitem__, columns)) for row in rows])


def insert_values(connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[Values]) -> None:
    """As :func:`insert_rows`, of tuples in the order of the columns."""
    if not rows:
        return
    preparer = connection.dialect.identifier_preparer
    names = ", ".join(map(preparer.quote, columns))
    marks = ", ".join([_mark(connection)] * len(columns))
    connection.exec_driver_sql(f"INSERT INTO {preparer.format_table(table)} ({names}) VALUES ({marks})", rows)


def _mark(connection: Connection) -> str:
    """What stands for a value in the driver's statements."""
    return "?" if connection.dialect.paramstyle == "qmark" else "%s"


def _known(connection: Connection, batch: Sequence[Ready]) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    keys: dict[str, list[str]] = {}
    for ready in batch:
        keys.setdefault(ready.source, []).append(ready.key)
    for source, own in keys.items():
        for start in range(0, len(own), _ASKED_AT_ONCE):
            asked = own[start : start + _ASKED_AT_ONCE]
            by_stored = {key: key for key in asked} | {erased_key(key): key for key in asked}
            mark = _mark(connection)
            # in the driver's own words: SQLAlchemy takes longer to write a list than SQLite to look for it
            marks = ", ".join([mark] * len(by_stored))
            sql = f"SELECT source_key FROM conversations WHERE source = {mark} AND source_key IN ({marks})"
            stored = connection.exec_driver_sql(sql, (source, *by_stored))
            found |= {(source, by_stored[key]) for (key,) in stored}
    return found


def erased_key(key: str) -> str:
    """What stands for the key of an erased conversation, so that another import of its file does not bring it back."""
    return "erased:" + hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
