"""Releases: conversations a second, and how much memory they need.

    python benchmarks/release.py [--conversations 20000] [--redacted 2000] [--folder DIR]

A store is filled with made-up conversations (2.3 rounds on average, 3,000 people for each 100,000) and their
annotations, directly through the driver. Then, each in a process of its own: ours with one and with two processes
(scan, gates, k-anonymity, rows, Parquet; without looking for personal data), and the plain way as its peer: each
conversation read by itself through the room's functions, all rows in memory, one Parquet file at the end. With
``--redacted`` a part is also built with redaction and the search of the redacted text. Seconds are of CPU, children
included; memory is the largest resident set of a process.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import zstandard

NOW = 1_790_000_000_000_000  # 2026-09-21, microseconds
DAY = 86_400_000_000
WORDS = ("sea", "ship", "light", "road", "old", "map", "bread", "winter", "garden", "letter", "stone", "music", "river")
LANGUAGES = (("en", "English"), ("de", "German"), ("fr", "French"), ("ru", "Russian"), ("zh", "Chinese"))
PLACES = (("Germany", "DE", "Hesse"), ("France", "FR", "Brittany"), ("Japan", "JP", "Osaka"), ("Peru", "PE", "Lima"))
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:{0}.0) Gecko/20100101 Firefox/{0}.0"
VERSIONS = (("lang", "cascade:1"), ("pii", "1"), ("secret", "1"), ("tox", "linear:1"), ("geo", "city:1"))


def fill(url: str, conversations: int, rng: random.Random) -> None:
    """Fill a new SQLite store; ids grow with time, texts are drawn from a few thousand."""
    from agora.store import Store

    Store.open(url, keys=Path(f"{url}.keys.json")).close()
    people = max(40, conversations * 3 // 100)
    raw = sqlite3.connect(url)
    raw.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-400000;")
    raw.executemany(
        "INSERT INTO subjects (subject_id, created_us, consent_version, consent_sha256, consent_state, locale,"
        " key_epoch, header_json, source) VALUES (?, ?, '1', 'x', 'publish', 'en', 1, ?, 'web')",
        ((f"S{i:025d}", NOW - 90 * DAY, _headers(rng)) for i in range(people)),
    )
    texts = [_packed(" ".join(rng.choices(WORDS, k=rng.randint(5, 120)))) for _ in range(4000)]
    message = 0
    for start in range(0, conversations, 5000):
        heads, messages = [], []
        annotations: list[tuple[Any, ...]] = []
        for i in range(start, min(start + 5000, conversations)):
            at = NOW - 8 * DAY - rng.randrange(60 * DAY)
            rounds = min(1 + int(rng.expovariate(0.6)), 12)
            heads.append((f"C{i:025d}", f"S{rng.randrange(people):025d}", at, at, "open", "web"))
            place, language = rng.choice(PLACES), rng.choice(LANGUAGES)
            for turn in range(2 * rounds):
                own, before = f"M{message:025d}", f"M{message - 1:025d}" if turn else None
                content, digest = rng.choice(texts)
                reply = turn % 2 == 1
                messages.append(
                    (own, heads[-1][0], before, "assistant" if reply else "user", content, digest, at, at, "complete")
                    + (("example-1", PARAMS, USAGE) if reply else (None, None, None))
                )
                annotations += _annotations(rng, own, reply, place, language)
                message += 1
        raw.executemany(HEAD, heads)
        raw.executemany(MESSAGE, messages)
        raw.executemany(ANNOTATION, annotations)
    raw.commit()
    raw.close()


PARAMS = '{"temperature":1.0,"top_p":1.0,"max_tokens":1024}'
USAGE = '{"prompt_tokens":12,"completion_tokens":30,"total_tokens":42}'
HEAD = (
    "INSERT INTO conversations (conversation_id, subject_id, created_us, updated_us, state, source)"
    " VALUES (?, ?, ?, ?, ?, ?)"
)
MESSAGE = (
    "INSERT INTO messages (message_id, conversation_id, parent_id, role, content_zstd, content_sha256, created_us,"
    " completed_us, status, model, params_json, usage_json) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
ANNOTATION = (
    "INSERT INTO annotations (message_id, kind, pipeline_version, result_json, created_us) VALUES (?, ?, ?, ?, ?)"
)


def _headers(rng: random.Random) -> str:
    browser = BROWSER.format(rng.randint(100, 130))
    return json.dumps({"accept-language": rng.choice(("en", "de", "fr")), "user-agent": browser})


def _packed(text: str) -> tuple[bytes, bytes]:
    raw = text.encode()
    return zstandard.compress(raw, 3), sha256(raw).digest()


def _annotations(rng: random.Random, own: str, reply: bool, place: Any, language: Any) -> Iterator[tuple[Any, ...]]:
    score = rng.randrange(500) / 1000
    results = {
        "lang": f'{{"code":"{language[0]}","name":"{language[1]}","source":"agree","score":0.99,"mixed":false}}',
        "pii": '{"spans":[]}',
        "secret": '{"spans":[]}',
        "tox": f'{{"flagged":false,"categories":{{"hate":false,"sexual":false,"violence":false}},'
        f'"scores":{{"hate":{score},"sexual":0.01,"violence":0.02}},"provider":"linear"}}',
        "geo": f'{{"country":"{place[0]}","country_iso":"{place[1]}","state":"{place[2]}"}}',
    }
    for kind, version in VERSIONS:
        if kind != "geo" or not reply:
            yield own, kind, version, results[kind], NOW - 8 * DAY


def ours(url: str, workers: int, *, redacted: bool) -> int:
    """Scan, gate, anonymize and write; how many conversations were written."""
    from agora.core.workers import LocalRunner, SerialRunner
    from agora.rooms.collect.release.asked import Asked, engine_of
    from agora.rooms.collect.release.found import wanted_versions
    from agora.rooms.collect.release.plan import freeze
    from agora.rooms.collect.release.pseudonyms import ReleaseKey
    from agora.rooms.collect.release.settings import RedactionSettings, ReleaseSettings
    from agora.rooms.collect.release.shards import WriteShard
    from agora.rooms.collect.release.shown import anonymize, cut_slices

    # small files, so that two processes have something to share
    settings = ReleaseSettings(shard_mb=2, redaction=RedactionSettings(on=redacted, residual_scan=redacted))
    with engine_of(url).connect() as connection:
        wanted = wanted_versions(connection, {})
    kept = LocalRunner(workers) if workers > 1 else SerialRunner()
    with tempfile.TemporaryDirectory() as folder, kept as runner:
        asked = Asked("r", url, Path(folder), ReleaseKey(b"k" * 32), settings, "ODC-BY 1.0", 7 * DAY, NOW, wanted)
        marks = [(time.perf_counter(), _cpu())]
        plan = freeze(asked, runner, 4 * workers)
        marks.append((time.perf_counter(), _cpu()))
        shown = anonymize(plan, settings.profile, settings.k, ())
        cut_slices(asked, plan, shown)
        marks.append((time.perf_counter(), _cpu()))
        rows = shown.rows
        del shown
        done = sum(s.rows for s in runner.map(WriteShard(asked, plan.shards, plan.public_names), range(plan.shards)))
        marks.append((time.perf_counter(), _cpu()))
        size = sum(file.stat().st_size for file in (Path(folder) / "data").iterdir())
    assert done == rows
    stages: dict[str, float] = {}
    spans = zip(("scan", "anonymize", "write"), marks, marks[1:], strict=False)
    for name, (clock, cpu), (clock_after, cpu_after) in spans:
        stages |= {f"{name}_s": clock_after - clock, f"{name}_cpu_s": cpu_after - cpu}
    print(json.dumps({"rows": done, "mb": size / 1e6, "shards": plan.shards, **stages}))
    return done


def _cpu() -> float:
    """CPU seconds of this process and of those it waited for."""
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in spent)


def _peak_mb() -> float:
    """The largest resident set of this process since it began; ``getrusage`` would also tell of the one before exec."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1000


