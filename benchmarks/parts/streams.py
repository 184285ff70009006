"""A model server that streams at a fixed rate, and people who read streams: as cheap as asyncio allows.

Both run in processes of their own, so that what a benchmark reports of the service is the service's. They speak just
enough HTTP/1.1 for it. As a script this module is the model server: it prints its port and serves until its input ends.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_LAST = b"0\r\n\r\n"


class ModelServer(asyncio.Protocol):
    """One connection to a model that says ``words`` words, ``rate`` a second, the first at once."""

    def __init__(self, words: int, rate: float) -> None:
        self._words, self._gap = words, 1 / rate
        self._request = b""

    def connection_made(self, transport: Any) -> None:
        """Keep the connection."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer once the whole request is here."""
        self._request += data
        head, sep, body = self._request.partition(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        if sep and len(body) >= length:
            self._request = b""
            self._transport.write(_HEAD)
            self._say(0, asyncio.get_running_loop().time())

    def _say(self, number: int, began: float) -> None:
        if self._transport.is_closing():
            return
        loop = asyncio.get_running_loop()
        if number == self._words:
            self._transport.write(_chunk(_event({}, "stop") + b"data: [DONE]\n\n") + _LAST)
            return
        self._transport.write(_chunk(_event({"content": f"word{number} "})))
        loop.call_at(began + (number + 1) * self._gap, self._say, number + 1, began)  # a rate that does not drift


def _event(delta: dict[str, str], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return f"data: {json.dumps({'id': 'up-1', 'choices': [choice]})}\n\n".encode()


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


@contextmanager
def model_server(words: int, rate: float) -> Iterator[int]:
    """The model server in a process of its own; gives its port on 127.0.0.1."""
    command = [sys.executable, str(Path(__file__).resolve()), str(words), str(rate)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None and server.stdout is not None
        try:
            yield int(server.stdout.readline())
        finally:
            server.stdin.close()
            server.wait(10)


@dataclass(frozen=True, slots=True)
class Heard:
    """One stream as a person heard it: seconds to the first word and to the end, and the words; None for a refusal."""

    first_s: float | None
    end_s: float
    words: int
    status: int


class Listener(asyncio.Protocol):
    """A kept connection of one person, who asks and listens, one request after another."""

    def __init__(self) -> None:
        self.closed = False

    def connection_made(self, transport: Any) -> None:
        """Keep the connection."""
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits hears no more."""
        self.closed = True
        self._end()

    def ask(self, request: bytes) -> asyncio.Future[Heard]:
        """Send a request; the future has what was heard."""
        self._done: asyncio.Future[Heard] = asyncio.get_running_loop().create_future()
        self._began, self._first, self._seen, self._words, self._status = time.perf_counter(), None, b"", 0, 0
        self._transport.write(request)
        return self._done

    def data_received(self, data: bytes) -> None:
        """Look for the first word, and for the end."""
        if not self._status:
            self._status = int(data[9:12])
        seen = self._seen[-8:] + data
        if self._first is None and b"word0" in seen:
            self._first = time.perf_counter() - self._began
        self._words += data.count(b"word")
        self._seen = seen
        if seen.endswith(_LAST) or (self._status != 200 and data):
            self._end()

    def _end(self) -> None:
        if hasattr(self, "_done") and not self._done.done():
            took = time.perf_counter() - self._began
            self._done.set_result(Heard(self._first, took, self._words, self._status))

    def close(self) -> None:
        """Hang up."""
        self._transport.close()


async def listener(port: int) -> Listener:
    """A person's connection to a port of this machine."""
    _, found = await asyncio.get_running_loop().create_connection(Listener, "127.0.0.1", port)
    return found


def post(path: str, body: dict[str, Any], token: str | None = None) -> bytes:
    """A request as bytes."""
    raw = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(raw)}\r\n"
    )
    return (head + (f"authorization: Bearer {token}\r\n" if token else "") + "\r\n").encode() + raw


def quantile(values: list[float], q: float) -> float:
    """The q-quantile."""
    return sorted(values)[min(len(values) - 1, int(q * len(values)))]


async def _serve(words: int, rate: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: ModelServer(words, rate), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
