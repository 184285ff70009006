"""The kind `topic`: a map per language of the first prompts of all conversations, for people to look around on.

Vectors are hashed TF-IDF (nothing is downloaded), topics are those of :mod:`agora.curate.topics`, and the place on the
map is along the two directions in which a language's prompts differ most. A map is a whole: when a conversation comes
in, its language is mapped anew, and points on the old map go, because beside new ones they would mean nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import zstandard
from sqlalchemy import Connection, delete, select

from agora.rooms.collect.enrich.annotations import Annotation, add, latest
from agora.rooms.collect.enrich.work import Done
from agora.rooms.collect.tables import ANNOTATIONS, MESSAGES
from agora.store import Store, events

FEWEST = 5  # fewer prompts are no map
_COMMIT = 500


def map_topics(store: Store) -> Done:
    """Annotate the first prompt of each conversation with its topic and place; languages of under 5 are left out."""
    by_language: dict[str, list[tuple[str, bytes]]] = defaultdict(list)
    with store.reading() as connection:
        first = _first_prompts(connection)
        told = latest(connection, [message_id for message_id, _ in first], "lang")
        mapped = latest(connection, [message_id for message_id, _ in first], "topic")
    for message_id, raw in first:
        if message_id in told:
            by_language[str(told[message_id].result["code"])].append((message_id, raw))
    done = Done("topic")
    for code, prompts in sorted(by_language.items()):
        version = f"tfidf:{prompts[-1][0]}"  # a map is known by its newest prompt
        done.version = version if version > done.version else done.version
        if len(prompts) < FEWEST or all(m in mapped and mapped[m].version == version for m, _ in prompts):
            continue
        texts = [zstandard.decompress(raw).decode("utf-8") for _, raw in prompts]
        points = _points(texts)
        rows = [Annotation(m, "topic", version, point) for (m, _), point in zip(prompts, points, strict=True)]
        done.messages += store.write(lambda c, rows=rows, code=code: _replace(c, rows, code))  # type: ignore[misc]
        done.computed += len(rows)
    return done


def _first_prompts(connection: Connection) -> list[tuple[str, bytes]]:
    """Id and stored text of the first user message of each conversation, oldest first."""
    query = (
        select(MESSAGES.c.message_id, MESSAGES.c.conversation_id, MESSAGES.c.content_zstd)
        .where(MESSAGES.c.role == "user")
        .order_by(MESSAGES.c.created_us, MESSAGES.c.message_id)
    )
    first: dict[str, tuple[str, bytes]] = {}
    for row in connection.execute(query):
        first.setdefault(row.conversation_id, (row.message_id, row.content_zstd))
    return sorted(first.values())


def _points(texts: Sequence[str]) -> list[dict[str, Any]]:
    import numpy as np

    from agora.core.errors import DataError
    from agora.curate.embeddings.tfidf import TfidfEmbedder
    from agora.curate.topics import find_topics

    try:
        vectors = TfidfEmbedder.fit(texts).embed(texts)
    except DataError:  # prompts without a single letter
        vectors = np.zeros((len(texts), 2), dtype=np.float32)
    if vectors.shape[1] < 2:  # all prompts share their only word: a map has two directions all the same
        vectors = np.pad(vectors, ((0, 0), (0, 2 - vectors.shape[1])))
    topics = find_topics(texts, vectors)
    centered = vectors - vectors.mean(axis=0)
    _, axes = np.linalg.eigh(centered.T @ centered)  # ascending: the last two directions vary most
    places = centered @ axes[:, -1:-3:-1]
    places /= np.maximum(np.abs(places).max(axis=0), 1e-9)
    names = [[] if name == "all texts" else name.split(", ") for name in topics.names]
    return [
        {"topic": topic, "x": round(float(x), 4), "y": round(float(y), 4), "terms": names[topic]}
        for topic, (x, y) in zip(topics.of, places, strict=True)
    ]


def _replace(connection: Connection, rows: Sequence[Annotation], code: str) -> int:
    for start in range(0, len(rows), _COMMIT):
        ids = [a.message_id for a in rows[start : start + _COMMIT]]
        old = (ANNOTATIONS.c.kind == "topic") & ANNOTATIONS.c.message_id.in_(ids)
        connection.execute(delete(ANNOTATIONS).where(old))
    added = add(connection, rows)
    payload = {"kind": "topic", "version": rows[0].version, "messages": added, "language": code}
    events.append(connection, events.Event("enrichment.done", payload=payload))
    return added