def plain(url: str) -> int:
    """The plain way: one conversation after another, everything in memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from sqlalchemy import select

    from agora.curate.importers.schemas import published_schema
    from agora.rooms.collect.conversations import read_messages
    from agora.rooms.collect.enrich.annotations import latest
    from agora.rooms.collect.release.profiles import canonical
    from agora.rooms.collect.tables import CONVERSATIONS
    from agora.store import Store

    store = Store.open(url, keys=Path(f"{url}.keys.json"))
    rows = []
    with store.reading() as connection:
        for conversation in connection.scalars(select(CONVERSATIONS.c.conversation_id)).all():
            said = read_messages(connection, conversation)
            found = {kind: latest(connection, [m.id for m in said], kind) for kind in ("lang", "tox", "pii", "geo")}
            turns = [
                {
                    "content": m.content,
                    "role": m.role,
                    "language": found["lang"][m.id].result["name"],
                    "toxic": found["tox"][m.id].result["flagged"],
                    "country": found["geo"][m.id].result["country"] if m.id in found["geo"] else None,
                }
                for m in said
            ]
            digest = sha256(canonical([(m.role, m.content) for m in said]).encode()).hexdigest()[:32]
            rows.append({"conversation_hash": digest, "conversation": turns, "turn": len(said) // 2})
    schema = published_schema("wildchat-1m")
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), Path(folder) / "all.parquet", compression="zstd")
    store.close()
    print(json.dumps({"rows": len(rows)}))
    return len(rows)


def planned(count: int) -> int:
    """The memory of the input list alone: put it together, climb the ladder and cut it, for many conversations."""
    import numpy as np
    import pyarrow as pa

    from agora.core.jsonl import write_json
    from agora.core.workers import SerialRunner
    from agora.rooms.collect.release.asked import Asked
    from agora.rooms.collect.release.plan import _put_together, freeze
    from agora.rooms.collect.release.pseudonyms import ReleaseKey
    from agora.rooms.collect.release.scan import Scanned, names_schema, plan_schema
    from agora.rooms.collect.release.settings import ReleaseSettings
    from agora.rooms.collect.release.shown import anonymize, cut_slices

    rng, schema, people = np.random.default_rng(0), plan_schema(), count * 3 // 100
    with tempfile.TemporaryDirectory() as folder:
        asked = Asked(
            "r", "", Path(folder), ReleaseKey(b"k" * 32), ReleaseSettings(), "ODC-BY 1.0", 0, NOW, frozenset()
        )
        parts = []
        for index, start in enumerate(range(0, count, 20_000)):
            n = min(20_000, count - start)
            who = rng.integers(0, people, n)
            made = {
                "conversation_id": [f"C{i:025d}" for i in range(start, start + n)],
                "leaf": [f"M{i:025d}" for i in range(start, start + n)],
                "country": [PLACES[i % 4][0] for i in who],
                "state": [PLACES[i % 4][2] for i in who],
                "language": [LANGUAGES[i % 5][1] for i in who],
                "user_agent": [BROWSER.format(100 + i % 30) for i in who],
                "accept_language": [("en", "de", "fr")[i % 3] for i in who],
                "source": ["web"] * n,
                "rounds": rng.integers(1, 6, n),
                "bytes": rng.integers(200, 3000, n),
                "until_us": np.full(n, NOW),
                "day": rng.integers(739_000, 739_060, n),
                "person": [sha256(str(i).encode()).digest() for i in who],
                "order": [sha256(str(start + i).encode()).digest()[:16] for i in range(n)],
            }
            columns = [pa.array(made[f.name], f.type) if f.name in made else pa.nulls(n, f.type) for f in schema]
            for stem, table in (("rows", pa.table(columns, schema=schema)), ("names", names_schema().empty_table())):
                with pa.ipc.new_stream(str(Path(folder) / f"{stem}-{index:05d}.arrows"), table.schema) as writer:
                    writer.write_table(table)
            parts.append(Scanned(index, n, n, {}))
        before = _peak_mb()
        began = time.process_time()
        write_json(Path(folder) / "frozen.json", _put_together(asked, parts))
        plan = freeze(asked, SerialRunner(), 1)
        shown = anonymize(plan, "compat-1m", 5, ())
        cut_slices(asked, plan, shown)
        seconds = time.process_time() - began
        assert (shown.k or 0) >= 5
        print(json.dumps({"rows": plan.rows, "shards": plan.shards, "cpu_plan_s": seconds, "before_mb": before}))
        return plan.rows


def _measured(url: str, what: str) -> dict[str, Any]:
    began = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, __file__, "--only", what, "--db", url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-2]) | json.loads(done.stdout.splitlines()[-1])
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return told | {"wall_s": time.perf_counter() - began, "cpu_s": cpu}


def main() -> None:
    """Parse, fill, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--conversations", type=int, default=20_000)
    parser.add_argument("--redacted", type=int, default=2000, help="conversations that are also searched and redacted")
    parser.add_argument("--plain", type=int, default=4000, help="conversations of the plain way")
    parser.add_argument("--plan-rows", type=int, default=1_000_000, help="rows of the input list alone")
    parser.add_argument("--folder", type=Path, help="where the stores are kept")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--db", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        _only(args.only, args.db)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        counts = {"ours 1": args.conversations, "ours 2": args.conversations}
        counts |= {"plain": args.plain, "redacted": args.redacted}
        found = {}
        for what, count in counts.items():
            url = str(folder / f"{count}.db")
            if not Path(url).exists():
                fill(url, count, random.Random(0))
            found[what] = told = _measured(url, what)
            rate = f"{told['rows'] / told['wall_s']:8,.0f}/s {told['rows'] / told['cpu_s']:8,.0f} per CPU second"
            memory = f"{told['peak_mb']:5,.0f} MB, {told['peak_worker_mb']:5,.0f} MB a worker"
            print(f"{what:9} {told['rows']:9,} rows {rate} {memory}  {told}", flush=True)
        told = _measured(str(args.plan_rows), "planned")
        print(f"planned   {told['rows']:9,} rows {told['cpu_plan_s']:.1f} CPU s, {told['peak_mb']:,.0f} MB  {told}")
        one, two = found["ours 1"], found["ours 2"]
        times = one["wall_s"] / two["wall_s"], _stages(one) / _stages(two)
        print(f"two processes: {times[0]:.2f} times as fast, {times[1]:.2f} without the start")
        rate = (one["rows"] / one["cpu_s"]) / (found["plain"]["rows"] / found["plain"]["cpu_s"])
        print(f"one process against the plain way: {rate:.1f} times as many conversations a CPU second")


def _only(what: str, url: str) -> None:
    """One measurement, in a process of its own."""
    if what == "plain":
        plain(url)
    elif what == "planned":
        planned(int(url))
    else:
        ours(url, 2 if what == "ours 2" else 1, redacted=what == "redacted")
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1000
    print(json.dumps({"peak_mb": _peak_mb(), "peak_worker_mb": children}))


def _stages(told: dict[str, Any]) -> float:
    return float(told["scan_s"] + told["anonymize_s"] + told["write_s"])


if __name__ == "__main__":
    main()
