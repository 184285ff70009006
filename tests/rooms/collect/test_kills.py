"""``kill -9`` under load, of the server and of its database: what was acknowledged is there, and work goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from agora.rooms.collect.tables import MESSAGES
from agora.store import Store
from agora.store.events import verify
from tests.postgres import PostgresServer, fresh_database
from tests.rooms.collect.live import Person, ScriptedModel, live_app

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_SERVER = """
import asyncio, sys
from pathlib import Path
from agora.rooms.collect.upstream import Piece
from agora.store import Store
from agora.web.app import create_app
from tests.rooms.collect.live import ScriptedModel, settings
import uvicorn

async def words(turns):
    for i in range(20):
        yield Piece(f"word{i} ")
        await asyncio.sleep(0.005)
    yield Piece(finish_reason="stop")

folder, port = Path(sys.argv[1]), int(sys.argv[2])
store = Store.open(str(folder / "store.db"), keys=folder / "keys.json")
app = create_app(settings(), store, ScriptedModel(words))
uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")
"""


class Talker(threading.Thread):
    """A person who sends one message after another, and notes which were acknowledged and what was refused."""

    def __init__(self, address: str, name: str) -> None:
        super().__init__(daemon=True)
        self.who = Person(address).consent()
        self.talk = self.who.conversation()
        self.label, self.acknowledged, self.refused = name, [], []
        self.leaving = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.leaving.is_set():
            path = f"/api/v1/conversations/{self.talk}/messages"
            number += 1
            mark = f"{self.label}-{number}"
            body = {"content": f"message {mark}", "client_msg_id": mark}
            try:
                with self.who.http.stream("POST", path, json=body) as stream:
                    if stream.status_code == 200:
                        self.acknowledged.append(mark)  # the status says that it is on disk
                        for _ in stream.iter_raw():
                            pass
                    else:
                        stream.read()
                        code = stream.json()["error"]["code"]
                        if code == "conversation_full":
                            self.talk = self.who.conversation()
                            continue
                        self.refused.append((stream.status_code, code))
                        time.sleep(0.05)
            except (httpx.HTTPError, RuntimeError, KeyError):  # broken, hung up, or no new conversation
                time.sleep(0.05)


def _acknowledged(store: Store, talkers: list[Talker]) -> int:
    """How many acknowledged messages the store has; all of them, or this fails."""
    with store.reading() as connection:
        rows = connection.execute(select(MESSAGES.c.client_msg_id).where(MESSAGES.c.role == "user"))
        kept = [row.client_msg_id for row in rows]
        verify(connection)
    assert len(kept) == len(set(kept))
    told = {mark for talker in talkers for mark in talker.acknowledged}
    assert told <= set(kept)
    return len(told)


@contextmanager
def _serving(folder: Path, port: int) -> Iterator[subprocess.Popen[Any]]:
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-c", _SERVER, str(folder), str(port)]
    with subprocess.Popen(command, env=environment) as server:
        until = time.monotonic() + 60
        while time.monotonic() < until and server.poll() is None:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(0.02)
        yield server
        server.send_signal(signal.SIGKILL)


def test_twenty_kills_under_load_lose_no_acknowledged_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    rng = random.Random(0)
    talkers: list[Talker] = []
    starts = []
    for _ in range(20):
        began = time.monotonic()
        with _serving(tmp_path, port):
            starts.append(time.monotonic() - began)
            if not talkers:
                talkers = [Talker(f"http://127.0.0.1:{port}", f"t{i}") for i in range(6)]
                for talker in talkers:
                    talker.start()
            time.sleep(rng.uniform(0.2, 1.2))
    for talker in talkers:
        talker.leaving.set()
    for talker in talkers:
        talker.join(30)
    with live_app(tmp_path, ScriptedModel()) as (_, store):
        count = _acknowledged(store, talkers)
        with store.reading() as connection:
            left = connection.execute(select(MESSAGES.c.status).where(MESSAGES.c.status == "streaming")).all()
        assert left == []  # the dead wrote them, and the new one says so
    assert count > 100
    with capsys.disabled():
        print(f"\n{count} acknowledged, starts {sorted(starts)[10]:.1f} s (median), {max(starts):.1f} s at most")


def test_a_database_that_is_killed_loses_no_acknowledged_message_and_is_found_again(tmp_path: Path) -> None:
    server = PostgresServer()
    try:
        url = fresh_database(server.url, "agora")
        with live_app(tmp_path, ScriptedModel(), url=url) as (address, store):
            person = Person(address).consent()
            path = f"/api/v1/conversations/{person.conversation()}/messages"
            talkers = [Talker(address, f"t{i}") for i in range(4)]
            for talker in talkers:
                talker.start()
            for _ in range(3):
                time.sleep(1.5)
                server.kill()
                time.sleep(1.0)
                assert httpx.get(f"{address}/health").status_code == 503
                # whose reply was being written waits for its end; everyone else is refused at once
                assert person.http.post(path, json={"content": "x", "client_msg_id": "x"}).status_code == 503
                server.start()
                counts = [len(talker.acknowledged) for talker in talkers]
                until = time.monotonic() + 30
                while time.monotonic() < until and any(
                    len(talker.acknowledged) == n for talker, n in zip(talkers, counts, strict=True)
                ):
                    time.sleep(0.05)
                assert all(len(talker.acknowledged) > n for talker, n in zip(talkers, counts, strict=True))
            for talker in talkers:
                talker.leaving.set()
            for talker in talkers:
                talker.join(60)
            refusals = {refusal for talker in talkers for refusal in talker.refused}
            assert refusals <= {(503, "store_unavailable")}
            assert _acknowledged(store, talkers) > 20
            until = time.monotonic() + 30
            while time.monotonic() < until and (left := _unfinished(store)):
                time.sleep(0.2)
            assert not left  # ends that the dead database could not take were kept and written afterwards
    finally:
        server.stop()


def _unfinished(store: Store) -> int:
    with store.reading() as connection:
        return len(connection.execute(select(MESSAGES.c.status).where(MESSAGES.c.status == "streaming")).all())
