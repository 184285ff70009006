"""Erasing and taking home: what a person with a receipt can do, without an account.

The rows go at once. Their bytes stay in SQLite's file and its write-ahead log until both are compacted, which
:func:`scrub` does; it is run soon after, for many erasures together.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Engine, delete, select, update

from agora.rooms.collect.conversations import read_messages
from agora.rooms.collect.explore.forget import clean_index, forget_conversations
from agora.rooms.collect.incoming import erased_key
from agora.rooms.collect.moderate.tables import REPORTS, REVIEWS
from agora.rooms.collect.release.publish import note_erased
from agora.rooms.collect.release.tables import RELEASE_ROWS, RELEASED_TEXTS
from agora.rooms.collect.tables import ANNOTATIONS, CONVERSATIONS, FEEDBACK, MESSAGES
from agora.store import events
from agora.store.tables import ADDRESSES, SUBJECTS

_PATIENCE_S = 30.0  # for readers of the write-ahead log
_PAUSE_S = 0.02


def export_subject(connection: Connection, subject_id: str) -> dict[str, Any]:
    """Everything that is kept of a subject, as it would be sent to them."""
    row = connection.execute(select(SUBJECTS).where(SUBJECTS.c.subject_id == subject_id)).one()
    kept = {k: v for k, v in row._mapping.items() if k not in ("receipt_mac", "ip_pseudonym", "key_epoch")}
    found = connection.execute(
        select(CONVERSATIONS.c.conversation_id, CONVERSATIONS.c.created_us)
        .where(CONVERSATIONS.c.subject_id == subject_id, CONVERSATIONS.c.state != "deleted")
        .order_by(CONVERSATIONS.c.created_us)
    ).all()
    return {
        "subject": kept,
        "conversations": [
            {
                "id": c.conversation_id,
                "created_us": c.created_us,
                "messages": [message.as_json() for message in read_messages(connection, c.conversation_id)],
            }
            for c in found
        ],
    }


def erase_conversations(connection: Connection, subject_id: str, only: str | None = None) -> int:
    """Erase a subject's conversations, or one of them; how many went is returned.

    What stays is an id, a time and hashes in the event log, so that the log still proves its past.
    """
    mine = select(CONVERSATIONS.c.conversation_id).where(
        CONVERSATIONS.c.subject_id == subject_id, CONVERSATIONS.c.state != "deleted"
    )
    ids = [row.conversation_id for row in connection.execute(mine) if only in (None, row.conversation_id)]
    events.append(
        connection,
        events.Event("delete.requested", subject_id=subject_id, conversation_id=only, payload={"count": len(ids)}),
    )
    _erase(connection, ids)
    for conversation_id in ids:
        done = events.Event("delete.done", subject_id=subject_id, conversation_id=conversation_id)
        events.append(connection, done)
    return len(ids)


def erase_conversation(connection: Connection, conversation_id: str, *, reason: str = "operator") -> bool:
    """Erase one conversation, whoever's it is; False when there is none. The path of an operator who deletes."""
    row = connection.execute(
        select(CONVERSATIONS.c.subject_id).where(
            CONVERSATIONS.c.conversation_id == conversation_id, CONVERSATIONS.c.state != "deleted"
        )
    ).first()
    if row is None:
        return False
    whose = {"subject_id": row.subject_id, "conversation_id": conversation_id}
    events.append(connection, events.Event("delete.requested", **whose, payload={"count": 1, "reason": reason}))
    _erase(connection, [conversation_id])
    events.append(connection, events.Event("delete.done", **whose))
    return True


def erase_subject(connection: Connection, subject_id: str) -> int:
    """Erase all of a subject's conversations and what is known of the person; the row itself stays as withdrawn."""
    count = erase_conversations(connection, subject_id)
    pseudonym = select(SUBJECTS.c.ip_pseudonym).where(SUBJECTS.c.subject_id == subject_id).scalar_subquery()
    connection.execute(delete(ADDRESSES).where(ADDRESSES.c.ip_pseudonym == pseudonym))
    connection.execute(
        update(SUBJECTS)
        .where(SUBJECTS.c.subject_id == subject_id)
        .values(consent_state="withdrawn", ip_pseudonym=None, header_json=None, country_iso=None, subdivision=None)
    )
    events.append(connection, events.Event("consent.withdrawn", subject_id=subject_id))
    return count


def _erase(connection: Connection, conversation_ids: Sequence[str]) -> None:
    forget_conversations(connection, conversation_ids)  # first: the index asks for the texts it is to forget
    messages = select(MESSAGES.c.message_id).where(MESSAGES.c.conversation_id.in_(conversation_ids))
    # held first, so that no annotation of them can be added between this line and their end (PostgreSQL)
    connection.execute(messages.with_for_update())
    note_erased(connection, conversation_ids)
    for table in (ANNOTATIONS, FEEDBACK, REPORTS):
        connection.execute(delete(table).where(table.c.message_id.in_(messages)))
    connection.execute(delete(REVIEWS).where(REVIEWS.c.conversation_id.in_(conversation_ids)))
    connection.execute(delete(MESSAGES).where(MESSAGES.c.conversation_id.in_(conversation_ids)))
    conversations = CONVERSATIONS.c.conversation_id.in_(conversation_ids)
    keyed = select(CONVERSATIONS.c.conversation_id, CONVERSATIONS.c.source_key).where(
        conversations, CONVERSATIONS.c.source_key.is_not(None)
    )
    for row in connection.execute(keyed).all():
        connection.execute(
            update(CONVERSATIONS)
            .where(CONVERSATIONS.c.conversation_id == row.conversation_id)
            .values(source_key=erased_key(row.source_key))
        )
    connection.execute(
        update(CONVERSATIONS)
        .where(conversations)
        .values(state="deleted", dup_cluster=None, automation_score=None, imported_zstd=None)
    )


def scrub(engine: Engine) -> None:
    """Make sure that no byte of erased rows is left in the database's files.

    SQLite overwrites deleted rows with zeros (``secure_delete``), but the pages they stood in are also in the
    write-ahead log until a checkpoint truncates it; the search index keeps words until its parts are merged.
    PostgreSQL keeps dead rows until a vacuum. A reader that stays for more than half a minute keeps the log as it is;
    the service's housekeeping scrubs again within the hour.
    """
    clean_index(engine)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name == "sqlite":
            _truncate_log(connection)
        else:
            for table in (MESSAGES, ANNOTATIONS, FEEDBACK, REPORTS, REVIEWS, SUBJECTS, RELEASE_ROWS, RELEASED_TEXTS):
                connection.exec_driver_sql(f"VACUUM FULL {table.name}")


def _truncate_log(connection: Connection) -> None:
    """Empty SQLite's write-ahead log as soon as nobody reads from it.

    A checkpoint that waits for readers holds the right to write meanwhile, and a reader that in turn waits to write
    would hold up everyone; so each try gives up at once and leaves a pause for both.
    """
    before = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()
    connection.exec_driver_sql("PRAGMA busy_timeout=0")
    try:
        until = time.monotonic() + _PATIENCE_S
        while connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0] and time.monotonic() < until:
            time.sleep(_PAUSE_S)
    finally:
        connection.exec_driver_sql(f"PRAGMA busy_timeout={int(before)}")
