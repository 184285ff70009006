"""Near-duplicates among instructions: Agora against datasketch and datatrove, in one run.

The work, on 10,903 questions of which 2,111 are planted copies: read the file, shingle (character 5-grams), index
(128 permutations, 32 bands x 4 rows), verify candidates by exact Jaccard at 0.6, group, and write one line per row.

datatrove does less: runs of 5 words, 14 bands of 8, and no verification. It may live in an environment of its own:

    python -m venv /tmp/datatrove && /tmp/datatrove/bin/pip install datatrove orjson regex tokenizers 'xxhash<4'
    python benchmarks/near_duplicates.py --peer-python /tmp/datatrove/bin/python [--rows 20000]

    python benchmarks/near_duplicates.py [--file FILE] [--repeats 5] [--rows N] [--json]
    python benchmarks/near_duplicates.py --scale 1000000     # Agora alone on edited copies: seconds and peak memory

FILE holds rows with `id` and `text`; the default is `data/magpie/neardup_planted.jsonl.gz` under AGORA_SHARED.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from agora.core.tables import read_rows, write_jsonl
from agora.curate.duplicates import mark_duplicates
from agora.curate.text import normalize, shingles

THRESHOLD = 0.6
SHARED = Path(os.environ.get("AGORA_SHARED", Path(__file__).resolve().parents[2] / "shared"))


def with_agora(source: Path, out: Path) -> dict[str, int]:
    """The whole step by the library."""
    rows = [(r.data["id"], r.data["text"]) for r in read_rows(source)]
    marks = mark_duplicates(rows, THRESHOLD)
    write_jsonl(out, ({"id": m.id, "keeper": m.keeper, "cluster": m.cluster, "distance": m.distance} for m in marks))
    return {"rows": len(marks), "clusters": len({m.cluster for m in marks}), "kept": sum(m.kept for m in marks)}


def with_datasketch(source: Path, out: Path) -> dict[str, int]:
    """The same step the way datasketch is meant to be used: bulk MinHash, one LSH index, verification by sets."""
    from datasketch import MinHash, MinHashLSH

    rows = [(r.data["id"], normalize(r.data["text"])) for r in read_rows(source)]
    hashes = MinHash.bulk(([s.encode() for s in shingles(text)] for _, text in rows), num_perm=128, seed=42)
    index = MinHashLSH(num_perm=128, params=(32, 4))
    with index.insertion_session() as session:
        for row, value in enumerate(hashes):
            session.insert(row, value)
    sets: dict[int, frozenset[str]] = {}
    parent = list(range(len(rows)))

    def of(row: int) -> frozenset[str]:
        if row not in sets:
            sets[row] = frozenset(shingles(rows[row][1]))
        return sets[row]

    def first(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for a, value in enumerate(hashes):
        for b in index.query(value):
            if b > a:
                shared = len(of(a) & of(b))
                if shared >= THRESHOLD * (len(of(a)) + len(of(b)) - shared):
                    low, high = sorted((first(a), first(b)))
                    parent[high] = low
    clusters = [rows[first(row)][0] for row in range(len(rows))]
    write_jsonl(out, ({"id": i, "cluster": c} for (i, _), c in zip(rows, clusters, strict=True)))
    return {"rows": len(rows), "clusters": len(set(clusters))}


class Took(NamedTuple):
    """Seconds of one run: on the clock, and of one processor (which other work on the machine disturbs less)."""

    wall_s: float
    cpu_s: float


def timed(step: Callable[[Path, Path], dict[str, int]], source: Path, folder: Path) -> tuple[Took, dict[str, int]]:
    """One run of a step."""
    wall, cpu = time.perf_counter(), time.process_time()
    outcome = step(source, folder / "out.jsonl")
    return Took(time.perf_counter() - wall, time.process_time() - cpu), outcome


def with_datatrove(python: str, source: Path) -> tuple[Took, dict[str, int]]:
    """The same rows through datatrove, by another interpreter."""
    script = Path(__file__).parent / "parts/datatrove_minhash.py"
    done = subprocess.run([python, str(script), str(source.parent)], capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.splitlines()[-1])
    return Took(told["wall_s"], told["cpu_s"]), {"kept": told["kept"]}


def compare(source: Path, repeats: int, rows: int | None, peer_python: str) -> dict[str, object]:
    """All in turn, ``repeats`` times after one warm-up each."""
    times: dict[str, list[Took]] = {"agora": [], "datasketch": [], **({"datatrove": []} if peer_python else {})}
    outcomes: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "rows.jsonl"
        texts = edited(source, rows) if rows else ((r.data["id"], r.data["text"]) for r in read_rows(source))
        write_jsonl(plain, ({"id": name, "text": text} for name, text in texts))
        for turn in range(repeats + 1):
            for name in times:
                if name == "datatrove":
                    took, outcomes[name] = with_datatrove(peer_python, plain)
                else:
                    step = with_agora if name == "agora" else with_datasketch
                    took, outcomes[name] = timed(step, plain, Path(folder))
                if turn:
                    times[name].append(took)
    told: dict[str, object] = {
        "file": f"{source.name}{f', {rows:,} edited copies' if rows else ''}",
        "repeats": repeats,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}",
    }
    for kind in Took._fields:
        values = {name: [getattr(t, kind) for t in runs] for name, runs in times.items()}
        medians = {name: statistics.median(v) for name, v in values.items()}
        told[kind] = {
            "median": {name: round(m, 3) for name, m in medians.items()},
            "spread": {name: [round(min(v), 3), round(max(v), 3)] for name, v in values.items()},
            "ratio": {name: round(m / medians["agora"], 2) for name, m in medians.items() if name != "agora"},
        }
    return told | {"outcome": outcomes}


def edited(source: Path, n: int) -> list[tuple[str, str]]:
    """``n`` rows out of a file's texts, each copy with two words replaced."""
    texts = [r.data["text"] for r in read_rows(source)]
    rng = random.Random(0)
    rows = []
    for i in range(n):
        words = texts[i % len(texts)].split()
        for _ in range(2):
            words[rng.randrange(len(words))] = f"w{rng.randrange(10**6)}"
        rows.append((str(i), " ".join(words)))
    return rows


def scale(source: Path, n: int) -> dict[str, object]:
    """Agora alone on ``n`` edited copies."""
    rows = edited(source, n)
    wall, cpu = time.perf_counter(), time.process_time()
    marks = mark_duplicates(rows, THRESHOLD)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {
        "rows": n,
        "wall_s": round(wall, 1),
        "cpu_s": round(cpu, 1),
        "peak_gib": round(peak, 2),
        "kept": sum(m.kept for m in marks),
        "clusters": len({m.cluster for m in marks}),
    }


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, default=SHARED / "data/magpie/neardup_planted.jsonl.gz")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rows", type=int, help="so many edited copies in place of the file's rows")
    parser.add_argument("--peer-python", default="", help="interpreter of an environment with datatrove")
    parser.add_argument("--scale", type=int, help="rows to make from edited copies")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    told = (
        scale(options.file, options.scale)
        if options.scale
        else compare(options.file, options.repeats, options.rows, options.peer_python)
    )
    if options.json:
        print(json.dumps(told))
        return
    for name, value in told.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
