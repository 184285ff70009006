"""Several processes on one database: only what a dead one left is marked as interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, select, update

from agora.rooms.collect import conversations, leases
from agora.rooms.collect.guard.budget import Budget
from agora.rooms.collect.guard.settings import BudgetSettings
from agora.rooms.collect.tables import MESSAGES, PROCESSES
from agora.rooms.collect.types import Ending, Status
from agora.store import Store
from agora.store.consent import ConsentText, Visitor, accept_terms
from agora.store.ids import now_us
from agora.store.spending import spent, today
from tests.rooms.collect.begun import begin
from tests.rooms.collect.live import Person, ScriptedModel, live_app, text_of
from tests.store.conftest import store, store_url

__all__ = ["store", "store_url"]

TEXT = ConsentText("1", "en", "terms", "publication")


def _unfinished(store: Store, writer: str | None) -> str:
    """A reply that a process of this id is writing."""
    subject = store.write(lambda c: accept_terms(c, store.keys, TEXT, Visitor()).id)
    talk = store.write(lambda c: conversations.create_conversation(c, subject))
    reply = begin(store, subject, talk, "hi").message_id
    store.write(lambda c: c.execute(update(MESSAGES).where(MESSAGES.c.message_id == reply).values(writer=writer)))
    return reply


def _status(store: Store, reply: str) -> str:
    with store.reading() as connection:
        found = connection.scalar(select(MESSAGES.c.status).where(MESSAGES.c.message_id == reply))
    return str(found)


def _other(store: Store, name: str, *, host: str, pid: int, age_s: float) -> None:
    at = now_us() - int(age_s * 1e6)
    row = {"process_id": name, "host": host, "pid": pid, "started_us": at, "heartbeat_us": at}
    store.write(lambda c: c.execute(insert(PROCESSES).values(**row)))


def test_a_process_of_another_machine_lives_while_its_heart_beats(store: Store) -> None:
    _other(store, "fresh", host="elsewhere", pid=1, age_s=1)
    _other(store, "late", host="elsewhere", pid=1, age_s=leases.DEAD_AFTER_S + 5)
    kept, left = _unfinished(store, "fresh"), _unfinished(store, "late")
    mine = store.write(leases.take_lease)
    assert (_status(store, kept), _status(store, left)) == (Status.STREAMING, Status.INTERRUPTED)
    store.write(lambda c: leases.give_back(c, mine))


def test_a_process_that_runs_no_more_on_this_machine_is_dead_at_once(store: Store) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    mine = store.write(leases.take_lease)
    _other(store, "ended", host=leases._host(), pid=ended.pid, age_s=0)
    _other(store, "parent", host=leases._host(), pid=os.getppid(), age_s=0)
    left, kept = _unfinished(store, "ended"), _unfinished(store, "parent")
    store.write(lambda c: leases.beat(c, mine))
    assert (_status(store, left), _status(store, kept)) == (Status.INTERRUPTED, Status.STREAMING)
    store.write(lambda c: leases.give_back(c, mine))


def test_what_a_dead_process_charged_beyond_its_text_is_given_back_once(store: Store) -> None:
    budget = Budget(BudgetSettings(tokens_per_day=10_000, prompt_price=2.0, reply_price=10.0))
    _other(store, "late", host="elsewhere", pid=1, age_s=leases.DEAD_AFTER_S + 5)
    left, kept = _unfinished(store, "late"), _unfinished(store, None)
    charge = store.write(lambda c: budget.charge(c, left, 100, 1000))
    store.write(lambda c: budget.charge(c, kept, 0, 50))
    mine = store.write(leases.take_lease)  # nobody writes the second one either
    with store.reading() as connection:
        assert spent(connection, today()) == {"tokens": 100, "micros": 200}
    store.write(lambda c: conversations.flush_reply(c, left, "x" * 30))
    store.write(lambda c: leases.beat(c, mine))
    with store.reading() as connection:
        assert spent(connection, today())["tokens"] == 100, "once"
    store.write(lambda c: budget.settle(c, charge, {"prompt_tokens": 100, "completion_tokens": 40}, 0))
    with store.reading() as connection:  # it was asleep, and ends its reply after all
        assert spent(connection, today()) == {"tokens": 140, "micros": 600}
    store.write(lambda c: leases.give_back(c, mine))


def test_a_process_that_slept_for_long_still_ends_its_reply(store: Store) -> None:
    mine, other = store.write(leases.take_lease), store.write(leases.take_lease)
    reply = _unfinished(store, mine)
    leases._OURS.discard(mine)  # as another process sees it
    asleep = now_us() - int((leases.DEAD_AFTER_S + 1) * 1e6)
    store.write(
        lambda c: c.execute(update(PROCESSES).where(PROCESSES.c.process_id == mine).values(heartbeat_us=asleep))
    )
    store.write(lambda c: leases.beat(c, other))
    assert _status(store, reply) == Status.INTERRUPTED
    store.write(lambda c: conversations.finish_reply(c, reply, "all of it", Ending(Status.COMPLETE)))
    assert _status(store, reply) == Status.COMPLETE
    for lease in (mine, other):
        store.write(partial(leases.give_back, process_id=lease))


_SERVER = """
import asyncio, sys
from pathlib import Path
from agora.rooms.collect.upstream import Piece
from tests.rooms.collect.live import ScriptedModel, live_app

async def words(turns):
    for i in range(600):
        yield Piece(f"word{i} ")
        await asyncio.sleep(0.01)
    yield Piece(finish_reason="stop")

with live_app(Path(sys.argv[1]), ScriptedModel(words)) as (address, _):
    print(address, flush=True)
    sys.stdin.read()
"""


@contextmanager
def _server(folder: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-c", _SERVER, str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, text=True, stdin=pipe, stdout=pipe) as server:
        assert server.stdin is not None and server.stdout is not None
        yield server.stdout.readline().strip(), server
        server.stdin.close()


@pytest.mark.slow
def test_a_starting_server_leaves_the_replies_of_a_living_one_alone(tmp_path: Path) -> None:
    with _server(tmp_path) as (one, _), _server(tmp_path) as (two, killed):
        people = [Person(address).consent() for address in (one, two)]
        talks = [person.conversation() for person in people]
        for person, talk in zip(people, talks, strict=True):
            path = f"/api/v1/conversations/{talk}/messages"
            with person.http.stream("POST", path, json={"content": "count", "client_msg_id": "1"}) as stream:
                next(stream.iter_text())  # then they leave; their replies go on
        time.sleep(0.2)
        killed.send_signal(signal.SIGKILL)
        killed.wait(10)
        with live_app(tmp_path, ScriptedModel()) as (three, _):
            seen = []
            for person, talk in zip(people, talks, strict=True):
                again = Person(three)
                again.http.cookies = person.http.cookies
                seen.append(again.messages(talk)[1])
            assert [reply["status"] for reply in seen] == ["streaming", "interrupted"]
            events = _events(three, people[0].http.cookies, seen[0]["id"])
            assert text_of(events) == "".join(f"word{i} " for i in range(600))  # told by one process, read at another
            assert events[-1]["data"]["status"] == "complete"


def _events(address: str, cookies: httpx.Cookies, reply: str) -> list[dict[str, Any]]:
    from tests.rooms.collect.live import read_events

    with httpx.Client(base_url=address, cookies=cookies, timeout=60) as http:
        return read_events(http.get(f"/api/v1/messages/{reply}/events").text)
