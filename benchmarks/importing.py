"""Files into the store, and rows of a log joined: conversations a second and where the time goes.

    python benchmarks/importing.py [--conversations 10000] [--turns 20000]

Import: rows in WildChat-1M's schema, drawn from the fixture and real messages. The peer is the plain way over the same
rows, one conversation and one statement at a time, in commits of 200; ours is ``import_into_store``. Both are measured
in CPU seconds of the process, which other work on the machine blurs less than the clock.

Linking: the cost of a turn as a log grows fourfold, which tells whether it is linear.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import pickle
import random
import resource
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from agora.core.garbage import rare_collections
from agora.core.tables import Rejects, Row, read_slice
from agora.curate.importers import import_conversations
from agora.curate.importers.detect import format_named
from agora.curate.importers.read import convert_row
from agora.rooms.collect.importing import import_into_store
from agora.rooms.collect.incoming import insert_ready
from agora.rooms.collect.linking.reference import link_reference
from agora.rooms.collect.linking.rows import WILDCHAT_LOG, read_logs
from agora.rooms.collect.linking.tree import link_tree
from agora.rooms.collect.ready import make_ready
from agora.store import Store

T = TypeVar("T")
SHARED = Path(os.environ.get("AGORA_SHARED", "../shared")) / "data/wildchat"


def texts() -> list[str]:
    """The messages of the OpenAssistant sample."""
    found: list[str] = []

    def walk(node: dict[str, Any]) -> None:
        found.append(node["text"])
        for reply in node["replies"]:
            walk(reply)

    with gzip.open(SHARED / "formats/oasst_en_100_trees.jsonl.gz", "rt") as lines:
        for line in lines:
            walk(json.loads(line)["prompt"])
    return found


def make_rows(path: Path, count: int) -> None:
    """A Parquet file in WildChat-1M's schema: 1 to 5 rounds, two of them in the mean."""
    table = pq.read_table(SHARED / "schema/wildchat_1m_fixture.parquet")
    base, said, rng, turn = table.to_pylist(), texts(), random.Random(0), 0
    with pq.ParquetWriter(path, table.schema, compression="zstd") as writer:
        for start in range(0, count, 1000):
            rows = []
            for i in range(start, min(start + 1000, count)):
                row = dict(base[i % len(base)])
                rounds, talk = rng.choice([1, 1, 1, 2, 2, 3, 5]), []
                for j in range(rounds):
                    turn += 1
                    for utterance in row["conversation"][:2]:
                        told = {"content": f"{rng.choice(said)} {i} {j}", "turn_identifier": turn}
                        talk.append(utterance | told)
                row |= {"conversation": talk, "turn": rounds}
                for name in ("openai_moderation", "detoxify_moderation"):
                    row[name] = (row[name][:2] * rounds)[: 2 * rounds]
                rows.append(row)
            writer.write_table(pa.Table.from_pylist(rows, schema=table.schema))


