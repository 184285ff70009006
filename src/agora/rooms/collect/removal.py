"""What goes without its person's receipt: conversations that were never to be published, and what an operator deletes.

All of it takes the path of :mod:`agora.rooms.collect.erase`, so the log, the releases and the files learn of it alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from functools import partial

import zstandard
from sqlalchemy import Connection, select

from agora.rooms.collect.erase import erase_conversation, scrub
from agora.rooms.collect.release.tables import RELEASE_ROWS
from agora.rooms.collect.tables import CONVERSATIONS, MESSAGES
from agora.store import Store
from agora.store.consent import ConsentState
from agora.store.ids import now_us
from agora.store.tables import SUBJECTS

_BATCH = 100  # conversations of one transaction: nobody who chats waits longer than for these
_HOUR_US = 3_600_000_000


def expire_unpublished(store: Store, hours: int, *, at_us: int | None = None) -> int:
    """Erase conversations of people who declined publication, some hours after their last message.

    Each batch is on disk or it is not; a run that is killed leaves the rest to the next one. The files are scrubbed at
    the end of every run, so that what a killed one erased is not left in them either.

    Args:
        store: open.
        hours: how long such conversations are kept.
        at_us: the time, microseconds since 1970, UTC; now by default.

    Returns:
        How many conversations went.
    """
    before = (now_us() if at_us is None else at_us) - hours * _HOUR_US
    over = (
        select(CONVERSATIONS.c.conversation_id)
        .join(SUBJECTS, SUBJECTS.c.subject_id == CONVERSATIONS.c.subject_id)
        .where(
            CONVERSATIONS.c.state != "deleted",
            CONVERSATIONS.c.updated_us < before,
            SUBJECTS.c.consent_state.in_((ConsentState.DECLINED, ConsentState.TERMS)),
        )
        .order_by(CONVERSATIONS.c.conversation_id)
        .limit(_BATCH)
    )
    gone = 0
    while count := store.write(lambda c: _erase(c, list(c.scalars(over)), "retention")):
        gone += count
    if gone or store.engine.dialect.name == "sqlite":  # there it costs next to nothing
        scrub(store.engine)
    return gone


def delete_conversations(store: Store, conversation_ids: Iterable[str]) -> int:
    """Erase conversations for an operator; how many there were is returned."""
    ids = sorted(set(conversation_ids))
    parts = [ids[at : at + _BATCH] for at in range(0, len(ids), _BATCH)]
    gone = sum(store.write(partial(_erase, ids=part, reason="operator")) for part in parts)
    scrub(store.engine)
    return gone


def _erase(connection: Connection, ids: Iterable[str], reason: str) -> int:
    return sum(erase_conversation(connection, conversation_id, reason=reason) for conversation_id in ids)


def find_words(connection: Connection, words: str) -> list[str]:
    """The conversations in which words stand, whatever their case; reads every message (about 150,000 a second)."""
    wanted, found = words.casefold(), set()
    unpack = zstandard.ZstdDecompressor().decompress
    query = select(MESSAGES.c.conversation_id, MESSAGES.c.content_zstd)
    with closing(connection.execution_options(yield_per=1000).execute(query)) as rows:
        for conversation_id, content in rows:
            if conversation_id not in found and wanted in unpack(content).decode("utf-8").casefold():
                found.add(conversation_id)
    return sorted(found)


def find_pseudonym(connection: Connection, pseudonym: str) -> list[str]:
    """All conversations of the person whom a release calls by a pseudonym, those included that are in no release."""
    r, c = RELEASE_ROWS.c, CONVERSATIONS.c
    of_row = select(r.conversation_id).where(r.release_pseudonym == pseudonym.strip().lower())
    person = select(c.subject_id).where(c.conversation_id.in_(of_row), c.subject_id.is_not(None))
    query = select(c.conversation_id).where(
        c.state != "deleted", c.subject_id.in_(person) | c.conversation_id.in_(of_row)
    )
    return sorted(connection.scalars(query))
