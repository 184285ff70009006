"""What everyone may read: conversations of releases, in the words in which they are out, and nothing else of them.

A conversation is shown while its release is out, its person still agrees, and nobody holds it back; it has the name
that ``removals`` files give it (:func:`agora.rooms.collect.release.profiles.row_sha256`), because its id tells the
moment at which it began. No page tells which conversations are of one person.

Words are looked for in the texts as released. The search index, which knows the texts as they were written, only says
which conversations are worth a look: a word that stands in a redacted place finds nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import zstandard
from sqlalchemy import Connection, Select, distinct, func, select, text

from agora.core.json_text import loads
from agora.rooms.collect.explore.engines import engine_of
from agora.rooms.collect.explore.query import Query
from agora.rooms.collect.explore.snippets import Piece, holds, snippet
from agora.rooms.collect.explore.tables import PLACE_BITS, SEARCH_CONVERSATIONS
from agora.rooms.collect.moderate.reviews import held_back
from agora.rooms.collect.release.publish import PUBLISHED, RETRACTED
from agora.rooms.collect.release.tables import RELEASED_TEXTS, RELEASES
from agora.rooms.collect.tables import CONVERSATIONS
from agora.store.consent import ConsentState
from agora.store.tables import SUBJECTS

PAGE = 30
_STEP = 200
_MOST_READ = 5000  # texts unpacked for a page; a next page goes on behind them
_KEPT_S = 300.0
_CHOICES = ("language", "model")


@dataclass(frozen=True, slots=True)
class Edition:
    """A release whose texts are here."""

    number: int
    name: str


@dataclass(frozen=True, slots=True)
class Turn:
    """A message as released."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Published:
    """A conversation of a release. ``pieces`` shows where the words stand, or how it begins."""

    number: int
    digest: str
    language: str | None
    model: str | None
    turns: Sequence[Turn]
    pieces: Sequence[Piece] = ()

    @property
    def rounds(self) -> int:
        """Questions in it."""
        return sum(turn.role == "user" for turn in self.turns)


def editions(connection: Connection) -> list[Edition]:
    """The releases that can be read here, the newest first."""
    there = select(RELEASED_TEXTS.c.release_id).where(RELEASED_TEXTS.c.release_id == RELEASES.c.release_id).exists()
    query = select(RELEASES.c.number, RELEASES.c.name).where(RELEASES.c.state.in_((PUBLISHED, RETRACTED)), there)
    return [Edition(*row) for row in connection.execute(query.order_by(RELEASES.c.number.desc()))]


def choices(connection: Connection, number: int, least: int) -> dict[str, list[str]]:
    """Languages and models of a release that at least so many people stand behind, to choose from."""
    found: dict[str, list[str]] = {}
    for name in _CHOICES:
        column = RELEASED_TEXTS.c[name]
        query = _visible(connection, number, toxic=True, columns=[column]).where(column.is_not(None)).group_by(column)
        people = func.count(distinct(CONVERSATIONS.c.subject_id))
        found[name] = list(connection.scalars(query.having(people >= least).order_by(column)))
    return found


