"""The kind `category`: what a conversation is about, in the words that set its topic apart from the others.

A topic's number means something on the map of one language alone; its words mean the same everywhere, so people can
filter by them. Other makers of categories (people, a model) write rows of their own version, and theirs count first.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select

from agora.core.json_text import loads
from agora.rooms.collect.enrich.annotations import Annotation, add
from agora.rooms.collect.enrich.work import Done
from agora.rooms.collect.tables import ANNOTATIONS
from agora.store import Store, events

#: Before the colon of a version of this maker; after it, that of the map.
MAKER = "topic"
_CHARS = 64
_COMMIT = 500


def name_categories(store: Store) -> Done:
    """Annotate each conversation's first prompt with its topic's words, where it has a topic that has words."""
    a = ANNOTATIONS.c
    with store.reading() as connection:
        topics = connection.execute(
            select(a.message_id, a.pipeline_version, a.result_json)
            .where(a.kind == "topic")
            .order_by(a.created_us, a.message_id)
        ).all()
        ours = (a.kind == "category") & a.pipeline_version.like(f"{MAKER}:%")
        held = connection.execute(select(a.message_id, a.pipeline_version).where(ours)).all()
    known: dict[str, str] = {row.message_id: row.pipeline_version for row in held}
    wanted: dict[str, Annotation] = {}
    for row in topics:
        version = f"{MAKER}:{row.pipeline_version.partition(':')[2]}"
        topic = loads(row.result_json.encode())
        terms = topic.get("terms", [])
        numbered = terms == [f"topic {int(topic['topic']) + 1}"]  # no word sets it apart
        name = "" if numbered else ", ".join(map(str, terms))[:_CHARS]
        wanted[row.message_id] = Annotation(row.message_id, "category", version, {"category": name} if name else {})
    done = Done("category", max((a.version for a in wanted.values()), default=""))
    fresh = [a for a in wanted.values() if known.get(a.message_id) != a.version]
    stale = [i for i in known if i not in wanted] + [a.message_id for a in fresh]
    if stale:
        done.messages = store.write(lambda c: _replace(c, stale, fresh, done.version))
        done.computed = len({a.result.get("category") for a in fresh})
    return done


def _replace(connection: Connection, stale: Sequence[str], fresh: Sequence[Annotation], version: str) -> int:
    a = ANNOTATIONS.c
    for start in range(0, len(stale), _COMMIT):
        ids = stale[start : start + _COMMIT]
        old = (a.kind == "category") & a.pipeline_version.like(f"{MAKER}:%") & a.message_id.in_(ids)
        connection.execute(delete(ANNOTATIONS).where(old))
    added = add(connection, fresh)
    payload = {"kind": "category", "version": version, "messages": added}
    events.append(connection, events.Event("enrichment.done", payload=payload))
    return added
