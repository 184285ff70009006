"""Search over the store: how fast the index is built, and how long a query takes beside two scans.

    python benchmarks/search.py [--messages 100000] [--queries 60] [--seed 0]

Messages are drawn words (a vocabulary of 200,000 with Zipf's frequencies, lengths log-normal around 40 words), four to
a conversation; with ``AGORA_SHARED`` set, every fourth also holds a sentence of the 75 languages of the language test.
A query asks for two words that stand together in some message, among the conversations of one model with at least two
questions. The peers look through the same texts, not compressed: SQLite's ``LIKE`` over a plain table, and DuckDB
(``pip install duckdb``; left out with a word if it is not there) over its own columns.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import os
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import zstandard

from agora.rooms.collect.erase import erase_subject, scrub
from agora.rooms.collect.explore.find import count, find
from agora.rooms.collect.explore.indexer import index_all
from agora.rooms.collect.explore.selection import Selection
from agora.rooms.collect.incoming import insert_rows
from agora.rooms.collect.tables import CONVERSATIONS, MESSAGES
from agora.store import Store
from agora.store.consent import ConsentText, Visitor, accept_terms
from agora.store.ids import new_id

VOCABULARY, WORDS, PER_CONVERSATION, BATCH = 200_000, 40, 4, 20_000
MODELS = ("m-small", "m-large", "m-other")


def sentences() -> list[str]:
    """Real sentences of many languages, if the test data are here."""
    path = Path(os.environ.get("AGORA_SHARED", "")) / "data/wildchat/langid/langid_testdata.jsonl.gz"
    if not path.is_file():
        return []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [row["text"] for row in map(json.loads, lines) if row["kind"] == "sentences"]


def texts(n: int, seed: int) -> Iterator[str]:
    """Messages of drawn words."""
    rng, real = np.random.default_rng(seed), sentences()
    weights = 1 / (np.arange(VOCABULARY) + 5.0)
    vocabulary = np.array([f"w{i:x}" for i in range(VOCABULARY)])
    cumulative = np.cumsum(weights / weights.sum())
    lengths = np.maximum(1, rng.lognormal(np.log(WORDS), 0.9, n)).astype(int)
    for i in range(n):
        said = " ".join(vocabulary[np.searchsorted(cumulative, rng.random(lengths[i])).clip(0, VOCABULARY - 1)])
        yield f"{said}. {real[rng.integers(len(real))]}" if real and i % 4 == 0 else said


def fill(store: Store, plain: sqlite3.Connection, said: Iterable[str], seed: int) -> list[str]:
    """Put messages into the store and, uncompressed, beside it; some of the texts are returned."""
    rng, compress = random.Random(seed), zstandard.ZstdCompressor(3).compress
    conversations: list[dict[str, Any]] = []
    messages: list[dict[str, Any]] = []
    kept: list[str] = []
    at = 1_700_000_000_000_000

    def flush() -> None:
        rows, talk = list(conversations), list(messages)
        store.write(lambda c: (insert_rows(c, CONVERSATIONS, rows), insert_rows(c, MESSAGES, talk)))
        conversations.clear()
        messages.clear()

    chat, parent, model = "", None, ""
    plain.execute("CREATE TABLE plain(number INTEGER PRIMARY KEY, model TEXT, text TEXT)")
    for i, text in enumerate(said):
        if i % PER_CONVERSATION == 0:
            at += 1_000_000
            chat, parent, model = new_id(at), None, rng.choice(MODELS)
            row = {"conversation_id": chat, "created_us": at, "updated_us": at, "state": "closed", "source": "drawn"}
            conversations.append(row)
        raw, message_id = text.encode(), new_id(at + i % PER_CONVERSATION * 1000)
        role = "assistant" if i % 2 else "user"
        row = {"message_id": message_id, "conversation_id": chat, "parent_id": parent, "role": role}
        row |= {"content_zstd": compress(raw), "content_sha256": hashlib.sha256(raw).digest(), "created_us": at + i % 4}
        messages.append(row | {"status": "complete", "model": model if i % 2 else None})
        plain.execute("INSERT INTO plain VALUES (?, ?, ?)", (i, model, text))
        parent = message_id
        if len(kept) < 2000 and rng.random() < 0.02:
            kept.append(text)
        if i % BATCH == BATCH - 1:
            flush()
    if messages:
        flush()
    plain.commit()
    return kept


def timed(job: Callable[[], Any]) -> tuple[float, Any]:
    """Wall seconds of a job, and its result."""
    began = time.perf_counter()
    result = job()
    return time.perf_counter() - began, result


def told(name: str, seconds: list[float]) -> None:
    """Print the median and the 95th percentile in milliseconds."""
    ranked = sorted(seconds)
    p95 = ranked[min(len(ranked) - 1, int(0.95 * len(ranked)))]
    print(f"  {name:<46} p50 {1e3 * ranked[len(ranked) // 2]:9.1f} ms   p95 {1e3 * p95:9.1f} ms   n {len(ranked)}")


def build(store: Store, name: str, chars: int, folder: Path) -> None:
    """Build the index of a store and print how fast."""
    before = (folder / "store.db").stat().st_size
    began, wall = time.process_time(), time.perf_counter()
    done = sum(index_all(store))
    cpu, wall = time.process_time() - began, time.perf_counter() - wall
    grown = (folder / "store.db").stat().st_size - before
    print(f"{done:,} {name}, {chars / 1e6:,.0f} million characters")
    print(f"  built: {done / cpu:,.0f} messages and {chars / cpu / 1e6:.1f} million characters a CPU second,")
    print(f"  {done / wall:,.0f} messages a second by the clock; {wall:.1f} s, {cpu:.1f} s of CPU")
    print(f"  index {grown / 1e6:,.0f} MB")


def build_real(seed: int) -> None:
    """The same for short real sentences: the specification's figure is of these, put into FTS5 and nothing else."""
    real = sentences()
    if not real:
        print("the sentences of the language test are not here (AGORA_SHARED)")
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with closing(Store.open(str(folder / "store.db"), keys=folder / "keys.json")) as store:
            with closing(sqlite3.connect(folder / "plain.db")) as plain:
                fill(store, plain, real, seed)
            build(store, "sentences of 75 languages", sum(map(len, real)), folder)


