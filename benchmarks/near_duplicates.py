"""Near-duplicates among instructions: Agora against datasketch on the same work, in one run.

The work, on 10,903 questions of which 2,111 are planted copies: read the file, shingle (character 5-grams), index
(128 permutations, 32 bands x 4 rows), verify candidates by exact Jaccard at 0.6, group, and write one line per row.

    python benchmarks/near_duplicates.py [--file FILE] [--repeats 5] [--json]
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


def compare(source: Path, repeats: int) -> dict[str, object]:
    """Both in turn, ``repeats`` times after one warm-up each."""
    times: dict[str, list[Took]] = {"agora": [], "datasketch": []}
    outcomes: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(repeats + 1):
            for name, step in (("agora", with_agora), ("datasketch", with_datasketch)):
                took, outcomes[name] = timed(step, source, Path(folder))
                if turn:
                    times[name].append(took)
    told: dict[str, object] = {
        "file": source.name,
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
            "ratio": round(medians["datasketch"] / medians["agora"], 2),
        }
    return told | {"outcome": outcomes}


def scale(source: Path, n: int) -> dict[str, object]:
    """Agora alone on ``n`` rows: the file's texts, each copy with two words replaced."""
    texts = [r.data["text"] for r in read_rows(source)]
    rng = random.Random(0)
    rows = []
    for i in range(n):
        words = texts[i % len(texts)].split()
        for _ in range(2):
            words[rng.randrange(len(words))] = f"w{rng.randrange(10**6)}"
        rows.append((str(i), " ".join(words)))
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
    parser.add_argument("--scale", type=int, help="rows to make from edited copies")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    told = scale(options.file, options.scale) if options.scale else compare(options.file, options.repeats)
    if options.json:
        print(json.dumps(told))
        return
    for name, value in told.items():
        print(f"{name}: {value}")


if __name__ == "__main__":
    main()
