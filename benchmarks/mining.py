"""Mining a large log: seconds, rows/s and peak memory, on a WildChat file made by replication with edits.

The reference has published no mining code, so there is no peer to run beside it. The file has the columns of
WildChat-1M, moderation included. Each row is a path of the OpenAssistant sample in which half of the words of each user
turn are exchanged, so that rows are as different as real ones; 4 % repeat an earlier row word for word and 4 % with two
words changed. One user in five has several conversations, 45 % of the rows are in other languages, 8 % are toxic.

    python benchmarks/mining.py [--rows 100000] [--folder DIR] [--workers 2] [--json]

The file is kept in DIR and used again. Memory is the largest sum over the processes, sampled ten times a second.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any

SHARED = Path(os.environ.get("AGORA_SHARED", Path(__file__).resolve().parents[2] / "shared"))
CHUNK = 10_000
LANGUAGES = ("English", "Chinese", "Russian", "French", "Spanish")
LANGUAGE_WEIGHTS = (55, 18, 14, 7, 6)


def templates() -> list[list[str]]:
    """Paths of the sample that begin with a request, as texts in turn."""
    from agora.core.tables import Rejects
    from agora.curate.importers import import_conversations

    path = SHARED / "data/wildchat/formats/oasst_en_100_trees.jsonl.gz"
    found = import_conversations(path, rejects=Rejects())
    return [[m.content for m in turns] for conversation in found for turns in conversation.paths()]


class Rows:
    """Rows of the file, and what was planted among them."""

    def __init__(self, seed: int = 0) -> None:
        self.rng = random.Random(seed)
        self.templates = templates()
        self.words = sorted({word for turns in self.templates for turn in turns for word in turn.split()})
        self.recent: list[list[str]] = []
        self.exact = self.near = 0

    def turns(self) -> list[str]:
        """The turns of the next row."""
        draw = self.rng.random()
        if draw < 0.08 and self.recent:
            turns = list(self.rng.choice(self.recent))
            if draw < 0.04:
                self.exact += 1
                return turns
            self.near += 1
            last = (len(turns) - 1) // 2 * 2  # the last of the user's
            words = turns[last].split() or [""]
            for _ in range(2):
                words[self.rng.randrange(len(words))] = self.rng.choice(self.words)
            turns[last] = " ".join(words)
            return turns
        template = self.rng.choice(self.templates)
        turns = [self._edited(turn) if i % 2 == 0 else turn for i, turn in enumerate(template)]
        if len(self.recent) < 50_000:
            self.recent.append(turns)
        else:
            self.recent[self.rng.randrange(50_000)] = turns
        return turns

    def _edited(self, turn: str) -> str:
        random_ = self.rng.random
        size = len(self.words)
        return " ".join(self.words[int(random_() * size)] if random_() < 0.5 else word for word in turn.split())

    def chunks(self, n: int) -> Iterator[list[dict[str, Any]]]:
        """Rows without their moderation columns, a chunk at a time."""
        rng, start = self.rng, datetime(2023, 4, 9, tzinfo=UTC)
        for first in range(0, n, CHUNK):
            chunk = []
            for i in range(first, min(first + CHUNK, n)):
                turns = self.turns()
                language = rng.choices(LANGUAGES, LANGUAGE_WEIGHTS)[0]
                user = int(n / 5 * rng.random() ** 2)
                address = blake2b(b"%d" % user, digest_size=32).hexdigest()
                header = {"accept-language": "en-US,en;q=0.9", "user-agent": f"browser {user % 7}"}
                time_ = start + timedelta(seconds=rng.randrange(30_000_000))
                toxic = rng.random() < 0.08
                who = {"country": "Norland", "state": None, "hashed_ip": address, "header": header}
                nobody = dict.fromkeys(who)
                talk = [
                    {
                        **(who if k % 2 == 0 else nobody),
                        "content": turn,
                        "role": "user" if k % 2 == 0 else "assistant",
                        "language": language,
                        "redacted": False,
                        "timestamp": time_ if k % 2 else None,
                        "toxic": toxic,
                        "turn_identifier": i * 10 + k // 2,
                    }
                    for k, turn in enumerate(turns)
                ]
                chunk.append(
                    {
                        **who,
                        "conversation_hash": blake2b(b"%d" % i, digest_size=16).hexdigest(),
                        "model": "gpt-3.5-turbo-0301",
                        "timestamp": time_,
                        "conversation": talk,
                        "turn": (len(turns) + 1) // 2,
                        "language": language,
                        "toxic": toxic,
                        "redacted": False,
                    }
                )
            yield chunk


def make_file(path: Path, n: int) -> dict[str, int]:
    """Write the log with ``n`` rows; returns what was planted."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from agora.curate.importers.schemas import published_schema

    schema = published_schema("wildchat-1m")
    rows = Rows()
    scores = np.random.default_rng(0)
    moderation = {name: _moderation(schema.field(name).type, scores) for name in _MODERATION}
    temporary = path.with_suffix(".part")
    with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for chunk in rows.chunks(n):
            columns = []
            for field in schema:
                if field.name in _MODERATION:
                    taken = moderation[field.name].take(pa.array(scores.integers(0, 1000, len(chunk))))
                    columns.append(taken)
                else:
                    columns.append(pa.array([row[field.name] for row in chunk], type=field.type))
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
    temporary.rename(path)
    return {"exact": rows.exact, "near": rows.near}