def ask(store: Store, pairs: list[tuple[str, str]]) -> None:
    """Time pages and counts of the index."""
    with store.reading() as connection:
        chosen = [Selection(words=f"{a} {b}", model=MODELS[0], min_turns=2) for a, b in pairs]
        find(connection, chosen[0])
        told("two words, two filters: first page", [timed(lambda s=s: find(connection, s))[0] for s in chosen])
        told("  the same with all facets", [timed(lambda s=s: count(connection, s))[0] for s in chosen])
        common = [Selection(words=word, model=MODELS[0]) for word in ("w0", "w1", "w2", "w9")]
        told("a word of most messages: first page", [timed(lambda s=s: find(connection, s))[0] for s in common])
        told("  the same with all facets", [timed(lambda s=s: count(connection, s))[0] for s in common])
        told("everything: all facets", [timed(lambda: count(connection, Selection()))[0] for _ in range(3)])
        after, spent = None, []
        for _ in range(40):
            seconds, (_, after) = timed(lambda a=after: find(connection, Selection(words="w1"), limit=1000, after=a))
            spent.append(seconds / 1000 * 30)
            if after is None:
                break
        told("a page of 30 up to 40,000 conversations deep", spent)


def scan(plain: sqlite3.Connection, pairs: list[tuple[str, str]]) -> None:
    """Time the peers: two scans over the texts."""
    sql = "SELECT number FROM plain WHERE model = ? AND text LIKE ? AND text LIKE ? ORDER BY number DESC LIMIT 30"
    given = [(MODELS[0], f"%{a}%", f"%{b}%") for a, b in pairs]
    told("SQLite LIKE over a plain table", [timed(lambda g=g: plain.execute(sql, g).fetchall())[0] for g in given[:8]])
    try:
        import duckdb
    except ImportError:
        print("  DuckDB is not installed (pip install duckdb)")
        return
    duck = duckdb.connect()
    duck.execute("SET threads = 2")
    rows = plain.execute("SELECT number, model, text FROM plain")
    duck.execute("CREATE TABLE plain(number BIGINT, model VARCHAR, text VARCHAR)")
    import pyarrow as pa

    while part := rows.fetchmany(50_000):
        columns = list(zip(*part, strict=True))
        table = pa.table({"number": columns[0], "model": columns[1], "text": columns[2]})
        duck.register("part", table)
        duck.execute("INSERT INTO plain SELECT * FROM part")
        duck.unregister("part")
    told("DuckDB scan, 2 threads", [timed(lambda g=g: duck.execute(sql, g).fetchall())[0] for g in given[:8]])


def main() -> None:
    """Fill, build, ask, erase."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = Store.open(str(folder / "store.db"), keys=folder / "keys.json")
        plain = sqlite3.connect(folder / "plain.db")
        kept = fill(store, plain, texts(chosen.messages, chosen.seed), chosen.seed)
        size = plain.execute("SELECT sum(length(text)) FROM plain").fetchone()[0]
        build(store, "messages of drawn words", size, folder)
        rng = random.Random(chosen.seed)
        long = [words for text in kept if len(words := sorted(set(text.split(". ")[0].split()))) > 12]
        pairs = [tuple(rng.sample(rng.choice(long), 2)) for _ in range(chosen.queries)]
        ask(store, pairs)  # type: ignore[arg-type]
        scan(plain, pairs)  # type: ignore[arg-type]
        text = ConsentText("1", "en", "terms", "publication")
        subject = store.write(lambda c: accept_terms(c, store.keys, text, Visitor()).id)
        with store.reading() as connection:
            hits, _ = find(connection, Selection(), limit=1)
        sql = "UPDATE conversations SET subject_id = ? WHERE conversation_id = ?"
        store.write(lambda c: c.exec_driver_sql(sql, (subject, hits[0].conversation_id)))
        store.write(lambda c: erase_subject(c, subject))
        print(f"  a conversation erased and the files scrubbed of it: {timed(lambda: scrub(store.engine))[0]:.1f} s")
        store.close()
    build_real(chosen.seed)


if __name__ == "__main__":
    main()
