"""The process beside a service: it annotates, comes back when it is killed, and ends with the service."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select

from agora.rooms.collect import beside
from agora.rooms.collect.tables import ANNOTATIONS
from agora.store import Store
from tests.rooms.collect.enrich.stored import put_texts


def _annotated(store: Store) -> int:
    with store.reading() as connection:
        return connection.scalar(select(func.count()).select_from(ANNOTATIONS)) or 0


async def _until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.02)


def test_a_killed_child_is_started_again_and_what_it_says_is_logged(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(beside, "START_S", 0.0)
    monkeypatch.setattr(beside, "_AGAIN_S", (0.01, 1.0))
    monkeypatch.delenv("AGORA_TOXICITY", raising=False)
    put_texts(store, "Where is the library?", "Wo ist der Bahnhof?")

    async def service() -> int | None:
        work = beside.Beside(store, ("tox", "lang"), index=False)
        running = asyncio.create_task(work.run())
        await _until(lambda: work._child)
        assert work._child is not None
        work._child.send_signal(signal.SIGKILL)
        await _until(lambda: _annotated(store) == 2)
        running.cancel()
        await work.stop()
        return work._child.returncode

    with caplog.at_level(logging.WARNING):
        assert asyncio.run(service()) == 0
    assert any("ended (exit -9)" in message for message in caplog.messages)
    assert any("enrichment of kind tox is unavailable" in message for message in caplog.messages)


SERVICE = """
import asyncio, sys
from pathlib import Path
from agora.rooms.collect import beside
from agora.store import Store
beside.START_S = 0.0
store = Store.open(sys.argv[1] + "/store.db", keys=Path(sys.argv[1]) / "keys.json")
work = beside.Beside(store, ("lang",), index=True)
async def serve():
    running = asyncio.create_task(work.run())
    while work._child is None:
        await asyncio.sleep(0.01)
    print(work._child.pid, flush=True)
    await running
asyncio.run(serve())
"""


def test_the_child_ends_with_a_service_that_is_killed(tmp_path: Path) -> None:
    service = subprocess.Popen([sys.executable, "-c", SERVICE, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert service.stdout is not None
    child = int(service.stdout.readline())
    service.kill()
    service.wait()
    for _ in range(3000):
        if not _lives(child):
            break
        time.sleep(0.02)
    service.stdout.close()
    assert not _lives(child)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
        return " Z " not in Path(f"/proc/{process}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
