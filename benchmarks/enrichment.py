"""Enriching a store: messages a CPU second by kind, and what the database costs beside the work itself.

    AGORA_SHARED=... python benchmarks/enrichment.py --messages 5000 --kinds lang,geo,dup,topic --repeats 3

The messages are real prompts (Russian, from WildChat) and sentences of 75 languages, shuffled, a tenth of them twice.
"Alone" is the same detector over the same distinct texts without a store.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import resource
import statistics
import tempfile
import time
from itertools import islice
from pathlib import Path

DATA = Path(os.environ.get("AGORA_SHARED", "../shared")) / "data" / "wildchat" / "langid"


def texts(count: int) -> list[str]:
    """The messages: prompts first, then sentences, then a tenth of all again."""
    found = []
    for name in ("wildchat_ru_first_prompts.jsonl.gz", "langid_testdata.jsonl.gz"):
        with gzip.open(DATA / name, "rt", encoding="utf-8") as lines:
            rows = (json.loads(line) for line in lines)
            kept = (row["text"] for row in rows if row.get("kind", "sentences") == "sentences")
            found += list(islice(kept, 40_000))
    rng = random.Random(0)
    rng.shuffle(found)
    distinct = found[: count * 9 // 10]
    return distinct + rng.sample(distinct, count - len(distinct))


def fill(store: object, found: list[str]) -> None:
    """One conversation a text, as imports make them."""
    from sqlalchemy import insert

    from agora.rooms.collect.conversations import message_row
    from agora.rooms.collect.tables import CONVERSATIONS, MESSAGES
    from agora.store.ids import new_id

    ids = [new_id() for _ in found]
    made = {"created_us": 1, "updated_us": 1, "state": "closed", "source": "benchmark"}
    rows = [
        message_row(message_id=new_id(), conversation_id=i, parent_id=None, role="user", text=text, at_us=n)
        for n, (i, text) in enumerate(zip(ids, found, strict=True))
    ]
    for start in range(0, len(rows), 1000):
        end = start + 1000
        some = [{"conversation_id": i, "source_key": i, **made} for i in ids[start:end]]
        store.write(lambda c, some=some: c.execute(insert(CONVERSATIONS), some).rowcount)
        store.write(lambda c, some=rows[start:end]: c.execute(insert(MESSAGES), some).rowcount)


def main() -> None:
    """Fill a store, enrich it, print medians."""
    from agora.curate.language import detect
    from agora.rooms.collect.enrich.pipeline import enrich
    from agora.store import Store

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--kinds", default="lang,geo,dup,topic")
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    found = texts(chosen.messages)
    detect(found[:200])  # loads what is loaded lazily
    speeds: dict[str, list[float]] = {}
    for _ in range(chosen.repeats):
        with tempfile.TemporaryDirectory() as folder:
            store = Store.open(f"{folder}/store.db", keys=Path(folder) / "keys.json")
            fill(store, found)
            began = time.process_time()
            detect(list(dict.fromkeys(found)))
            speeds.setdefault("lang, alone", []).append(len(found) / (time.process_time() - began))
            for kind in chosen.kinds.split(","):
                began = time.process_time()
                enrich(store, [kind])
                speeds.setdefault(kind, []).append(len(found) / (time.process_time() - began))
            began = time.process_time()
            enrich(store, ["lang"])
            speeds.setdefault("lang, nothing to do", []).append(len(found) / (time.process_time() - began))
            store.close()
    for name, some in speeds.items():
        print(
            f"{name:20} {statistics.median(some):10,.0f} messages a CPU second ({', '.join(f'{s:,.0f}' for s in some)})"
        )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
