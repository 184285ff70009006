"""The chat service under load for a while: errors, what it adds to the first word, and memory.

    python benchmarks/load.py [--streams 50] [--minutes 0.5] [--idle 500]

A model server of a fixed rate, ``agora serve`` and the people are three processes. First ``--idle`` streams are opened
whose model says its first word and then nothing, and the service's memory is read; then ``--streams`` people talk for
``--minutes``: each sends a message, reads 100 words, and sends the next a moment later. The peer is the bare server
of the model, asked in the same way for a tenth of the time. Acceptance runs take ``--minutes 5``. At the end the
service is killed (``kill -9``) under that load and started again over the same store: how long until it answers, and
whether ``agora collect verify`` finds the event log whole.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
from parts.service import Served, Visiting, service, visiting
from parts.streams import Heard, Listener, listener, model_server, post, quantile

WORDS, WORDS_A_SECOND = 100, 25.0
IDLE_WORDS_A_SECOND = 0.001
BARE = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "stream": True}


class Talks:
    """Requests of people who begin a new conversation when the old one has had its rounds."""

    def __init__(self, port: int, people: list[Visiting]) -> None:
        self._people, self._serial = people, iter(range(10**9))
        self.port = port

    def ask(self, i: int) -> bytes:
        """The next message of a person."""
        path = f"/api/v1/conversations/{self._people[i].conversation}/messages"
        return post(path, {"content": "hello", "client_msg_id": f"m{next(self._serial)}"}, self._people[i].token)


async def talk(port: int, streams: int, seconds: float, ask: Callable[[int], bytes]) -> list[Heard]:
    """What people hear who ask again shortly after each answer, their beginnings spread over one answer."""
    end = time.perf_counter() + seconds
    heard: list[Heard] = []

    async def one(i: int) -> None:
        rng = random.Random(i)
        who = await listener(port)
        await asyncio.sleep(i * WORDS / WORDS_A_SECOND / streams)
        while time.perf_counter() < end:
            heard.append(await who.ask(ask(i)))
            await asyncio.sleep(rng.uniform(0, 0.2))
        who.close()

    await asyncio.gather(*(one(i) for i in range(streams)))
    return heard


async def idle(served: Served, talks: Talks, streams: int) -> float:
    """Memory of the service in MB while so many streams are open and silent."""
    people: list[Listener] = []
    for i in range(streams):
        people.append(await listener(talks.port))
        people[-1].ask(talks.ask(i))
        if i % 50 == 49:
            await asyncio.sleep(0.5)
    await asyncio.sleep(3)
    used = served.rss_mb
    for one in people:
        one.close()
    return used


async def killed(served: Served, talks: Talks, streams: int) -> None:
    """Kill the service a second after so many people have asked it."""
    for i in range(streams):
        (await listener(talks.port)).ask(talks.ask(i))
    await asyncio.sleep(1)
    os.kill(served.pid, signal.SIGKILL)


def restart(folder: Path, model: int) -> None:
    """Start a service over the store of one that was killed; print the time until it answers, and the chain's state."""
    began = time.perf_counter()
    with service(folder, model) as served:
        for _ in range(3000):
            try:
                if httpx.get(f"http://127.0.0.1:{served.port}/health", trust_env=False).status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.01)
        print(f"after kill -9 under load: it answers {time.perf_counter() - began:.2f} s after it was started again")
    command = [sys.executable, "-m", "agora.cli", "collect", "verify", "--db", str(folder / "chat.db")]
    verified = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    print(f"  the event log is whole: {verified.splitlines()[0]}")


def main() -> None:
    """Print memory with idle streams, then errors, latency and memory under load."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=0.5)
    parser.add_argument("--idle", type=int, default=500)
    options = parser.parse_args()
    if options.idle:
        with (
            tempfile.TemporaryDirectory() as folder,
            model_server(WORDS, IDLE_WORDS_A_SECOND) as model,
            service(Path(folder), model) as served,
        ):
            talks = Talks(served.port, visiting(served.port, options.idle))
            before = served.rss_mb
            used = asyncio.run(idle(served, talks, options.idle))
            print(f"{options.idle} open idle streams: {used:.0f} MB resident, {before:.0f} MB before")
    with (
        tempfile.TemporaryDirectory() as folder,
        model_server(WORDS, WORDS_A_SECOND) as model,
        service(Path(folder), model) as served,
    ):
        talks = Talks(served.port, visiting(served.port, options.streams))
        seconds = options.minutes * 60
        bare = asyncio.run(talk(model, options.streams, max(5.0, seconds / 10), lambda _: post_bare))
        asyncio.run(talk(served.port, options.streams, 5, talks.ask))  # a first minute's caches
        memory, cpu, own, began = served.rss_mb, served.cpu_s, time.process_time(), time.perf_counter()
        ours = asyncio.run(talk(served.port, options.streams, seconds, talks.ask))
        took = time.perf_counter() - began
        cpu, own = served.cpu_s - cpu, time.process_time() - own
        wrong = sum(h.first_s is None or h.words != WORDS or h.status != 200 for h in ours)
        print(f"{options.streams} streams for {took / 60:.1f} minutes: {len(ours)} messages, {wrong} failed or cut")
        for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)):
            one, two = (1000 * quantile([h.first_s or 9e9 for h in heard], q) for heard in (bare, ours))
            print(f"  first word {name}: bare {one:.1f} ms, service {two:.1f} ms, added {two - one:.1f} ms")
        late = [h.end_s - WORDS / WORDS_A_SECOND for h in ours]
        print(f"  whole answer: {1000 * quantile(late, 0.5):.0f} ms (p50) over its {WORDS / WORDS_A_SECOND:.0f} s")
        print(f"  CPU: service {100 * cpu / took:.0f} %, people {100 * own / took:.0f} % of one core")
        print(f"  memory: {memory:.0f} MB at the start, {served.rss_mb:.0f} MB at the end")
        print(f"  memory of the process beside it: {served.beside_mb:.0f} MB")
        asyncio.run(killed(served, talks, options.streams))
        restart(Path(folder), model)


post_bare = post("/v1/chat/completions", BARE)

if __name__ == "__main__":
    main()