def _cpu() -> float:
    """CPU seconds of this process and of those it waited for."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


def parts(path: Path, count: int, store: Store) -> dict[str, float]:
    """CPU seconds of each part of the way into a store by two processes, of the first rows of a file."""
    spent: dict[str, float] = defaultdict(float)

    def timed(name: str, job: Callable[..., T], *given: Any) -> T:
        began = time.process_time()
        result = job(*given)
        spent[name] += time.process_time() - began
        return result

    rows, chosen, rejects = read_slice(path, 0, count, finite=True), format_named("wildchat-1m"), Rejects()

    def convert(batch: list[Row]) -> list[Any]:
        return [convert_row(path, chosen, row, rejects, clean=True) for row in batch]

    with rare_collections():
        while batch := timed("read", lambda: list(islice(rows, 1000))):
            found = timed("convert", convert, batch)
            ready = timed("hash, compress", lambda found: list(map(make_ready, found)), found)
            ready = timed("hand over", lambda ready: pickle.loads(pickle.dumps(ready)), ready)
            timed("insert", lambda ready: store.write(lambda c: insert_ready(c, ready)), ready)
    return spent


def importing(folder: Path, count: int) -> None:
    """Conversations a CPU second, ours and the plain way, and the parts of ours."""
    path = folder / "rows.parquet"
    make_rows(path, count)
    rounds, some = [], min(count, 4000)
    for i in range(5):
        store = Store.open(str(folder / f"parts{i}.db"), keys=folder / "keys.json")
        rounds.append(parts(path, some, store))
        store.close()
    least = {name: min(spent[name] for spent in rounds) / some * 1e6 for name in rounds[0]}
    told = ", ".join(f"{name} {spent:.0f}" for name, spent in least.items())
    print(f"parts of an import, CPU microseconds a conversation, the least of five: {told}; {sum(least.values()):.0f}")
    print(f"import of {count:,} conversations, CPU microseconds each:")
    store = Store.open(str(folder / "ours.db"), keys=folder / "keys.json")
    began, clock = time.process_time(), time.perf_counter()
    import_into_store(store, path, rejects=folder / "bad.jsonl")
    ours, wall = time.process_time() - began, time.perf_counter() - clock
    began = time.process_time()
    import_into_store(store, path, rejects=folder / "bad.jsonl")
    again = time.process_time() - began
    store.close()
    store = Store.open(str(folder / "shared.db"), keys=folder / "keys.json")
    before, clock = _cpu(), time.perf_counter()
    import_into_store(store, path, rejects=folder / "bad.jsonl", workers=2)
    shared, shared_wall = _cpu() - before, time.perf_counter() - clock
    store.close()
    store = Store.open(str(folder / "plain.db"), keys=folder / "keys.json")
    some = min(count, 2000)
    found = islice(import_conversations(path, rejects=Rejects()), some)
    began = time.process_time()
    while batch := list(islice(found, 200)):
        store.write(lambda c, batch=batch: [insert_ready(c, [make_ready(one)]) for one in batch])  # type: ignore[misc]
    plain = (time.process_time() - began) / some
    store.close()
    size = sum(p.stat().st_size for p in folder.glob("ours.db*"))
    print(
        f"  into the store: {ours / count * 1e6:.0f} ({count / ours:,.0f} a CPU second, {count / wall:,.0f} by clock)"
    )
    told = (
        f"{shared / count * 1e6:.0f} ({count / shared_wall:,.0f} by clock, {wall / shared_wall:.2f} times one process)"
    )
    print(f"  into the store, two more processes convert (their start included): {told}")
    print(f"  again, nothing new: {again / count * 1e6:.0f}")
    print(f"  one at a time: {plain * 1e6:.0f} ({plain * count / ours:.2f} times ours)")
    print(f"  {size / count:,.0f} bytes of the database each; the Parquet file has {path.stat().st_size / count:,.0f}")


def linking(folder: Path, most: int) -> None:
    """CPU microseconds a turn for logs of growing size."""
    said, rng = texts(), random.Random(0)
    for count in (most // 4, most):
        path, rows = folder / f"log{count}.jsonl", 0
        open_talks: list[tuple[int, list[dict[str, str]]]] = []
        with path.open("w") as out:
            while rows < count:
                if not open_talks or rng.random() < 0.4:
                    open_talks.append((rng.randrange(count // 10), []))
                device, talk = open_talks[-1] if rng.random() < 0.5 else rng.choice(open_talks[-50:])
                talk.append({"role": "user", "content": rng.choice(said)[:300]})
                reply = rng.choice(said)[:500]
                date = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(1.7e9 + rows))
                headers = {"user-agent": f"device {device}", "x-forwarded-for": f"198.51.{device % 250}.1"}
                row = {"id": rows, "date": date, "headers": headers, "payload": {"messages": talk}, "model": "m"}
                out.write(json.dumps(row | {"partial_words": reply}) + "\n")
                talk.append({"role": "assistant", "content": reply})
                rows += 1
        with rare_collections():
            began = time.process_time()
            log = read_logs([path], WILDCHAT_LOG, Rejects())
            read = time.process_time()
            forest = link_tree(log.rows)
            tree = time.process_time()
            links = link_reference(log.rows)
            done = time.process_time()
        spent = {"read and hash": read - began, "tree": tree - read, "reference": done - tree}
        cost = ", ".join(f"{name} {seconds / count * 1e6:.0f}" for name, seconds in spent.items())
        print(f"linking of {count:,} turns ({path.stat().st_size / 1e6:.0f} MB), CPU microseconds each: {cost}")
        print(f"  {len(forest.trees):,} trees, {len(links.conversations):,} conversations by the published rules")


def main() -> None:
    """Run both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=int, default=10_000)
    parser.add_argument("--turns", type=int, default=20_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        importing(Path(folder), asked.conversations)
        linking(Path(folder), asked.turns)


if __name__ == "__main__":
    main()