_MODERATION = ("openai_moderation", "detoxify_moderation")


def _moderation(kind: Any, scores: Any) -> Any:
    """1,000 values of a moderation column with random scores, one entry for each of two to ten turns."""
    import pyarrow as pa
    import pyarrow.types as pt

    def value(type_: Any) -> Any:
        if pt.is_struct(type_):
            return {field.name: value(field.type) for field in type_}
        return bool(scores.random() < 0.01) if pt.is_boolean(type_) else float(scores.random())

    listed = [[value(kind.value_type) for _ in range(int(scores.integers(2, 11)))] for _ in range(1000)]
    return pa.array(listed, type=kind)


class Memory:
    """The most memory that a process and its children held at one time, in MiB."""

    def __init__(self, pid: int) -> None:
        self.pid, self.peak = pid, 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            self.peak = max(self.peak, sum(map(_resident, self._family())))

    def _family(self) -> list[int]:
        found, todo = [], [self.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                try:
                    todo += [int(child) for child in task.read_text().split()]
                except OSError:
                    continue
        return found


def _resident(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * resource.getpagesize() / 2**20


def _cpu_seconds() -> float:
    """Of all finished children, which other work on the machine does not stretch as it does the clock's."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(log: Path, workers: int) -> dict[str, Any]:
    """One run of the command in a fresh folder."""
    with tempfile.TemporaryDirectory(dir=log.parent) as folder:
        out = Path(folder) / "run"
        command = ["judge", "mine", "--conversations", str(log), "--out", str(out), "--workers", str(workers), "--json"]
        began, before = time.perf_counter(), _cpu_seconds()
        process = subprocess.Popen([sys.executable, "-m", "agora.cli", *command], stdout=subprocess.PIPE, text=True)
        with Memory(process.pid) as memory:
            text, _ = process.communicate()
        seconds, cpu = time.perf_counter() - began, _cpu_seconds() - before
        if process.returncode:
            raise SystemExit(process.returncode)
        stages = json.loads((out / "run.json").read_text())["stages"]
        disk = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    told = json.loads(text)
    steps = told["funnel"]["steps"]
    rows = steps[0]["in"]
    return {
        "rows": rows,
        "seconds": round(seconds, 1),
        "cpu_s": round(cpu, 1),
        "rows_per_s": round(rows / seconds),
        "stages_s": {name: stage["seconds"] for name, stage in stages.items()},
        "peak_mib": round(memory.peak),
        "written_mib": round(disk / 2**20),
        "compared": next(step["in"] for step in steps if step["step"] == "not a duplicate"),
        "duplicates": next(step["reasons"] for step in steps if step["step"] == "not a duplicate"),
        "tasks": told["num_tasks"],
    }


def main() -> None:
    """Make the file, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--folder", type=Path, help="where the file is kept; default: a temporary folder")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    try:
        log = folder / f"wildchat_{options.rows}.parquet"
        began = time.perf_counter()
        planted = make_file(log, options.rows) if not log.exists() else None
        told: dict[str, Any] = {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
            "file_mib": round(log.stat().st_size / 2**20),
            "made_in_s": round(time.perf_counter() - began, 1) if planted else None,
            "planted": planted,
        }
        told |= measure(log, options.workers)
    finally:
        if options.folder is None:
            shutil.rmtree(folder)
    if options.json:
        print(json.dumps(told))
        return
    for name, value in told.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
