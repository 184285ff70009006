"""The chat service: durable messages a second, and what it adds to a model's first word.

    python benchmarks/collection.py [--messages 2000] [--streams 50] [--rounds 3]

Durable messages: the peer is the plain way, one transaction for each message with the same durability (SQLite,
``synchronous=FULL``); ours is the store's writer, where messages that wait together share a commit. Both write the same
rows: a message and its event in the hash chain.

First word: the peer is the bare model server, asked by the same client; ours is the service in front of it, which puts
the message on disk before it asks. Both answer ``--streams`` people at once. Nothing leaves 127.0.0.1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from starlette.responses import StreamingResponse

from agora.rooms.collect import conversations
from agora.rooms.collect.settings import ServeSettings
from agora.rooms.collect.types import NewMessage
from agora.rooms.collect.upstream_http import HttpUpstream
from agora.store import Store
from agora.store.consent import ConsentText, Visitor, accept_terms, decide_publication
from agora.store.database import writing
from agora.web.app import create_app

TEXT = ConsentText("1", "en", "terms", "publication")
WORDS = 40
GAP_S = 0.02


def durable_messages(folder: Path, count: int) -> dict[str, float]:
    """Messages a second, one commit each and with shared commits."""
    rates = {}
    for name in ("one commit each", "shared commits"):
        store = Store.open(str(folder / f"{name.split()[0]}.db"), keys=folder / "keys.json")
        subject = store.write(lambda c, s=store: accept_terms(c, s.keys, TEXT, Visitor()).id)
        store.write(lambda c, s=store, i=subject: decide_publication(c, s.keys, i, TEXT, publish=True))
        held = [store.write(lambda c, i=subject: conversations.create_conversation(c, i)) for _ in range(50)]

        def job(number: int, who: str = subject, held: list[str] = held) -> Callable[[Any], Any]:
            new = NewMessage(held[number % 50], f"message {number} " + "word " * 50, f"m{number}")
            return lambda c: conversations.add_user_message(c, who, new)

        began = time.perf_counter()
        if name == "shared commits":
            for future in [store.submit(job(i)) for i in range(count)]:
                future.result()
        else:
            for i in range(count):
                with writing(store.engine) as connection:
                    job(i)(connection)
        rates[name] = count / (time.perf_counter() - began)
        store.close()
    return rates


def model_server() -> FastAPI:
    """An OpenAI-compatible server that says a word every few milliseconds."""
    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def complete() -> StreamingResponse:
        async def words() -> AsyncIterator[str]:
            for i in range(WORDS):
                yield f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': f'word{i} '}}]})}\n\n"
                await asyncio.sleep(GAP_S)
            yield 'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'

        return StreamingResponse(words(), media_type="text/event-stream")

    return app


@contextmanager
def serving(app: FastAPI) -> Iterator[str]:
    """Serve an app from a thread."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=2))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
    listening.close()


async def first_words(streams: int, ask: Callable[[httpx.AsyncClient, int], Any]) -> list[float]:
    """Seconds to the first word of each of several streams that begin together."""
    limits = httpx.Limits(max_connections=streams, max_keepalive_connections=streams)
    async with httpx.AsyncClient(timeout=60, limits=limits, trust_env=False) as http:

        async def one(i: int) -> float:
            began = time.perf_counter()
            first = 0.0
            async with ask(http, i) as response:
                async for raw in response.aiter_bytes():
                    if not first and b"word0" in raw:
                        first = time.perf_counter() - began
            return first

        return list(await asyncio.gather(*(one(i) for i in range(streams))))


def quantile(values: list[float], q: float) -> float:
    """The q-quantile in milliseconds."""
    return sorted(values)[min(len(values) - 1, int(q * len(values)))] * 1000


def added_latency(folder: Path, streams: int, rounds: int) -> None:
    """Print the first word's delay of the bare server and of the service, in turn."""
    most = {"messages_per_minute": 10**6, "messages_per_day": 10**6, "address_per_minute": 10**6, "streams": 10**6}
    settings = ServeSettings.model_validate({"site": {"secure_cookies": False}, "collect": {"limits": most}})
    store = Store.open(str(folder / "chat.db"), keys=folder / "keys.json")
    with serving(model_server()) as model:
        app = create_app(settings, store, HttpUpstream(f"{model}/v1", "m"))
        with serving(app) as service:
            people = [_visitor(service) for _ in range(streams)]
            serial = iter(range(10**9))

            def bare(http: httpx.AsyncClient, i: int) -> Any:
                return http.stream("POST", f"{model}/v1/chat/completions", json={"messages": []})

            def through(http: httpx.AsyncClient, i: int) -> Any:
                headers, conversation = people[i]
                body = {"content": "hello", "client_msg_id": f"b{next(serial)}"}
                path = f"{service}/api/v1/conversations/{conversation}/messages"
                return http.stream("POST", path, json=body, headers=headers)

            added = []
            for _ in range(rounds):
                one, two = (asyncio.run(first_words(streams, ask)) for ask in (bare, through))
                added.append([quantile(two, q) - quantile(one, q) for q in (0.5, 0.95)])
    store.close()
    p50, p95 = (statistics.median(column) for column in zip(*added, strict=True))
    print(f"first word, {streams} streams at once: the service adds {p50:.0f} ms (p50), {p95:.0f} ms (p95)")


def _visitor(service: str) -> tuple[dict[str, str], str]:
    with httpx.Client(base_url=service, timeout=30) as http:
        now = http.get("/api/v1/consent/current").json()
        terms = {"version": now["version"], "sha256": now["sha256"], "accepted": True, "age_confirmed": True}
        token = http.post("/api/v1/consent/terms", json=terms).json()["visit"]
        headers = {"authorization": f"Bearer {token}"}
        http.post("/api/v1/consent/publication", json={"version": "1", "decision": "publish"}, headers=headers)
        return headers, http.post("/api/v1/conversations", headers=headers).json()["id"]


def main() -> None:
    """Print durable messages a second and the added latency."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            for name, rate in durable_messages(Path(folder), options.messages).items():
                found.setdefault(name, []).append(rate)
    for name, rates in found.items():
        print(f"durable messages, {name}: {statistics.median(rates):,.0f}/s ({min(rates):,.0f} to {max(rates):,.0f})")
    ratios = [b / a for a, b in zip(*found.values(), strict=True)]
    print(f"ratio of pairs of runs: {statistics.median(ratios):.1f}")
    with tempfile.TemporaryDirectory() as folder:
        added_latency(Path(folder), options.streams, options.rounds)


if __name__ == "__main__":
    main()
