"""The event log proves its past, on both databases and under several writers."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import delete, insert, select, update

from agora.core.errors import DataError
from agora.store import Store
from agora.store.events import GENESIS, Event, append, verify
from agora.store.tables import EVENTS


def _add(store: Store, count: int) -> None:
    for i in range(count):
        store.write(lambda c, i=i: append(c, Event("test", subject_id=f"s{i}", payload={"i": i, "ä": "ß"})))


def test_an_untouched_log_verifies(store: Store) -> None:
    _add(store, 5)
    with store.reading() as connection:
        report = verify(connection)
        assert report.events == 5
        assert report.head == connection.scalar(select(EVENTS.c.hash).where(EVENTS.c.seq == 5)).hex()


def test_an_empty_log_verifies(store: Store) -> None:
    with store.reading() as connection:
        assert verify(connection).head == GENESIS.hex()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (update(EVENTS).where(EVENTS.c.seq == 3).values(payload='{"i":9}'), "event 3 is not"),
        (update(EVENTS).where(EVENTS.c.seq == 3).values(kind="other"), "event 3 is not"),
        (update(EVENTS).where(EVENTS.c.seq == 3).values(ts_us=0), "event 3 is not"),
        (update(EVENTS).where(EVENTS.c.seq == 2).values(subject_id=None), "event 2 is not"),
        (delete(EVENTS).where(EVENTS.c.seq == 2), "event 2 is missing"),
        (delete(EVENTS).where(EVENTS.c.seq == 1), "event 1 is missing"),
    ],
)
def test_a_changed_or_missing_event_is_named(store: Store, change: object, named: str) -> None:
    _add(store, 5)
    store.write(lambda c: c.execute(change))  # type: ignore[call-overload]
    with store.reading() as connection, pytest.raises(DataError, match=named):
        verify(connection)


def test_an_event_put_in_is_found(store: Store) -> None:
    _add(store, 2)
    forged = {"seq": 3, "ts_us": 1, "kind": "x", "payload": "{}", "prev_hash": GENESIS, "hash": GENESIS}
    store.write(lambda c: c.execute(insert(EVENTS).values(**forged)))
    with store.reading() as connection, pytest.raises(DataError, match="event 3 is not"):
        verify(connection)


def test_several_processes_make_one_chain(store_url: str, tmp_path: Path) -> None:
    """Two stores have two writers, as two processes would."""
    stores = [Store.open(store_url, keys=tmp_path / "keys.json") for _ in range(2)]
    threads = [threading.Thread(target=_add, args=(store, 20)) for store in stores for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with stores[0].reading() as connection:
        assert verify(connection).events == 80
    for store in stores:
        store.close()
