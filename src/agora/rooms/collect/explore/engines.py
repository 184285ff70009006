"""The two full-text engines behind one interface: SQLite's FTS5, and PostgreSQL's ``tsvector`` with a GIN index.

SQLite's index holds no copy of the text, so a message is taken out of it by handing over the very text that was put in.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from sqlalchemy import Connection, Engine

from agora.rooms.collect.explore.query import Part, Query
from agora.rooms.collect.explore.words import spaced, tokens
from agora.store.database import writing

_MERGE_PAGES = 500  # of one step of cleaning: some milliseconds, so that the chat's writer gets its turn between steps
_AUTOMERGE = 4  # FTS5's own default
_PARTS = 64  # of one size, before they are made one; by default 16, which a build reaches every few seconds
_HASH_BYTES = 2 << 20  # words that are held in memory before they become a part: what a processor's cache still holds
_WORD_BYTES, _VECTOR_BYTES, _POSITIONS = 1000, 900_000, 16_383  # what one tsvector can hold


class Indexed(NamedTuple):
    """A message for the index: its number, which part of a conversation it is, and its words as the engine takes them.

    See :meth:`TextEngine.words`.
    """

    number: int
    message_id: str
    content_head: bytes
    part: Part
    words: str


@dataclass(frozen=True, slots=True)
class Matched:
    """Messages that match as parts of SQL: a table, its column of numbers, a condition, and its parameters."""

    table: str
    number: str
    condition: str
    values: dict[str, Any]


class TextEngine(Protocol):
    """What the rest of the explorer asks of a full-text index."""

    def words(self, text: str, part: Part) -> str:
        """A text as the index takes it: made before a write begins, since it takes long."""

    def add(self, connection: Connection, messages: Sequence[Indexed]) -> None:
        """Put messages into the index and their rows into ``search_messages``."""

    def remove(self, connection: Connection, messages: Iterable[Indexed]) -> None:
        """Take messages out again; the rows of ``search_messages`` go elsewhere."""

    def clear(self, connection: Connection) -> None:
        """Empty the index and ``search_messages``."""

    def build(self, connection: Connection, *, begins: bool) -> None:
        """A build of the whole index begins, or has ended."""

    def clean(self, engine: Engine) -> None:
        """Let no byte of removed words stay in the index's pages."""

    def matched(self, query: Query, part: Part | None) -> Matched:
        """The messages that match."""


def engine_of(connection: Connection | Engine) -> TextEngine:
    """The engine of a database."""
    return Fts5() if connection.dialect.name == "sqlite" else TsVector()


class Fts5:
    """SQLite's FTS5, with prompts and replies as two columns and no stored text."""

    def words(self, text: str, part: Part) -> str:
        """A text as the index takes it."""
        return spaced(text)

    def add(self, connection: Connection, messages: Sequence[Indexed]) -> None:
        """Put messages into the index and their rows into ``search_messages``."""
        for part in ("prompt", "reply"):
            rows = [(m.number, m.words) for m in messages if m.part == part]
            if rows:
                connection.exec_driver_sql(f"INSERT INTO search_fts(rowid, {part}) VALUES (?, ?)", rows)
        connection.exec_driver_sql(
            "INSERT INTO search_messages(number, message_id, content_head) VALUES (?, ?, ?)",
            [(m.number, m.message_id, m.content_head) for m in messages],
        )

    def remove(self, connection: Connection, messages: Iterable[Indexed]) -> None:
        """Take messages out again, by the very text that was put in."""
        for m in messages:
            connection.exec_driver_sql(
                f"INSERT INTO search_fts(search_fts, rowid, {m.part}) VALUES ('delete', ?, ?)",
                (m.number, m.words),
            )

    def clear(self, connection: Connection) -> None:
        """Empty the index and ``search_messages``."""
        connection.exec_driver_sql("INSERT INTO search_fts(search_fts) VALUES ('delete-all')")
        connection.exec_driver_sql("DELETE FROM search_messages")

    def build(self, connection: Connection, *, begins: bool) -> None:
        """While the index is built its parts are merged 64 at a time, afterwards a little with each addition.

        Merging a little with each addition keeps the index of a running service in few parts, and takes two fifths of
        FTS5's time in a build: the same words are written again and again.
        """
        chosen = {"automerge": 0 if begins else _AUTOMERGE, "crisismerge": _PARTS, "hashsize": _HASH_BYTES}
        for name, value in chosen.items():
            connection.exec_driver_sql("INSERT INTO search_fts(search_fts, rank) VALUES (?, ?)", (name, value))

    def clean(self, engine: Engine) -> None:
        """Merge all segments into one, step by step: only then do removed words leave the index.

        It comes to the same as ``'optimize'``, which would hold the writer up for the whole time.
        """
        pages = -_MERGE_PAGES  # a negative number begins a merge of everything
        while True:
            with writing(engine) as connection:
                before = connection.exec_driver_sql("SELECT total_changes()").scalar_one()
                connection.exec_driver_sql("INSERT INTO search_fts(search_fts, rank) VALUES ('merge', ?)", (pages,))
                if connection.exec_driver_sql("SELECT total_changes()").scalar_one() - before < 2:
                    return
            pages = _MERGE_PAGES

    def matched(self, query: Query, part: Part | None) -> Matched:
        """The messages that match."""
        condition, values = "search_fts MATCH :matched", {"matched": query.as_fts5(part)}
        return Matched("search_fts", "search_fts.rowid", condition, values)


class TsVector:
    """PostgreSQL's full-text index over words that this program cut and folded, so that both engines agree."""

    def words(self, text: str, part: Part) -> str:
        """A text as the index takes it."""
        return vector(text, part)

    def add(self, connection: Connection, messages: Sequence[Indexed]) -> None:
        """Put messages into the index and their rows into ``search_messages``."""
        connection.exec_driver_sql(
            "INSERT INTO search_messages(number, message_id, content_head, words)"
            " VALUES (%s, %s, %s, CAST(%s AS tsvector))",
            [(m.number, m.message_id, m.content_head, m.words) for m in messages],
        )

    def remove(self, connection: Connection, messages: Iterable[Indexed]) -> None:
        """The words stand in ``search_messages`` and go with it."""

    def clear(self, connection: Connection) -> None:
        """Empty ``search_messages``."""
        connection.exec_driver_sql("DELETE FROM search_messages")

    def build(self, connection: Connection, *, begins: bool) -> None:
        """A build is like any other addition."""

    def clean(self, engine: Engine) -> None:
        """Write table and index anew without dead rows."""
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM FULL search_messages")

    def matched(self, query: Query, part: Part | None) -> Matched:
        """The messages that match."""
        condition, values = "words @@ CAST(:matched AS tsquery)", {"matched": query.as_tsquery(part)}
        return Matched("search_messages", "search_messages.number", condition, values)


def vector(text: str, part: Part) -> str:
    """A ``tsvector`` in writing: each word with its places, labeled A in prompts and B in replies.

    A ``tsvector`` knows 16,383 places and a megabyte of words; what a longer text has beyond is not found.
    """
    label = "A" if part == "prompt" else "B"
    places: dict[str, list[int]] = {}
    size = 0
    for place, word in enumerate(tokens(text)[:_POSITIONS], 1):
        if word not in places:
            if (length := len(word.encode())) > _WORD_BYTES:
                continue
            size += length + 8
            if size > _VECTOR_BYTES:
                break
            places[word] = []
        places[word].append(place)
    return " ".join(f"'{word}':" + ",".join(f"{p}{label}" for p in at[:255]) for word, at in places.items())
