"""Taking erased conversations out of the index, in the transaction that erases them, and their bytes soon after."""

from __future__ import annotations

from collections.abc import Sequence

import zstandard
from sqlalchemy import Connection, Engine, delete, select, update

from agora.rooms.collect.explore.counting import change_counts, facts_of
from agora.rooms.collect.explore.engines import Indexed, engine_of
from agora.rooms.collect.explore.indexer import HEAD, read_state, start_anew
from agora.rooms.collect.explore.query import part_of
from agora.rooms.collect.explore.tables import PLACE_BITS, SEARCH_CONVERSATIONS, SEARCH_MESSAGES, SEARCH_STATE
from agora.rooms.collect.explore.words import VERSION
from agora.rooms.collect.tables import MESSAGES
from agora.store import events
from agora.store.database import writing


def forget_conversations(connection: Connection, conversation_ids: Sequence[str]) -> None:
    """Take conversations out of the index; their messages must still be there, because the index asks for their text.

    An index that does not stand for the texts as they are now (made by another version of this program, or of a reply
    that changed afterwards) cannot be taken apart word by word: it is emptied and built anew.
    """
    events.take_turns(connection)  # or a step of the indexer that began before could put them back in
    s, m = SEARCH_CONVERSATIONS.c, SEARCH_MESSAGES.c
    for start in range(0, len(conversation_ids), 500):
        ids = conversation_ids[start : start + 500]
        numbers = list(connection.scalars(select(s.number).where(s.conversation_id.in_(ids))))
        if not numbers:
            continue
        if read_state(connection).version != VERSION:
            start_anew(connection)
            return
        for number in numbers:
            first = number << PLACE_BITS
            mine = (m.number >= first) & (m.number < first + (1 << PLACE_BITS))
            found = _indexed(connection, mine)
            if found is None:
                start_anew(connection)
                return
            engine_of(connection).remove(connection, found)
            connection.execute(delete(SEARCH_MESSAGES).where(mine))
        change_counts(connection, gone=facts_of(connection, numbers))
        connection.execute(delete(SEARCH_CONVERSATIONS).where(s.number.in_(numbers)))
        connection.execute(update(SEARCH_STATE).values(uncleaned=SEARCH_STATE.c.uncleaned + 1))


def clean_index(engine: Engine) -> None:
    """Let no byte of forgotten words stay in the index, if some were forgotten."""
    with engine.connect() as connection, connection.begin():
        count = read_state(connection).uncleaned
    if not count:
        return
    engine_of(engine).clean(engine)
    with writing(engine) as connection:  # unless more was forgotten while this worked
        mine = SEARCH_STATE.c.uncleaned == count
        connection.execute(update(SEARCH_STATE).where(mine).values(uncleaned=0))


def _indexed(connection: Connection, mine: object) -> list[Indexed] | None:
    """The messages as they were indexed; None if one of them has another text now, or none."""
    query = (
        select(
            SEARCH_MESSAGES.c.number,
            SEARCH_MESSAGES.c.message_id,
            SEARCH_MESSAGES.c.content_head,
            MESSAGES.c.role,
            MESSAGES.c.content_zstd,
            MESSAGES.c.content_sha256,
        )
        .join(MESSAGES, MESSAGES.c.message_id == SEARCH_MESSAGES.c.message_id, isouter=True)
        .where(mine)  # type: ignore[arg-type]
    )
    found, engine = [], engine_of(connection)
    for row in connection.execute(query):
        if row.content_sha256 is None or bytes(row.content_sha256[:HEAD]) != bytes(row.content_head):
            return None
        text = zstandard.decompress(row.content_zstd).decode("utf-8")
        part = part_of(row.role)
        found.append(Indexed(row.number, row.message_id, bytes(row.content_head), part, engine.words(text, part)))
    return found
