"""What everyone may see: counts with enough people behind each, and none that can be had by subtracting others."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text

from agora.store.consent import ConsentState

DIMENSIONS = ("country", "language", "model", "month")
KEPT_S = 300.0  # a page that everyone can ask for does not count anew each time
_FROM = (
    "FROM search_conversations c JOIN subjects p ON p.subject_id = c.subject_id"
    f" WHERE p.consent_state = '{ConsentState.PUBLISH}'"
)


@dataclass(frozen=True, slots=True)
class Cell:
    """Conversations of one kind; ``value`` is None for all kinds that are not shown by themselves."""

    value: str | None
    conversations: int
    subjects: int


@dataclass(frozen=True, slots=True)
class PublicNumbers:
    """Counts for everyone; empty where too few people are behind all of it."""

    conversations: int
    subjects: int
    cells: dict[str, Sequence[Cell]]


def public_numbers(connection: Connection, least: int) -> PublicNumbers:
    """Count the conversations of people who agreed to publication.

    A value with fewer than ``least`` people is not shown but counted among the others. If the others together have too
    few, the smallest values that could be shown join them, because what is missing from a sum is a count too.
    """
    totals = connection.execute(text(f"SELECT count(*), count(DISTINCT c.subject_id) {_FROM}")).one()
    if totals[1] < least:
        return PublicNumbers(0, 0, {})
    return PublicNumbers(totals[0], totals[1], {name: _cells(connection, name, least) for name in DIMENSIONS})


def _cells(connection: Connection, name: str, least: int) -> list[Cell]:
    sql = f"SELECT c.{name}, count(*), count(DISTINCT c.subject_id) {_FROM} GROUP BY c.{name}"
    counted = [Cell(*row) for row in connection.execute(text(sql))]
    shown = [c for c in counted if c.value is not None and c.subjects >= least]
    shown.sort(key=lambda c: (-c.conversations, c.value))
    hidden = [c for c in counted if c not in shown]
    if not hidden:
        return _ordered(name, shown)
    others = _others(connection, name, shown)
    while others.subjects < least and shown:
        shown.pop()
        others = _others(connection, name, shown)
    return [*_ordered(name, shown), others]


def _ordered(name: str, shown: list[Cell]) -> list[Cell]:
    return sorted(shown, key=lambda c: c.value or "") if name == "month" else shown


def _others(connection: Connection, name: str, shown: Sequence[Cell]) -> Cell:
    names = {f"v{i}": cell.value for i, cell in enumerate(shown)}
    listed = ", ".join(f":{key}" for key in names)
    where = f" AND (c.{name} IS NULL OR c.{name} NOT IN ({listed}))" if names else ""
    row = connection.execute(text(f"SELECT count(*), count(DISTINCT c.subject_id) {_FROM}{where}"), names).one()
    return Cell(None, row[0], row[1])


class PublicCounts:
    """The counts as they were at most five minutes ago."""

    def __init__(self, least: int) -> None:
        self._least = least
        self._lock = threading.Lock()
        self._at = 0.0
        self._numbers: PublicNumbers | None = None

    def get(self, connection: Connection) -> PublicNumbers:
        """The counts; one caller counts, the others wait for it."""
        with self._lock:
            if self._numbers is None or time.monotonic() - self._at > KEPT_S:
                self._numbers = public_numbers(connection, self._least)
                self._at = time.monotonic()
            return self._numbers
