"""Judged answers per second against a local server of fixed latency, beside the server's own limit and two peers.

The server is a process of its own, answers every call after the same time and keeps up with far more calls than are
asked here; with C calls in flight and a latency of L seconds nobody can get more than C / L.

- limit: C / L, and what a client that does nothing but send the same bytes over C connections gets (measured);
- ours: `judge_into` with a run folder: prompts filled, replies parsed, every reply in the cache and every verdict in
  the file as it comes;
- peer 1: the `openai` client as its users run it (AsyncOpenAI, a semaphore, `json.loads`), nothing stored;
- peer 2: one call at a time, as the published evaluation asks (a few calls, extrapolated).

Then the restart: half of the answers are judged, a second run gets all of them; how long until its first call. The
memory: resident size after a quarter of the calls and at the end. And ours alone, without HTTP: 12,000 verdicts by an
engine that answers at once: CPU seconds, memory, and how long a second run takes to skip them all.

    python benchmarks/judging.py [--calls 6400] [--in-flight 64] [--latency 0.2] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("AGORA_PROGRESS", "0")

_MARK = b'verdict_id\\": \\"'


def serve(port: Any, latency_s: float) -> None:
    """An HTTP/1.1 server that answers each POST after ``latency_s`` with a verdict, and tells when it was called."""
    times: list[float] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET /v1/times"):
                    body = json.dumps(times).encode()
                    times.clear()
                elif head.startswith(b"GET"):
                    body = b'{"data": []}'
                else:
                    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                    sent = await reader.readexactly(length)
                    times.append(time.time())
                    await asyncio.sleep(latency_s)
                    at = sent.rfind(_MARK) + len(_MARK)
                    body = answer(sent[at : at + 16].decode())
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
                )
                writer.write(body)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0, limit=1 << 22, backlog=512)
        port.value = server.sockets[0].getsockname()[1]
        async with server:
            await server.serve_forever()

    asyncio.run(run())


def answer(token: str) -> bytes:
    """A reply of the usual length (about 230 tokens)."""
    said = "The answer names the facts that the user asked for and explains how they hang together. " * 6
    verdict = {"strengths": said, "weaknesses": said, "score": "7", "verdict_id": token}
    choice = {"index": 0, "message": {"role": "assistant", "content": json.dumps(verdict)}, "finish_reason": "stop"}
    return json.dumps({"choices": [choice], "usage": {"prompt_tokens": 1700, "completion_tokens": 230}}).encode()


def benchmark(num_calls: int) -> tuple[Any, list[Any]]:
    """Tasks with prompts of WildBench's usual length (1,700 tokens with the answer), and answers of ten models."""
    from agora.core.records import Answer, Message, Task
    from agora.rooms.judge import TaskSet

    rng = random.Random(0)
    words = ["analysis", "river", "seven", "because", "model", "answer", "user", "long", "write", "city", "green", "of"]

    def text(n: int) -> str:
        return " ".join(rng.choices(words, k=n))

    num_tasks = num_calls // 10
    checklist = tuple(f"{text(12)}?" for _ in range(7))
    tasks = TaskSet(
        tuple(Task(f"t{i}", "speed", "1", (Message("user", text(150)),), checklist) for i in range(num_tasks))
    )
    return tasks, [Answer(task.id, f"m{m}", text(450)) for m in range(10) for task in tasks]


def judge(folder: Path, tasks: Any, answers: Sequence[Any], url: str, in_flight: int) -> None:
    """Ours."""
    from agora.rooms.judge.asking.judging import JudgingSettings, Means, judge_into, make_docket

    settings = JudgingSettings(judges=(f"speed={url}#m",))
    docket = make_docket(tasks, answers, settings)
    judging = judge_into(folder, docket, settings, Means(concurrency=in_flight))
    assert dict(judging.judges[0].fates) == {"ok": len(answers)}


def bodies(tasks: Any, answers: Sequence[Any]) -> list[bytes]:
    """What ours sends, as bytes."""
    from agora.rooms.judge.asking.prompting import fill
    from agora.rooms.judge.types import ScoreItem

    found = []
    for each in answers:
        text = fill(ScoreItem(tasks.by_id[each.task_id], each), "n").text
        body = {"model": "m", "messages": [{"role": "user", "content": text}], "max_tokens": 1024, "temperature": 0.0}
        found.append(json.dumps(body).encode())
    return found


