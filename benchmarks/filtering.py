"""Filtering labeled rows: `agora curate filter` beside `datasets.filter`, which Magpie's notebooks use.

The same work on the same JSON Lines: keep good, not too easy rows of high reward that are no duplicates, without
answers that go in circles, and of these the longest answers. Ours also writes a reason for every other row and the
funnel; the peer only writes what stays. Each runs in a process of its own; seconds of the clock and of processor time,
and peak memory.

    python benchmarks/filtering.py [--rows 1000000] [--repeats 1]

And how many labelers' replies a second are read (`--replies`), beside `json_repair.loads` on the same replies.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

WHERE = "quality >= good and difficulty >= easy and dup.keeper and reward > -12 and repeats(answer) < 0.5"
_QUALITY = ("very poor", "poor", "average", "good", "excellent")
_DIFFICULTY = ("very easy", "easy", "medium", "hard", "very hard")
_WORDS = "the of a to and in is you that it for with as are this on be an or by from at have not can more one".split()  # noqa: SIM905


def make_file(path: Path, rows: int) -> None:
    """Conversations of about 1 kB with all labels."""
    rng = random.Random(0)
    with path.open("w") as file:
        for i in range(rows):
            answer = " ".join(rng.choices(_WORDS, k=rng.randint(20, 150)))
            row = {
                "schema": "conversation/1",
                "id": f"row{i}",
                "messages": [
                    {"role": "user", "content": f"Question {i}?", "id": "0", "parent": None, "meta": {}},
                    {"role": "assistant", "content": answer, "id": "1", "parent": "0", "meta": {}},
                ],
                "provenance": {"source": "benchmark", "source_id": str(i), "licence": "CC0", "consent": "none"},
                "tags": {
                    "quality": {"value": rng.choice(_QUALITY), "status": "ok"},
                    "difficulty": {"value": rng.choice(_DIFFICULTY), "status": "ok"},
                    "reward": {"value": rng.uniform(-20, 0), "status": "ok"},
                    "dedup": {"keeper_id": f"row{i}" if rng.random() < 0.9 else "row0", "nn_distance": rng.random()},
                },
                "meta": {},
            }
            file.write(json.dumps(row) + "\n")


def ours(source: Path, out: Path, top: int, workers: int = 1) -> int:
    """Our filter; returns the rows kept."""
    from agora.curate.filter_file import filter_file

    return filter_file(source, out, f"{WHERE} then top {top} by len(answer)", workers=workers).n_out


def peer(source: Path, out: Path, top: int) -> int:
    """`datasets`: load, filter by a function, sort by a column, take the first."""
    import datasets

    from agora.curate.text import repeated_share

    datasets.disable_progress_bars()

    def keep(row: dict) -> bool:  # type: ignore[type-arg]
        tags = row["tags"]
        return (
            tags["quality"]["value"] in ("good", "excellent")
            and tags["difficulty"]["value"] in _DIFFICULTY[1:]
            and tags["dedup"]["keeper_id"] == row["id"]
            and tags["reward"]["value"] > -12
            and repeated_share(row["messages"][-1]["content"]) < 0.5
        )

    data = datasets.load_dataset("json", data_files=str(source), split="train", cache_dir=str(out.parent / "hf"))
    data = data.filter(keep, load_from_cache_file=False)
    data = data.map(lambda row: {"length": len(row["messages"][-1]["content"])}, load_from_cache_file=False)
    data = data.sort("length", reverse=True).select(range(min(top, len(data))))
    data.to_json(str(out))
    return len(data)


def measured(who: str, source: Path, folder: Path, top: int) -> dict[str, float]:
    """One run in a process of its own."""
    command = [sys.executable, __file__, "--one", who, "--source", str(source), "--out", str(folder), "--top", str(top)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def cpu_seconds() -> float:
    """Processor time so far, children that ended included."""
    return sum(sum(resource.getrusage(whose)[:2]) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def one(who: str, source: Path, folder: Path, top: int) -> None:
    """What the child process does."""
    began, cpu = time.perf_counter(), cpu_seconds()
    ways: dict[str, Callable[[Path, Path, int], int]]
    ways = {"ours": ours, "ours, two processes": partial(ours, workers=2), "peer": peer}
    work = ways[who]
    kept = work(source, folder / f"{who.partition(',')[0]}.jsonl", top)
    told = {
        "kept": kept,
        "seconds": time.perf_counter() - began,
        "cpu": cpu_seconds() - cpu,
        "gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }
    print(json.dumps(told))


def replies_per_second(n: int) -> None:
    """Read labels out of replies in several dresses."""
    import json_repair

    from agora.curate.labels.kinds import KINDS
    from agora.curate.labels.prompting import parse_label

    rng, kind = random.Random(0), KINDS["quality"]
    replies = []
    for _ in range(n):
        text = json.dumps(
            {"explanation": "Clear and short. " * 8, "quality": rng.choice(_QUALITY), "verdict_id": "0a1b2c3d"}
        )
        dress = rng.choice(["{}", "```json\n{}\n```", "Here it is:\n{}\nDone."])
        replies.append(dress.replace("{}", text))

    def read(parse: Callable[[str], object]) -> float:
        rates = []
        for _ in range(5):
            start = time.process_time()
            for reply in replies:
                parse(reply)
            rates.append(n / (time.process_time() - start))
        return statistics.median(rates)

    mine = read(lambda reply: parse_label(kind, reply, "0a1b2c3d", needs_code=True))
    theirs = read(json_repair.loads)
    print(f"replies read: ours {mine:,.0f}/s, json_repair.loads {theirs:,.0f}/s ({mine / theirs:.1f}x)")


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--replies", type=int, default=20_000)
    for name in ("--one", "--source", "--out"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--top", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one(given.one, Path(given.source), Path(given.out), given.top)
        return
    if given.replies:
        replies_per_second(given.replies)
    if not given.rows:
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "rows.jsonl"
        make_file(source, given.rows)
        print(f"{given.rows:,} rows, {source.stat().st_size / 1e6:,.0f} MB")
        medians = {}
        for who in ("ours", "ours, two processes", "peer"):
            runs = [measured(who, source, folder, given.rows // 10) for _ in range(given.repeats)]
            medians[who] = statistics.median(run["cpu"] for run in runs)
            last = runs[-1]
            seconds = ", ".join(f"{run['seconds']:.1f}" for run in runs)
            print(f"{who}: {seconds} s; {medians[who]:.1f} s of CPU; {last['gb']:.2f} GB; kept {last['kept']:,}")
        print(f"ratio of CPU seconds, peer / ours: {medians['peer'] / medians['ours']:.2f}")


if __name__ == "__main__":
    main()
