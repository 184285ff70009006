"""A real server process that is told to stop while it writes, and what it logs."""

from __future__ import annotations

import json
import os
import re
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

from agora.rooms.collect.conversations import read_messages
from agora.store import Store
from agora.store.events import verify
from agora.store.tables import EVENTS
from tests.engines.servers import Handler, Server
from tests.rooms.collect.live import Person, read_events

pytestmark = pytest.mark.slow


class Words(Server):
    """Streams words with a pause between them; ``go_on`` lets the last ones come at once."""

    def __init__(self, count: int, pause_s: float) -> None:
        super().__init__()
        self.count, self.pause_s = count, pause_s
        self.go_on = threading.Event()

    def on_post(self, handler: Handler, body: dict[str, Any]) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Connection", "close")
        handler.end_headers()
        for i in range(self.count):
            chunk = {"choices": [{"index": 0, "delta": {"content": f"word{i} "}, "finish_reason": None}]}
            handler.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
            handler.wfile.flush()
            self.go_on.wait(self.pause_s)
        last = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        handler.wfile.write(f"data: {json.dumps(last)}\n\ndata: [DONE]\n\n".encode())
        handler.close_connection = True


@contextmanager
def _serving(folder: Path, model: str, *more: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, "-m", "agora.cli", "serve", "--port", "0", "--db", "a.db", "--model", model, *more]
    env = {**os.environ, "AGORA_PROGRESS": "0"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder, env=env
    ) as server:
        assert server.stdout is not None and server.stderr is not None
        address = re.search(r" at (http://\S+)", server.stdout.readline())
        assert address is not None, server.stderr.read()
        yield address.group(1), server
        if server.poll() is None:
            server.kill()


def _terminate_in_the_middle(address: str, server: subprocess.Popen[str]) -> tuple[str, list[dict[str, Any]]]:
    """Send SIGTERM when the first words are there; the conversation's id and all that its reader was told."""
    person = Person(address).consent()
    conversation = person.conversation()
    path, body = f"/api/v1/conversations/{conversation}/messages", {"content": "go", "client_msg_id": "1"}
    seen = ""
    with person.http.stream("POST", path, json=body) as stream:
        try:
            for raw in stream.iter_text():
                seen += raw
                if "word3" in seen and server.poll() is None and "SENT" not in seen:
                    server.send_signal(signal.SIGTERM)
                    seen += ": SENT\n\n"
        except httpx.RemoteProtocolError:
            pass  # cut off at the end of the time that replies get
    server.wait(40)
    return conversation, read_events(seen)


def _kept(folder: Path, conversation: str) -> Any:
    store = Store.open(str(folder / "a.db"), keys=folder / "a.db.keys.json")
    with store.reading() as connection:
        verify(connection)
        reply = read_messages(connection, conversation)[1]
        kinds = [row.kind for row in connection.execute(select(EVENTS).order_by(EVENTS.c.seq))]
    store.close()
    assert kinds[-1] == "message.assistant.final"
    return reply


def test_a_server_told_to_stop_lets_a_reply_end(tmp_path: Path) -> None:
    with Words(40, 0.05) as upstream, _serving(tmp_path, f"{upstream.base_url}#m") as (address, server):
        conversation, told = _terminate_in_the_middle(address, server)
        assert server.returncode in (0, -signal.SIGTERM)
    assert told[-1]["event"] == "done" and told[-1]["data"]["status"] == "complete"
    reply = _kept(tmp_path, conversation)
    assert reply.status == "complete" and reply.content.split() == [f"word{i}" for i in range(40)]


def test_a_reply_that_takes_longer_than_the_server_waits_is_kept_as_interrupted(tmp_path: Path) -> None:
    more = ("--set", "site.shutdown_s=1")
    with Words(100_000, 0.05) as upstream, _serving(tmp_path, f"{upstream.base_url}#m", *more) as (address, server):
        began = time.monotonic()
        conversation, _ = _terminate_in_the_middle(address, server)
        assert server.returncode is not None and time.monotonic() - began < 40
    reply = _kept(tmp_path, conversation)
    assert reply.status == "interrupted" and reply.content.startswith("word0 word1 word2 word3")


def test_each_request_is_a_line_of_json_without_what_was_said(tmp_path: Path) -> None:
    with Words(3, 0.0) as upstream, _serving(tmp_path, f"{upstream.base_url}#m", "--log-json") as (address, server):
        person = Person(address).consent()
        conversation = person.conversation()
        person.say(conversation, "xylophone")
        person.http.get("/nowhere?secret=xylophone")
        person.http.get(f"/chat/{conversation}?leaf=xylophone")
        server.send_signal(signal.SIGTERM)
        server.wait(30)
        assert server.stderr is not None
        log = server.stderr.read()
    lines = [json.loads(line) for line in log.splitlines()]
    told = [(line["method"], line["route"], line["status"]) for line in lines if line["logger"] == "agora.access"]
    assert ("POST", "/api/v1/conversations/{conversation_id}/messages", 200) in told
    assert ("GET", "(none)", 404) in told and ("GET", "/chat/{conversation_id}", 200) in told
    assert all(set(line) == {"time", "level", "logger", "message", "method", "route", "status", "ms"} for line in lines)
    assert "xylophone" not in log and conversation not in log and person.http.cookies["visit"] not in log
