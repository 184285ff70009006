"""The kind `geo`: the place of the person who wrote a message, as it was looked up when they came."""

from __future__ import annotations

from sqlalchemy import select

from agora.rooms.collect.enrich import jobs
from agora.rooms.collect.enrich.annotations import Annotation, add
from agora.rooms.collect.enrich.country_names import country_name
from agora.rooms.collect.enrich.work import Done
from agora.rooms.collect.tables import CONVERSATIONS, MESSAGES
from agora.store import Store, events
from agora.store.tables import SUBJECTS

VERSION = "subject:1"
_BATCH = 500


def annotate_places(store: Store) -> Done:
    """Annotate user messages; those of imported conversations have no person and so no place."""
    done, after = Done("geo", VERSION), ""
    query = (
        select(MESSAGES.c.message_id, SUBJECTS.c.country_iso, SUBJECTS.c.subdivision)
        .join(CONVERSATIONS, CONVERSATIONS.c.conversation_id == MESSAGES.c.conversation_id)
        .join(SUBJECTS, SUBJECTS.c.subject_id == CONVERSATIONS.c.subject_id)
        .order_by(MESSAGES.c.message_id)
        .limit(_BATCH)
    )
    while True:
        with store.reading() as connection:
            where = (MESSAGES.c.role == "user") & jobs.missing("geo", VERSION, first_id=after)
            rows = connection.execute(query.where(where)).all()
        if not rows:
            break
        after = rows[-1].message_id
        found = [
            Annotation(
                row.message_id,
                "geo",
                VERSION,
                {"country": country_name(row.country_iso), "country_iso": row.country_iso, "state": row.subdivision},
            )
            for row in rows
        ]
        done.messages += store.write(lambda c, found=found: add(c, found))  # type: ignore[misc]
    if done.messages:
        payload = {"kind": "geo", "version": VERSION, "messages": done.messages}
        store.write(lambda c: events.append(c, events.Event("enrichment.done", payload=payload)))
    return done
