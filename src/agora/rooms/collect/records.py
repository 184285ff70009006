"""Between the store and the records that other rooms read: conversations out, conversations in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from agora.core.records import Conversation, Message, Provenance
from agora.rooms.collect.conversations import message_row, read_messages
from agora.rooms.collect.tables import CONVERSATIONS, MESSAGES
from agora.store import Store, events
from agora.store.consent import ConsentState
from agora.store.ids import new_id, now_us
from agora.store.tables import SUBJECTS

_BATCH = 200


@dataclass(frozen=True, slots=True)
class StoredReport:
    """What an import into the store did; ``known`` conversations were there before."""

    new: int
    known: int
    messages: int

    def as_json(self) -> dict[str, int]:
        """Counts for programs."""
        return {"new": self.new, "known": self.known, "messages": self.messages}


def store_conversations(store: Store, found: Iterable[Conversation]) -> StoredReport:
    """Put conversations of other sources into the store; one that is there already is passed over.

    They belong to no subject and carry their source and license; what their source says of consent is in their
    provenance, and a release decides by it.
    """
    new = known = messages = 0
    # batches of one commit each: an import that is killed goes on with what is missing
    batch: list[Conversation] = []

    def keep() -> None:
        nonlocal new, known, messages
        added = store.write(lambda c: [_insert(c, conversation) for conversation in batch])
        new += sum(count is not None for count in added)
        known += sum(count is None for count in added)
        messages += sum(count or 0 for count in added)
        batch.clear()

    for conversation in found:
        batch.append(conversation)
        if len(batch) == _BATCH:
            keep()
    if batch:
        keep()
    return StoredReport(new, known, messages)


def _insert(connection: Connection, conversation: Conversation) -> int | None:
    """How many messages were added; None for a conversation that is known."""
    source = conversation.provenance.source[:64] or "import"
    where = (CONVERSATIONS.c.source == source) & (CONVERSATIONS.c.source_key == conversation.id[:128])
    if connection.scalar(select(CONVERSATIONS.c.conversation_id).where(where)) is not None:
        return None
    conversation_id, at = new_id(), now_us()
    connection.execute(
        insert(CONVERSATIONS).values(
            conversation_id=conversation_id,
            created_us=_micros(conversation.provenance.created) or at,
            updated_us=at,
            state="closed",
            source=source,
            source_license=conversation.provenance.licence[:64],
            source_key=conversation.id[:128],
        )
    )
    ids = {message.id: new_id() for message in conversation.messages}
    rows = [
        message_row(
            message_id=ids[message.id],
            conversation_id=conversation_id,
            parent_id=ids[message.parent] if message.parent is not None else None,
            role=message.role,
            text=message.content,
            at_us=at + i,  # parents before children, whatever the source knew of times
            model=str(message.meta["model"])[:128] if message.meta.get("model") else None,
        )
        for i, message in enumerate(conversation.messages)
    ]
    if rows:
        connection.execute(insert(MESSAGES), rows)
    payload = {"source": source, "messages": len(rows)}
    events.append(connection, events.Event("import.conversation", conversation_id=conversation_id, payload=payload))
    return len(rows)


def _micros(created: str | None) -> int | None:
    try:
        return int(datetime.fromisoformat(created).timestamp() * 1_000_000) if created else None
    except ValueError:
        return None


def stored_conversations(store: Store, *, only_published: bool = True) -> Iterator[Conversation]:
    """Conversations of the store as records, oldest first; those of people who agreed to publication by default.

    Args:
        store: an open store.
        only_published: leave out people who declined or withdrew. Imported conversations carry their source's word.
    """
    with store.reading() as connection:
        query = (
            select(CONVERSATIONS, SUBJECTS.c.consent_state, SUBJECTS.c.consent_version, SUBJECTS.c.country_iso)
            .join(SUBJECTS, SUBJECTS.c.subject_id == CONVERSATIONS.c.subject_id, isouter=True)
            .where(CONVERSATIONS.c.state != "deleted")
            .order_by(CONVERSATIONS.c.created_us, CONVERSATIONS.c.conversation_id)
        )
        rows = connection.execute(query).all()
        for row in rows:
            if only_published and row.subject_id and row.consent_state != ConsentState.PUBLISH:
                continue
            conversation = _record(connection, row)
            if conversation.messages:
                yield conversation


def _record(connection: Connection, row: Any) -> Conversation:
    messages = tuple(
        Message(
            m.role,
            m.content,
            id=m.id,
            parent=m.parent_id,
            meta={
                k: v for k, v in (("model", m.model), ("status", str(m.status)), ("rating", m.rating)) if v is not None
            },
        )
        for m in read_messages(connection, row.conversation_id)
    )
    consent = f"{row.consent_state}/{row.consent_version}" if row.subject_id else "unknown"
    created = datetime.fromtimestamp(row.created_us / 1_000_000, UTC).isoformat()
    provenance = Provenance(
        source=row.source,
        source_id=row.source_key or row.conversation_id,
        licence=row.source_license or "unreleased",
        consent=consent,
        created=created,
    )
    meta = {"subject": row.subject_id} if row.subject_id else {}
    return Conversation(row.conversation_id, messages, provenance, meta=meta)


def store_numbers(store: Store) -> dict[str, Any]:
    """How much is in the store: conversations, people, rounds, replies by status, ratings, consent."""
    with store.reading() as connection:
        consent = Counter(connection.scalars(select(SUBJECTS.c.consent_state)))
        states = Counter(connection.scalars(select(CONVERSATIONS.c.state)))
        roles: Counter[str] = Counter()
        status: Counter[str] = Counter()
        rounds: Counter[str] = Counter()
        for row in connection.execute(select(MESSAGES.c.conversation_id, MESSAGES.c.role, MESSAGES.c.status)):
            roles[row.role] += 1
            if row.role == "assistant":
                status[row.status] += 1
            if row.role == "user":
                rounds[row.conversation_id] += 1
    held = sum(states.values()) - states["deleted"]
    return {
        "conversations": held,
        "erased": states["deleted"],
        "subjects": dict(consent),
        "messages": dict(roles),
        "replies_by_status": dict(status),
        "mean_rounds": round(sum(rounds.values()) / len(rounds), 3) if rounds else None,
        "share_multi_turn": round(sum(n > 1 for n in rounds.values()) / len(rounds), 4) if rounds else None,
        "share_over_10_rounds": round(sum(n > 10 for n in rounds.values()) / len(rounds), 4) if rounds else None,
    }
