"""The event log: append-only, without content, each row bound to all rows before it.

``hash = SHA-256(prev_hash || canonical JSON of the row)``. Whoever holds one hash can tell whether anything before it
was changed, taken out or put in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import Connection, insert, select, text

from agora.core.errors import DataError
from agora.store.ids import now_us
from agora.store.prepared import Prepared
from agora.store.tables import EVENTS

GENESIS = bytes(32)
_LAST = Prepared(select(EVENTS.c.seq, EVENTS.c.hash).order_by(EVENTS.c.seq.desc()).limit(1))
_INSERT = Prepared(insert(EVENTS), EVENTS.c.keys())
_TURN = Prepared(text("SELECT pg_advisory_xact_lock(1095978834)"))  # any constant of our own
_HASHED = ("seq", "ts_us", "kind", "subject_id", "conversation_id", "message_id", "payload")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. ``payload`` holds numbers, names and hashes, never what a person wrote."""

    kind: str
    subject_id: str | None = None
    conversation_id: str | None = None
    message_id: str | None = None
    payload: Mapping[str, Any] | None = None


def take_turns(connection: Connection) -> None:
    """One process at a time from here to the end of the transaction; SQLite, which has one writer, needs nothing."""
    if connection.dialect.name == "postgresql":
        _TURN.run(connection)


def append(connection: Connection, event: Event, *, ts_us: int | None = None) -> int:
    """Add an event inside the caller's transaction; its number is returned. See :func:`append_all`."""
    return append_all(connection, [event], ts_us=ts_us)


def append_all(connection: Connection, happened: Sequence[Event], *, ts_us: int | None = None) -> int:
    """Add events inside the caller's transaction; the number of the last is returned.

    The caller holds the right to write (:func:`agora.store.database.writing`): several processes make one chain.
    """
    last = _LAST.run(connection).fetchone()
    seq, prev = last or (0, GENESIS)
    rows = []
    for event in happened:
        seq += 1
        row = {
            "seq": seq,
            "ts_us": now_us() if ts_us is None else ts_us,
            "kind": event.kind,
            "subject_id": event.subject_id,
            "conversation_id": event.conversation_id,
            "message_id": event.message_id,
            "payload": _canonical(dict(event.payload or {})),
        }
        digest = _hash(prev, row)
        rows.append({**row, "prev_hash": prev, "hash": digest})
        prev = digest
    _INSERT.run_many(connection, rows)
    return int(seq)


def _canonical(value: Mapping[str, Any]) -> str:
    """JSON with sorted keys, so that equal values have equal bytes."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _hash(prev: bytes, row: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(prev + _canonical(row).encode("utf-8")).digest()


@dataclass(frozen=True, slots=True)
class ChainReport:
    """A log that verifies: how many events it has, and the hash that stands for all of them."""

    events: int
    head: str


def verify(connection: Connection) -> ChainReport:
    """Recompute every hash of the log.

    Raises:
        DataError: an event was changed, taken out or put in; the first number that does not fit is named.
    """
    prev, count = GENESIS, 0
    found = connection.execution_options(yield_per=1000).execute(select(EVENTS).order_by(EVENTS.c.seq))
    with closing(found):
        for mapped in found.mappings():
            row = {name: mapped[name] for name in _HASHED}
            count += 1
            if row["seq"] != count:
                raise DataError(f"event {count} is missing from the log", where="events")
            stored, told = bytes(mapped["hash"]), bytes(mapped["prev_hash"])
            if told != prev or stored != _hash(prev, row):
                raise DataError(f"event {count} is not what was written", where="events")
            prev = stored
    return ChainReport(count, prev.hex())
