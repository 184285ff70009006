"""Between the store and the records that other rooms read: conversations out, conversations in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select

from agora.core.records import Conversation, JsonMap, Message, Provenance
from agora.rooms.collect.conversations import messages_of
from agora.rooms.collect.incoming import Added, insert_ready
from agora.rooms.collect.ready import carried, make_ready
from agora.rooms.collect.tables import CONVERSATIONS, MESSAGES
from agora.rooms.collect.types import ChatMessage
from agora.store import Store
from agora.store.consent import ConsentState
from agora.store.tables import SUBJECTS

_BATCH = 1000
_READ_AT_ONCE = 500
_PUBLISHED = ConsentState.PUBLISH


def store_conversations(store: Store, found: Iterable[Conversation], *, grow: bool = False) -> Added:
    """Put conversations of other sources into the store; one that is there already is passed over, or may ``grow``.

    They belong to no subject and carry their source and license; what their source says of consent is in their
    provenance, and a release decides by it. Files are imported by
    :func:`agora.rooms.collect.importing.import_into_store`, which resumes.
    """
    total = Added(0, 0, 0)
    found = iter(found)
    while batch := [make_ready(conversation) for conversation in islice(found, _BATCH)]:
        total += store.write(lambda c, batch=batch: insert_ready(c, batch, grow=grow))  # type: ignore[misc]
    return total


def stored_conversations(
    store: Store, *, only_published: bool = True, original_ids: bool = False
) -> Iterator[Conversation]:
    """Conversations of the store as records, oldest first; those of people who agreed to publication by default.

    Args:
        store: an open store.
        only_published: leave out people who declined or withdrew. Imported conversations carry their source's word.
        original_ids: imported conversations and their messages under the ids of their source, so that they come out
            as they went in; else under the store's own, by which annotations are found.
    """
    query = (
        select(CONVERSATIONS, SUBJECTS.c.consent_state, SUBJECTS.c.consent_version, SUBJECTS.c.country_iso)
        .join(SUBJECTS, SUBJECTS.c.subject_id == CONVERSATIONS.c.subject_id, isouter=True)
        .where(CONVERSATIONS.c.state != "deleted")
        .order_by(CONVERSATIONS.c.created_us, CONVERSATIONS.c.conversation_id)
        .execution_options(yield_per=_READ_AT_ONCE)
    )
    with store.reading() as connection, closing(connection.execute(query)) as rows:
        for part in rows.partitions():
            wanted = [row for row in part if not (only_published and row.subject_id) or row.consent_state == _PUBLISHED]
            messages = messages_of(connection, [row.conversation_id for row in wanted])
            for row in wanted:
                if row.conversation_id in messages:
                    yield _record(row, messages[row.conversation_id], original_ids=original_ids)


def records_of(connection: Connection, conversation_ids: Iterable[str]) -> Iterator[Conversation]:
    """The named conversations as records, in the order given; nothing is redacted.

    Those that were erased, or whose people declined or withdrew, are passed over.
    """
    query = select(CONVERSATIONS, SUBJECTS.c.consent_state, SUBJECTS.c.consent_version).join(
        SUBJECTS, SUBJECTS.c.subject_id == CONVERSATIONS.c.subject_id, isouter=True
    )
    wanted = iter(conversation_ids)
    while ids := list(islice(wanted, _READ_AT_ONCE)):
        mine = CONVERSATIONS.c.conversation_id.in_(ids) & (CONVERSATIONS.c.state != "deleted")
        rows = {row.conversation_id: row for row in connection.execute(query.where(mine))}
        messages = messages_of(connection, ids)
        for conversation_id in ids:
            row = rows.get(conversation_id)
            if row is None or (row.subject_id and row.consent_state != _PUBLISHED) or conversation_id not in messages:
                continue
            yield _record(row, messages[conversation_id], original_ids=False)


def _record(row: Any, messages: Sequence[ChatMessage], *, original_ids: bool) -> Conversation:
    if row.imported_zstd is not None:
        return _imported(row, sorted(messages, key=lambda m: m.id), original_ids=original_ids)
    said = tuple(Message(m.role, m.content, id=m.id, parent=m.parent_id, meta=_facts(m)) for m in messages)
    provenance = Provenance(
        source=row.source,
        source_id=row.source_key or row.conversation_id,
        licence=row.source_license or "unreleased",
        consent=f"{row.consent_state}/{row.consent_version}" if row.subject_id else "unknown",
        created=datetime.fromtimestamp(row.created_us / 1_000_000, UTC).isoformat(),
    )
    meta = {"subject": row.subject_id} if row.subject_id else {}
    return Conversation(row.conversation_id, said, provenance, meta=meta)


def _facts(message: ChatMessage) -> dict[str, Any]:
    facts = (("model", message.model), ("status", str(message.status)), ("rating", message.rating))
    return {name: value for name, value in facts if value is not None}


def _imported(row: Any, messages: Sequence[ChatMessage], *, original_ids: bool) -> Conversation:
    """As its source gave it, but for a rating it may have got here."""
    told = carried(row.imported_zstd)
    ids = {m.id: str(own["id"]) if original_ids else m.id for m, own in zip(messages, told.messages, strict=True)}
    said = tuple(
        Message(
            m.role,
            m.content,
            id=ids[m.id],
            parent=ids[m.parent_id] if m.parent_id is not None else None,
            meta=own["meta"] if m.rating is None else {**own["meta"], "rating": m.rating},
        )
        for m, own in zip(messages, told.messages, strict=True)
    )
    own_id = told.id if original_ids else row.conversation_id
    return Conversation(own_id, said, told.provenance, told.tags, told.meta)


def export_store(store: Store, out: Path, to: str = "agora", *, only_published: bool = True) -> JsonMap:
    """Write the store's conversations to a file; imported ones come out as they went in.

    Args:
        store: an open store.
        out: ``.jsonl`` or ``.parquet``; the published layouts are Parquet.
        to: ``agora`` for records, or ``wildchat-1m``, ``wildchat-4.8m``, ``lmsys-chat-1m``.
        only_published: see :func:`stored_conversations`.

    Raises:
        UsageError: no such layout.
    """
    from agora.core.errors import UsageError
    from agora.curate.importers.export import export_lmsys, export_wildchat
    from agora.curate.importers.schemas import PUBLISHED
    from agora.curate.write import write_records

    found = stored_conversations(store, only_published=only_published, original_ids=True)
    if to == "agora":
        return {"conversations": write_records(found, out, Conversation), "out": str(out)}
    if to not in PUBLISHED:
        raise UsageError(f"unknown layout {to!r}", hint=f"choose agora, {', '.join(PUBLISHED)}")
    done = export_lmsys(found, out) if to.startswith("lmsys") else export_wildchat(found, out, to.split("-")[1])
    return {"conversations": done.n_conversations, "rows": done.n_rows, "skipped": done.skipped, "out": str(out)}


def store_numbers(store: Store) -> JsonMap:
    """What is in the store, counted by the database: conversations, people by consent, messages, replies by status."""

    def by(column: Any, *where: Any) -> dict[str, int]:
        query = select(column, func.count()).where(*where).group_by(column).order_by(column)
        return {str(name): count for name, count in connection.execute(query).all()}

    with store.reading() as connection:
        states = by(CONVERSATIONS.c.state)
        return {
            "conversations": sum(states.values()) - states.get("deleted", 0),
            "erased": states.get("deleted", 0),
            "subjects": by(SUBJECTS.c.consent_state),
            "sources": by(CONVERSATIONS.c.source, CONVERSATIONS.c.state != "deleted"),
            "messages": by(MESSAGES.c.role),
            "replies_by_status": by(MESSAGES.c.status, MESSAGES.c.role == "assistant"),
        }
