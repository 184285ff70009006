"""Looking: conversations that fit a selection, newest first, page by page; and how many there are of which kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import zstandard
from sqlalchemy import Connection, bindparam, select, text

from agora.rooms.collect.explore.counting import FACETS, count_everything
from agora.rooms.collect.explore.engines import engine_of
from agora.rooms.collect.explore.query import Query
from agora.rooms.collect.explore.selection import Selection
from agora.rooms.collect.explore.snippets import Piece, snippet
from agora.rooms.collect.explore.tables import PLACE_BITS, SEARCH_CONVERSATIONS, SEARCH_MESSAGES
from agora.rooms.collect.tables import MESSAGES

PAGE = 30
_STEP = 200  # messages looked at for a page before more are asked for


@dataclass(frozen=True, slots=True)
class Hit:
    """A conversation that fits, the message that shows it, and a piece of that message."""

    number: int  # to go on after it
    conversation_id: str
    message_id: str | None
    role: str
    pieces: tuple[Piece, ...]
    matching: int  # messages of it that match, as far as was looked
    facts: Mapping[str, Any]

    @property
    def day(self) -> str:
        """The day (UTC) it began."""
        return datetime.fromtimestamp(self.facts["created_us"] / 1e6, UTC).date().isoformat()

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        kept = ("language", "country", "model", "source", "category", "topic", "turns", "toxic", "redacted")
        return {
            "conversation": self.conversation_id,
            "message": self.message_id,
            "role": self.role,
            "snippet": "".join(piece.text for piece in self.pieces),
            "hits": [piece.text for piece in self.pieces if piece.hit],
            "created_us": self.facts["created_us"],
            **{name: self.facts[name] for name in kept},
        }


def find(
    connection: Connection, selection: Selection, *, limit: int = PAGE, after: int | None = None
) -> tuple[list[Hit], int | None]:
    """A page of conversations, the latest arrived first, and where the next page begins (None: this was the last).

    The cost of a page does not grow with the number of pages before it.

    Args:
        connection: to read from.
        selection: which.
        limit: conversations on the page.
        after: what the page before said.

    Raises:
        UsageError: the query has no word to find.
    """
    query = selection.query()
    if query:
        found = _by_words(connection, selection, query, limit + 1, after)
    else:
        found = [(number, None, 0) for number in _by_filters(connection, selection, limit + 1, after)]
    page = found[:limit]
    facts = _facts(connection, [number for number, _, _ in page])
    shown = _messages(connection, page)
    hits = []
    for number, _, matching in page:
        message_id, role, content = shown.get(number, (None, "user", ""))
        pieces = tuple(snippet(content, query))
        row = facts[number]
        hits.append(Hit(number, row["conversation_id"], message_id, role, pieces, matching, row))
    return hits, (page[-1][0] if len(found) > limit else None)


def find_all(connection: Connection, selection: Selection) -> Iterator[str]:
    """The ids of all conversations that fit, the latest arrived first."""
    wheres, values = selection.where()
    query = selection.query()
    after: int | None = None
    while True:
        limits = {"after": (1 << 62) if after is None else after, "most": 5000}
        if query:
            inner, more = matching(connection, selection, query)
            sql = (
                f"SELECT c.number, c.conversation_id FROM search_conversations c WHERE c.number < :after AND {wheres}"
                f" AND c.number IN ({inner}) ORDER BY c.number DESC LIMIT :most"
            )
            rows = connection.execute(text(sql), {**values, **more, **limits}).all()
        else:
            sql = (
                f"SELECT c.number, c.conversation_id FROM search_conversations c WHERE c.number < :after AND {wheres}"
                " ORDER BY c.number DESC LIMIT :most"
            )
            rows = connection.execute(text(sql), {**values, **limits}).all()
        yield from (row.conversation_id for row in rows)
        if not rows:
            return
        after = rows[-1].number


@dataclass(frozen=True, slots=True)
class Counts:
    """How many conversations fit, and of each facet how many have which value (None: not known)."""

    conversations: int
    messages: int | None  # that hold the words; None without words
    facets: Mapping[str, Sequence[tuple[Any, int]]]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        facets = {
            name: [{"value": value, "conversations": count} for value, count in counted]
            for name, counted in self.facets.items()
        }
        return {"conversations": self.conversations, "messages": self.messages, "facets": facets}


def count(connection: Connection, selection: Selection, *, most: int = 20) -> Counts:
    """Count what fits, whole and by facet. Everything costs as much as it has values of facets.

    Args:
        connection: to read from.
        selection: which.
        most: values of a facet, the most frequent ones.

    Raises:
        UsageError: the query has no word to find.
    """
    query = selection.query()
    if not selection.params():
        total, counters = count_everything(connection)
        return Counts(total, None, {name: _ranked(name, counted, most) for name, counted in counters.items()})
    filters, narrow = selection.where()
    wheres, values = filters, narrow
    messages = None
    if query:
        inner, more = matching(connection, selection, query)
        wheres, values = f"{wheres} AND c.number IN ({inner})", {**values, **more}
        matched = engine_of(connection).matched(query, selection.part)
        sql = (
            f"SELECT count(*) FROM {matched.table} CROSS JOIN search_conversations c"
            f" WHERE {matched.condition} AND c.number = {matched.number} >> {PLACE_BITS} AND {filters}"
        )
        messages = int(connection.execute(text(sql), {**narrow, **matched.values}).scalar_one())
    columns = ", ".join(f"c.{name}" for name in FACETS)
    sql = f"SELECT {columns}, count(*) AS n FROM search_conversations c WHERE {wheres} GROUP BY {columns}"
    counters = {name: Counter() for name in FACETS}
    total = 0
    for row in connection.execute(text(sql), values):
        total += row.n
        for name, value in zip(FACETS, row, strict=False):
            counters[name][bool(value) if name in ("toxic", "redacted") and value is not None else value] += row.n
    return Counts(total, messages, {name: _ranked(name, c, most) for name, c in counters.items()})


def _ranked(name: str, counted: Counter[Any], most: int) -> list[tuple[Any, int]]:
    ranked = sorted(counted.items(), key=lambda item: (-item[1], str(item[0])))[:most]
    return sorted(ranked, key=lambda item: str(item[0]), reverse=True) if name == "month" else ranked


def matching(connection: Connection, selection: Selection, query: Query) -> tuple[str, dict[str, Any]]:
    """SQL of the numbers of the conversations that hold the words."""
    matched = engine_of(connection).matched(query, selection.part)
    return f"SELECT {matched.number} >> {PLACE_BITS} FROM {matched.table} WHERE {matched.condition}", matched.values


def _by_words(
    connection: Connection, selection: Selection, query: Query, limit: int, after: int | None
) -> list[tuple[int, int | None, int]]:
    """Conversation, its first matching message, and how many match, for one page.

    The index is walked from the latest message down, so a page costs what stands on it and not all that matches.
    """
    wheres, values = selection.where()
    matched = engine_of(connection).matched(query, selection.part)
    number, more = matched.number, matched.values
    # CROSS JOIN keeps SQLite from walking the conversations and asking the index for each
    sql = text(
        f"SELECT {number} FROM {matched.table} CROSS JOIN search_conversations c"
        f" WHERE {matched.condition} AND {number} < :before AND c.number = {number} >> {PLACE_BITS} AND {wheres}"
        f" ORDER BY {number} DESC LIMIT :most"
    )
    found: dict[int, tuple[int, int]] = {}
    before = (1 << 62) if after is None else after << PLACE_BITS
    while True:
        given = {**values, **more, "before": before, "most": max(_STEP, 2 * limit)}
        numbers = list(connection.scalars(sql, given))
        for number in numbers:
            conversation = number >> PLACE_BITS
            if conversation not in found and len(found) == limit:
                return [(c, first, n) for c, (first, n) in found.items()]
            found[conversation] = (number, found.get(conversation, (0, 0))[1] + 1)
        if len(numbers) < given["most"]:
            return [(c, first, n) for c, (first, n) in found.items()]
        before = numbers[-1]


def _by_filters(connection: Connection, selection: Selection, limit: int, after: int | None) -> list[int]:
    wheres, values = selection.where()
    sql = (
        f"SELECT c.number FROM search_conversations c WHERE c.number < :after AND {wheres}"
        " ORDER BY c.number DESC LIMIT :most"
    )
    given = {**values, "after": (1 << 62) if after is None else after, "most": limit}
    return list(connection.scalars(text(sql), given))


def _facts(connection: Connection, numbers: Sequence[int]) -> dict[int, Mapping[str, Any]]:
    query = select(SEARCH_CONVERSATIONS).where(SEARCH_CONVERSATIONS.c.number.in_(numbers))
    return {row["number"]: dict(row) for row in connection.execute(query).mappings()}


def _messages(
    connection: Connection, page: Sequence[tuple[int, int | None, int]]
) -> dict[int, tuple[str | None, str, str]]:
    """The message that stands for each conversation of a page: the one that matched, else the first."""
    wanted = [number << PLACE_BITS if message is None else message for number, message, _ in page]
    query = (
        select(SEARCH_MESSAGES.c.number, MESSAGES.c.message_id, MESSAGES.c.role, MESSAGES.c.content_zstd)
        .join(MESSAGES, MESSAGES.c.message_id == SEARCH_MESSAGES.c.message_id)
        .where(SEARCH_MESSAGES.c.number.in_(bindparam("wanted", expanding=True)))
    )
    return {
        row.number >> PLACE_BITS: (row.message_id, row.role, zstandard.decompress(row.content_zstd).decode("utf-8"))
        for row in connection.execute(query, {"wanted": wanted})
    }
