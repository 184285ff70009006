"""The chat service: durable messages a second, and what it adds to a model's first word.

    python benchmarks/collection.py [--messages 2000] [--streams 50] [--rounds 5] [--steady-s 20]

Durable messages: the peer is the plain way, one transaction for each message with the same durability (SQLite,
``synchronous=FULL``); ours is the store's writer, where messages that wait together share a commit. Both write the same
rows: a message, the beginning of its reply, and their two events in the hash chain, after a look at the consent.

First word: the peer is the bare model server, asked by the same people over kept connections; ours is ``agora serve``
in front of it, which checks consent and limits and puts the message on disk before it asks. Model server, service and
people are three processes. Two ways of arriving: all ``--streams`` people at one instant, and a steady stream of them,
each asking again a moment after the last answer, so that about ``--streams`` streams are open at any time. Nothing
leaves 127.0.0.1.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from parts.service import service, visiting
from parts.streams import Heard, listener, model_server, post, quantile
from sqlalchemy import Connection

from agora.rooms.collect import conversations
from agora.rooms.collect.sending import Reply, keep_message
from agora.rooms.collect.types import NewMessage, Params
from agora.store import Store
from agora.store.consent import ConsentText, Visitor, accept_terms, decide_publication, find_subject
from agora.store.database import writing

REPLY = Reply("m", Params(), "writer")
TEXT = ConsentText("1", "en", "terms", "publication")
WORDS, WORDS_A_SECOND = 100, 25.0
QUANTILES = {"p50": 0.5, "p95": 0.95, "max": 1.0}
Ask = Callable[[int], bytes]


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

            def keep(connection: Connection) -> object:
                found = find_subject(connection, who)
                assert found is not None
                return keep_message(connection, found, new, REPLY, most_rounds=10**6, count=lambda: None)

            return keep

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


async def at_once(port: int, streams: int, ask: Ask) -> list[Heard]:
    """What people hear who all ask at one instant."""
    people = [await listener(port) for _ in range(streams)]
    heard = await asyncio.gather(*[people[i].ask(ask(i)) for i in range(streams)])
    for one in people:
        one.close()
    return list(heard)


async def steady(port: int, streams: int, seconds: float, ask: Ask, seed: int = 0) -> list[Heard]:
    """What people hear who come spread over the time of one answer and ask again shortly after each."""
    end = time.perf_counter() + seconds
    heard: list[Heard] = []

    async def one(i: int) -> None:
        rng = random.Random(f"{seed}/{i}")
        who = await listener(port)
        await asyncio.sleep(i * WORDS / WORDS_A_SECOND / streams)
        while time.perf_counter() < end:
            heard.append(await who.ask(ask(i)))
            await asyncio.sleep(rng.uniform(0, 0.2))
        who.close()

    await asyncio.gather(*(one(i) for i in range(streams)))
    return heard


def first_word(folder: Path, streams: int, rounds: int, seconds: float) -> None:
    """Print the first word's delay at the bare server and at the service, in turn."""
    serial = iter(range(10**9))
    bare_body = {"model": "m", "messages": [{"role": "user", "content": "hello"}], "stream": True}
    bare_request = post("/v1/chat/completions", bare_body)
    with model_server(WORDS, WORDS_A_SECOND) as model, service(folder, model) as served:
        people = visiting(served.port, streams)

        def bare(_: int) -> bytes:
            return bare_request

        def through(i: int) -> bytes:
            path = f"/api/v1/conversations/{people[i].conversation}/messages"
            return post(path, {"content": "hello", "client_msg_id": f"b{next(serial)}"}, people[i].token)

        asyncio.run(at_once(served.port, streams, through))  # connections and caches of a first minute
        pairs, cpu, own = [], served.cpu_s, time.process_time()
        for _ in range(rounds):
            pairs.append([asyncio.run(at_once(p, streams, a)) for p, a in ((model, bare), (served.port, through))])
        own = time.process_time() - own
        _tell(f"{streams} at one instant", pairs)
        print(
            f"  service: {1000 * (served.cpu_s - cpu) / rounds / streams:.1f} ms of CPU a message, 100 words streamed"
        )
        print(f"  people:  {1000 * own / rounds / streams / 2:.1f} ms of CPU a message")
        alone = [[asyncio.run(at_once(p, 1, a)) for p, a in ((model, bare), (served.port, through))] for _ in range(5)]
        _tell("one person alone", alone)
        cpu, busy, two = served.cpu_s, time.perf_counter(), []
        for p, a in ((model, bare), (served.port, through)):
            two.append(asyncio.run(steady(p, streams, seconds, a)))
        _tell(f"{streams} open streams, arrivals spread", [two])
        print(f"  service: {100 * (served.cpu_s - cpu) / (time.perf_counter() - busy) * 2:.0f} % of one core")


def _tell(how: str, pairs: list[list[list[Heard]]]) -> None:
    """Quantiles over all streams of the bare server and of the service; the differences are medians over rounds."""
    wrong = sum(h.first_s is None or h.words != WORDS for pair in pairs for heard in pair for h in heard)
    print(f"first word, {how} ({sum(len(pair[1]) for pair in pairs)} messages, {wrong} failed), ms:")
    for name, q in QUANTILES.items():
        bare, ours = ([quantile([h.first_s or 9e9 for h in pair[k]], q) * 1000 for pair in pairs] for k in (0, 1))
        added = statistics.median(b - a for a, b in zip(bare, ours, strict=True))
        print(f"  {name}: bare {statistics.median(bare):.1f}, service {statistics.median(ours):.1f}, added {added:.1f}")


def main() -> None:
    """Print durable messages a second and the added latency."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steady-s", type=float, default=20)
    options = parser.parse_args()
    found: dict[str, list[float]] = {}
    for _ in range(options.rounds if options.messages else 0):
        with tempfile.TemporaryDirectory() as folder:
            for name, rate in durable_messages(Path(folder), options.messages).items():
                found.setdefault(name, []).append(rate)
    for name, rates in found.items():
        print(f"durable messages, {name}: {statistics.median(rates):,.0f}/s ({min(rates):,.0f} to {max(rates):,.0f})")
    if found:
        ratios = [b / a for a, b in zip(*found.values(), strict=True)]
        print(f"ratio of pairs of runs: {statistics.median(ratios):.1f}")
    with tempfile.TemporaryDirectory() as folder:
        first_word(Path(folder), options.streams, options.rounds, options.steady_s)


if __name__ == "__main__":
    main()
