"""The writer: a failing job undoes itself alone, and what was acknowledged survives `kill -9`."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select

from agora.core.errors import AgoraError
from agora.store import Store
from agora.store.events import Event, append, verify
from agora.store.tables import EVENTS
from tests.stores import store_in

_CHILD = """
import sys
from pathlib import Path
from agora.store import Store
from agora.store.events import Event, append
store = Store.open(sys.argv[1], keys=Path(sys.argv[2]))
while True:
    waiting = [store.submit(lambda c: append(c, Event("load"))) for _ in range(20)]
    for future in waiting:
        print(future.result(), flush=True)
"""


def test_a_failing_job_undoes_itself_and_nothing_else(store: Store) -> None:
    def fails(connection: object) -> None:
        append(connection, Event("half"))  # type: ignore[arg-type]
        raise ValueError("on purpose")

    before = store.submit(lambda c: append(c, Event("before")))
    broken = store.submit(fails)
    after = store.submit(lambda c: append(c, Event("after")))
    assert (before.result(), after.result()) == (1, 2)
    with pytest.raises(ValueError, match="on purpose"):
        broken.result()
    with store.reading() as connection:
        assert connection.scalars(select(EVENTS.c.kind).order_by(EVENTS.c.seq)).all() == ["before", "after"]


def test_jobs_in_line_are_finished_before_the_store_closes(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    futures = [store.submit(lambda c: append(c, Event("x"))) for _ in range(100)]
    store.close()
    assert [future.result() for future in futures] == list(range(1, 101))
    with pytest.raises(AgoraError, match="closed"):
        store.submit(lambda c: None)


@pytest.mark.parametrize("acknowledged", [1, 37, 150])
def test_what_was_acknowledged_survives_kill_9(store_url: str, tmp_path: Path, acknowledged: int) -> None:
    command = [sys.executable, "-c", _CHILD, store_url, str(tmp_path / "keys.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for _ in range(acknowledged):
            last = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
    store = Store.open(store_url, keys=tmp_path / "keys.json")
    with store.reading() as connection:
        assert verify(connection).events >= last
        assert connection.scalars(select(func.count()).select_from(EVENTS)).one() >= last
    store.close()
