"""The real app on a real port, with a model whose every word a test decides."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import httpx
import uvicorn

from agora.rooms.collect.settings import ServeSettings
from agora.rooms.collect.types import Params
from agora.rooms.collect.upstream import Piece, Turns
from agora.store import Store
from agora.web.app import create_app
from tests.stores import migrated_file

Script = Callable[[Turns], AsyncIterator[Piece]]


async def echo(turns: Turns) -> AsyncIterator[Piece]:
    """Says the last message back, word by word."""
    for word in f"You said: {turns[-1]['content']}".split(" "):
        yield Piece(word + " ")
    yield Piece(finish_reason="stop", usage={"prompt_tokens": 3, "completion_tokens": 4})


@dataclass
class ScriptedModel:
    """An upstream that follows a script and remembers every conversation it was asked about."""

    script: Script = echo
    asked: list[list[dict[str, str]]] = field(default_factory=list)
    name: str = "scripted"

    async def stream(self, turns: Turns, params: Params) -> AsyncIterator[Piece]:
        self.asked.append([dict(turn) for turn in turns])
        async for piece in self.script(turns):
            yield piece

    async def close(self) -> None:
        """Nothing to release."""


def settings(**collect: Any) -> ServeSettings:
    """Settings for a test: no secure cookies, wide limits, no work beside the service unless it is asked for."""
    limits = {"messages_per_minute": 10_000, "messages_per_day": 10_000, "address_per_minute": 10_000, "streams": 64}
    quiet: dict[str, Any] = {"enrich": (), "explore": {"index": False}}
    given = {"limits": {**limits, "receipt_tries_per_minute": 1000}, **quiet, **collect}
    return ServeSettings.model_validate({"site": {"secure_cookies": False, "operator": "A test"}, "collect": given})


@contextmanager
def running(app: Any) -> Iterator[str]:
    """Serve an app from a thread; gives its address."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=2, proxy_headers=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])), daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()


@contextmanager
def live_app(folder: Path, model: Any, chosen: ServeSettings | None = None, url: str | None = None) -> Iterator[Any]:
    """The app over a store in a folder; gives its address and the store."""
    store = Store.open(url or migrated_file(folder / "store.db"), keys=folder / "keys.json")
    with running(create_app(chosen or settings(), store, model)) as address:
        yield address, store
    store.close()


def bytes_in(folder: Path, pattern: str = "store.db*") -> bytes:
    """All bytes of a running store's files.

    Another process reads them: closing a file here would drop the locks that SQLite holds on it for this process.
    """
    files = sorted(path for path in folder.rglob(pattern) if path.is_file())
    return subprocess.check_output(["cat", *files])


class Person:
    """A visitor with a cookie jar."""

    all: ClassVar[list[Person]] = []  # closed at the end of each test

    def __init__(self, address: str, **headers: str) -> None:
        self.http = httpx.Client(base_url=address, timeout=30, headers=headers)
        self.receipt = ""
        self.all.append(self)

    def accept_terms(self) -> httpx.Response:
        """Take the first step."""
        now = self.http.get("/api/v1/consent/current").json()
        body = {"version": now["version"], "sha256": now["sha256"], "accepted": True, "age_confirmed": True}
        return self.http.post("/api/v1/consent/terms", json=body)

    def consent(self, decision: str = "publish") -> Person:
        """Take both steps."""
        version = self.http.get("/api/v1/consent/current").json()["version"]
        assert self.accept_terms().status_code == 200
        given = self.http.post("/api/v1/consent/publication", json={"version": version, "decision": decision})
        assert given.status_code == 200, given.text
        self.receipt = given.json()["receipt"] or ""
        return self

    def conversation(self) -> str:
        """Begin a conversation."""
        made = self.http.post("/api/v1/conversations")
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    def say(self, conversation: str, text: str, *, client_msg_id: str = "", **more: Any) -> list[dict[str, Any]]:
        """Send a message and read all events of the reply."""
        body = {"content": text, "client_msg_id": client_msg_id or f"c{time.monotonic_ns()}", **more}
        answer = self.http.post(f"/api/v1/conversations/{conversation}/messages", json=body)
        assert answer.status_code == 200, answer.text
        return read_events(answer.text)

    def messages(self, conversation: str) -> list[dict[str, Any]]:
        """All messages of a conversation."""
        found: list[dict[str, Any]] = self.http.get(f"/api/v1/conversations/{conversation}").json()["messages"]
        return found


def read_events(text: str) -> list[dict[str, Any]]:
    """The events of a finished stream: name, data, id."""
    events = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":"))
        if "data" in fields:
            events.append({"event": fields["event"], "data": json.loads(fields["data"]), "id": fields.get("id")})
    return events


def text_of(events: list[dict[str, Any]]) -> str:
    """The reply that a stream told."""
    return "".join(event["data"]["text"] for event in events if event["event"] == "delta")
