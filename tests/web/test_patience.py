"""Connections that never ask for anything, over real sockets: they are closed, and nobody else waits for them."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvicorn

from agora.web.patience import PatientProtocol


class Hasty(PatientProtocol):
    HEAD_S = 0.3
    HEAD_BYTES = 2000


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the length of the body, after a wait longer than the patience with heads."""
    size, more = 0, True
    while more:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    if scope["path"] == "/slow":
        await asyncio.sleep(2 * Hasty.HEAD_S)
    headers = [(b"content-length", str(len(str(size))).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": str(size).encode()})


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[str, int]]:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(echo, http=Hasty, lifespan="off", log_level="critical"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])), daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    yield listening.getsockname()
    server.should_exit = True
    thread.join(10)
    listening.close()


def closed(connection: socket.socket) -> bool:
    """Wait for the other side to close; an error stands for a connection that was cut."""
    connection.settimeout(10)
    try:
        while connection.recv(65_536):
            pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("before", [b"", WHOLE], ids=["first", "later"])
@pytest.mark.parametrize("piece", [b"", b"X-A: b\r\n", b"\r\n"], ids=["silent", "headers", "empty lines"])
def test_who_never_ends_a_head_is_sent_away(place: tuple[str, int], before: bytes, piece: bytes) -> None:
    with socket.create_connection(place) as connection:
        connection.sendall(before)
        if before:
            connection.recv(1000)
        gone = threading.Event()

        def trickle() -> None:
            try:
                if piece != b"\r\n":
                    connection.sendall(WHOLE[:-4])
                while piece and not gone.wait(0.05):
                    connection.sendall(piece)
            except OSError:
                pass

        writer = threading.Thread(target=trickle)
        writer.start()
        assert closed(connection)
        gone.set()
        writer.join(10)


def test_a_head_without_end_is_cut_and_a_long_body_is_not(place: tuple[str, int]) -> None:
    address = f"http://{place[0]}:{place[1]}"
    with socket.create_connection(place) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: " + b"a" * 5000)
        assert closed(connection)
    with httpx.Client(base_url=address) as client:
        assert client.post("/", content=b"x" * 500_000).text == "500000"
        assert client.post("/", content=b"x" * 500_000, headers={"x": "y" * 1500}).text == "500000"


def test_who_asks_waits_for_the_answer_as_long_as_it_takes(place: tuple[str, int]) -> None:
    with httpx.Client(base_url=f"http://{place[0]}:{place[1]}") as client:
        assert [client.get(path).text for path in ("/slow", "/", "/slow")] == ["0", "0", "0"]