def find_published(
    connection: Connection,
    number: int,
    query: Query,
    *,
    language: str | None = None,
    model: str | None = None,
    after: str | None = None,
    toxic: bool = False,
    limit: int = PAGE,
) -> tuple[list[Published], str | None]:
    """A page of a release's conversations, in the order of their hashes, and where the next page begins.

    Args:
        connection: to read from.
        number: of the release.
        query: all its words in one message, none of those to leave out; an empty one finds all.
        language: as released, such as ``English``.
        model: of the last reply.
        after: what the page before said: 64 hex digits.
        toxic: also conversations in which a message was flagged.
        limit: the longest page.
    """
    t = RELEASED_TEXTS.c
    asked = _visible(connection, number, toxic=toxic, columns=[t.row_sha256, t.language, t.model, t.turns_zstd])
    for column, value in ((t.language, language), (t.model, model)):
        if value is not None:
            asked = asked.where(column == value)
    if query:
        # words to leave out are looked for below: the index would leave out what holds them in a redacted place
        matched = engine_of(connection).matched(Query(query.wanted), None)
        inner = f"SELECT {matched.number} >> {PLACE_BITS} FROM {matched.table} WHERE {matched.condition}"
        asked = asked.where(text(f"search_conversations.number IN ({inner})").bindparams(**matched.values))
    found: list[Published] = []
    last, read = bytes.fromhex(after or ""), 0
    while True:
        step = _STEP if query else limit + 1
        rows = connection.execute(asked.where(t.row_sha256 > last).order_by(t.row_sha256).limit(step)).all()
        for row in rows:
            if len(found) == limit or read == _MOST_READ:
                return found, last.hex()
            last, read = bytes(row.row_sha256), read + 1
            talk = _talk(number, row, query)
            if talk is not None:
                found.append(talk)
        if len(rows) < step:
            return found, None


def read_published(connection: Connection, number: int, digest: str, *, toxic: bool = False) -> Published | None:
    """One conversation of a release; None where there is none to be shown."""
    t = RELEASED_TEXTS.c
    asked = _visible(connection, number, toxic=toxic, columns=[t.row_sha256, t.language, t.model, t.turns_zstd])
    row = connection.execute(asked.where(t.row_sha256 == bytes.fromhex(digest))).first()
    return _talk(number, row, Query()) if row is not None else None


class Choices:
    """Choices of each release as they were at most five minutes ago: many ask, one counts."""

    def __init__(self, least: int) -> None:
        self._least = least
        self._lock = threading.Lock()
        self._held: dict[int, tuple[float, dict[str, list[str]]]] = {}

    def get(self, connection: Connection, number: int) -> dict[str, list[str]]:
        """The choices of a release."""
        with self._lock:
            at, found = self._held.get(number, (0.0, {}))
            if not found or time.monotonic() - at > _KEPT_S:
                found = choices(connection, number, self._least)
                self._held[number] = time.monotonic(), found
            return found


def _visible(connection: Connection, number: int, *, toxic: bool, columns: Sequence[Any]) -> Select[Any]:
    """Rows of a release that may be shown now."""
    t, c = RELEASED_TEXTS.c, CONVERSATIONS.c
    query = (
        select(*columns)
        .select_from(RELEASED_TEXTS)
        .join(RELEASES, RELEASES.c.release_id == t.release_id)
        .join(CONVERSATIONS, c.conversation_id == t.conversation_id)
        .join(SUBJECTS, SUBJECTS.c.subject_id == c.subject_id, isouter=True)
        .join(SEARCH_CONVERSATIONS, SEARCH_CONVERSATIONS.c.conversation_id == t.conversation_id, isouter=True)
        .where(
            RELEASES.c.number == number,
            RELEASES.c.state.in_((PUBLISHED, RETRACTED)),
            c.state != "deleted",
            c.reserved_for.is_(None),
            c.conversation_id.not_in(held_back(connection)),
            # imported conversations have no person here, and their license lets them be published
            SUBJECTS.c.subject_id.is_(None) | (SUBJECTS.c.consent_state == ConsentState.PUBLISH),
        )
    )
    return query if toxic else query.where(SEARCH_CONVERSATIONS.c.toxic.is_not(True))


def _talk(number: int, row: Any, query: Query) -> Published | None:
    """A row as a conversation; None where the words are not in what was released."""
    turns = [Turn(role, said) for role, said in loads(zstandard.decompress(row.turns_zstd))]
    shown = next((turn for turn in turns if holds(turn.text, query)), None) if query else turns[0]
    if shown is None:
        return None
    pieces = tuple(snippet(shown.text, query))
    return Published(number, bytes(row.row_sha256).hex(), row.language, row.model, turns, pieces)
