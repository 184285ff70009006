"""The map of topics: where the enrichment's projection put each conversation, as bytes for a script and as a table."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from sqlalchemy import Connection, select, text

from agora.core.json_text import loads
from agora.rooms.collect.explore.find import matching
from agora.rooms.collect.explore.selection import Selection
from agora.rooms.collect.tables import ANNOTATIONS

_POINT = struct.Struct("<ffII")
MOST_POINTS = 200_000  # 3.2 MB: a browser draws them in a blink


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic with the words that set it apart, how many conversations it has, and how many of them a query finds."""

    number: int
    terms: str
    conversations: int
    found: int = 0


def mapped_languages(connection: Connection) -> list[tuple[str, int]]:
    """Languages whose conversations have topics, and how many these are, the largest first; each is a map."""
    sql = (
        "SELECT language, count(*) AS n FROM search_conversations WHERE topic IS NOT NULL AND language IS NOT NULL"
        " GROUP BY language ORDER BY n DESC, language"
    )
    return [(row.language, row.n) for row in connection.execute(text(sql))]


def topics(connection: Connection, selection: Selection) -> list[Topic]:
    """The topics of the selection's language, the largest first; empty where its conversations have no topics yet.

    Raises:
        UsageError: the query has no word to find.
    """
    sql = (
        "SELECT topic, count(*) AS n, max(conversation_id) AS one FROM search_conversations"
        " WHERE topic IS NOT NULL AND language = :language GROUP BY topic ORDER BY n DESC, topic"
    )
    rows = connection.execute(text(sql), {"language": selection.language}).all()
    found: dict[int, int] = {}
    if query := selection.query():
        inner, values = matching(connection, selection, query)
        sql = (
            "SELECT topic, count(*) AS n FROM search_conversations WHERE topic IS NOT NULL AND language = :language"
            f" AND number IN ({inner}) GROUP BY topic"
        )
        found = {row.topic: row.n for row in connection.execute(text(sql), {**values, "language": selection.language})}
    return [Topic(row.topic, _terms(connection, row.one), row.n, found.get(row.topic, 0)) for row in rows]


def _terms(connection: Connection, conversation_id: str) -> str:
    """The words of the topic of a conversation."""
    sql = "SELECT message_id FROM messages WHERE conversation_id = :id"
    ids = list(connection.scalars(text(sql), {"id": conversation_id}))
    query = (
        select(ANNOTATIONS.c.result_json)
        .where(ANNOTATIONS.c.message_id.in_(ids), ANNOTATIONS.c.kind == "topic")
        .order_by(ANNOTATIONS.c.created_us.desc())
        .limit(1)
    )
    found = connection.scalar(query)
    return ", ".join(map(str, loads(found.encode()).get("terms", ()))) if found else ""


def points(connection: Connection, selection: Selection) -> bytes:
    """The places of the conversations that fit, 16 bytes each: x and y (float32), topic and number (uint32).

    Little-endian; the latest conversations first, at most ``MOST_POINTS``.

    Raises:
        UsageError: the query has no word to find.
    """
    wheres, values = selection.where()
    if query := selection.query():
        inner, more = matching(connection, selection, query)
        wheres, values = f"{wheres} AND c.number IN ({inner})", {**values, **more}
    sql = (
        f"SELECT c.x, c.y, c.topic, c.number FROM search_conversations c WHERE c.topic IS NOT NULL AND {wheres}"
        " ORDER BY c.number DESC LIMIT :most"
    )
    found = connection.execute(text(sql), {**values, "most": MOST_POINTS})
    return b"".join(_POINT.pack(row.x, row.y, max(0, row.topic), row.number) for row in found)