async def raw_client(port: int, payloads: Sequence[bytes], in_flight: int) -> None:
    """Nothing but bytes over kept connections: what the server can give."""
    waiting = iter(payloads)

    async def worker() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
        for body in waiting:
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
        writer.close()

    await asyncio.gather(*(worker() for _ in range(in_flight)))


async def openai_client(url: str, payloads: Sequence[bytes], in_flight: int) -> None:
    """The `openai` package with a semaphore."""
    from openai import AsyncOpenAI

    client = AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
    gate = asyncio.Semaphore(in_flight)

    async def one(body: dict[str, Any]) -> float:
        async with gate:
            reply = await client.chat.completions.create(**body)
        return float(json.loads(reply.choices[0].message.content or "")["score"])

    found = await asyncio.gather(*(one(json.loads(body)) for body in payloads))
    assert len(found) == len(payloads)
    await client.close()


def call_times(port: int) -> list[float]:
    """When the server was called since it was last asked."""
    import httpx

    found: list[float] = httpx.get(f"http://127.0.0.1:{port}/v1/times", timeout=30, trust_env=False).json()
    return found


def resident_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def watch_memory(stop: Any, found: list[tuple[float, float]]) -> None:
    """Resident memory every tenth of a second."""
    while not stop.is_set():
        found.append((time.time(), resident_mb()))
        stop.wait(0.1)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """All of it, in one run."""
    import threading

    tasks, answers = benchmark(args.calls)
    context = multiprocessing.get_context("spawn")
    port = context.Value("i", 0)
    server = context.Process(target=serve, args=(port, args.latency), daemon=True)
    server.start()
    while not port.value:
        time.sleep(0.02)
    url = f"http://127.0.0.1:{port.value}/v1"
    limit = args.in_flight / args.latency
    found: dict[str, Any] = {"calls": len(answers), "in_flight": args.in_flight, "latency_s": args.latency}
    rates: dict[str, list[float]] = {"bare connections": [], "ours": [], "openai client": []}
    try:
        payloads = bodies(tasks, answers)
        with tempfile.TemporaryDirectory() as scratch:
            call_times(port.value)
            for round_ in range(args.rounds):
                asyncio.run(raw_client(port.value, payloads, args.in_flight))
                rates["bare connections"].append(rate(call_times(port.value), args.latency))
                stop, memory = threading.Event(), list[tuple[float, float]]()
                watcher = threading.Thread(target=watch_memory, args=(stop, memory))
                watcher.start()
                start = time.perf_counter()
                judge(Path(scratch) / f"run{round_}", tasks, answers, url, args.in_flight)
                found["ours_wall_s"] = time.perf_counter() - start
                stop.set()
                watcher.join()
                times = call_times(port.value)
                rates["ours"].append(rate(times, args.latency))
                found["memory_mb"] = memory_growth(memory, times)
                if not args.no_openai:
                    asyncio.run(openai_client(url, payloads, args.in_flight))
                    rates["openai client"].append(rate(call_times(port.value), args.latency))
            asyncio.run(raw_client(port.value, payloads[:10], 1))
            serial = rate(call_times(port.value), args.latency)
            judge(Path(scratch) / "half", tasks, answers[: len(answers) // 2], url, args.in_flight)
            call_times(port.value)
            started = time.time()
            judge(Path(scratch) / "half", tasks, answers, url, args.in_flight)
            times = call_times(port.value)
            found["restart"] = {
                "skipped": len(answers) // 2,
                "first_call_after_s": times[0] - started,
                "asked": len(times),
            }
    finally:
        server.terminate()
        server.join()
    found["limit_calls_per_s"] = limit
    found["without_http"] = without_http()
    medians = {name: statistics.median(values) for name, values in rates.items() if values}
    found["calls_per_s"] = {**medians, "one at a time": serial}
    found["share_of_limit"] = {name: value / limit for name, value in found["calls_per_s"].items()}
    return found


class InstantEngine:
    """Answers at once, and notes the resident memory on the way."""

    uri, revision, capabilities = "speed:instant", "", frozenset({"chat"})

    def __init__(self) -> None:
        self.memory: list[float] = []

    def chat(self, requests: Any) -> Any:
        """The usual reply with the code that was asked for."""
        from agora.engines.types import Generation, Usage

        for request in requests:
            self.memory.append(resident_mb())
            token = request.messages[0]["content"].rsplit('"verdict_id": "', 1)[1][:16]
            text = json.loads(answer(token))["choices"][0]["message"]["content"]
            yield Generation(request.id, text, "stop_token", usage=Usage(1700, 230))

    def close(self) -> None:
        """Nothing is open."""


def without_http(num_calls: int = 12_000) -> dict[str, float]:
    """What judging costs beside the calls."""
    from agora.engines.cache import CachedEngine
    from agora.rooms.judge.asking.llm import LlmJudge
    from agora.rooms.judge.asking.score import score_items, settle
    from agora.rooms.judge.asking.verdicts import VerdictFile

    items, engine = score_items(*benchmark(num_calls)), InstantEngine()
    with tempfile.TemporaryDirectory() as scratch:
        judge = LlmJudge(CachedEngine(engine, Path(scratch) / "cache.sqlite"), name="speed")  # type: ignore[arg-type]
        file, prompt = Path(scratch) / "verdicts.jsonl", judge.prompt("score")
        start = time.process_time()
        with VerdictFile(file, judge.name, prompt, "score") as stored:
            settle(items, judge, judge.score, stored)
        cpu = time.process_time() - start
        begun = time.perf_counter()
        with VerdictFile(file, judge.name, prompt, "score") as stored:
            assert settle(items, judge, judge.score, stored) == 0
        skipped = time.perf_counter() - begun
    quarter = engine.memory[len(items) // 4]
    growth = (engine.memory[-1] - quarter) / (0.75 * len(items)) * 1000
    return {"verdicts": len(items), "cpu_ms_each": 1e3 * cpu / len(items), "skip_s": skipped, "mb_per_1000": growth}


def rate(times: Sequence[float], latency_s: float) -> float:
    """Calls per second from the first call to the last reply."""
    return len(times) / (max(times) - min(times) + latency_s)


def memory_growth(memory: Sequence[tuple[float, float]], times: Sequence[float]) -> dict[str, float]:
    """Resident size when a quarter of the calls were made (buffers are warm then), and at the last."""
    quarter, last = sorted(times)[len(times) // 4], max(times)
    early = next(size for at, size in memory if at >= quarter)
    late = max(size for at, size in memory if at <= last)
    return {
        "after_a_quarter": early,
        "at_the_end": late,
        "growth_per_1000_calls": (late - early) / (0.75 * len(times)) * 1e3,
    }


def main() -> None:
    """Measure and print a table or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=6400)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--no-openai", action="store_true", help="leave the openai client out")
    parser.add_argument("--json", action="store_true")
    found = measure(parser.parse_args())
    if found and "--json" in sys.argv:
        print(json.dumps(found))
        return
    print(f"{found['calls']:,} calls, {found['in_flight']} in flight, {found['latency_s']:g} s each; limit", end=" ")
    print(f"{found['limit_calls_per_s']:.0f} calls/s")
    for name, value in found["calls_per_s"].items():
        print(f"  {name:18} {value:7.1f} calls/s  {100 * found['share_of_limit'][name]:5.1f} % of the limit")
    restart, memory, alone = found["restart"], found["memory_mb"], found["without_http"]
    print(f"restart: {restart['skipped']:,} verdicts skipped, first call after {restart['first_call_after_s']:.2f} s")
    print(
        f"memory: {memory['after_a_quarter']:.0f} MB after a quarter, {memory['at_the_end']:.0f} MB at the end "
        f"({memory['growth_per_1000_calls']:.2f} MB per 1,000 calls)"
    )
    print(
        f"without HTTP: {alone['verdicts']:,} verdicts, {alone['cpu_ms_each']:.2f} ms of CPU each, "
        f"{alone['mb_per_1000']:.2f} MB per 1,000, all skipped by a second run in {alone['skip_s']:.2f} s"
    )


if __name__ == "__main__":
    main()
