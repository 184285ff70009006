"""Batches, leases, retries: what workers share and what a failing kind leaves alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from agora.core.errors import DataError, MissingError
from agora.rooms.collect.enrich import jobs, pipeline
from agora.rooms.collect.enrich.annotations import latest
from agora.rooms.collect.enrich.pipeline import enrich
from agora.rooms.collect.enrich.tables import ENRICH_JOBS
from agora.rooms.collect.enrich.work import Worker
from agora.rooms.collect.tables import ANNOTATIONS, MESSAGES
from agora.store import Store
from agora.store.tables import EVENTS
from tests.rooms.collect.enrich.stored import put_texts


class CountingKind:
    """A kind that remembers what it was asked, and fails where a test wants it to."""

    name = "lang"

    def __init__(self, fails: Callable[[Sequence[str]], Exception | None] = lambda _: None, version: str = "c:1"):
        self.version, self.asked, self.fails = version, list[str](), fails

    def annotate(self, texts: Sequence[str]) -> list[dict[str, Any]]:
        if (error := self.fails(texts)) is not None:
            raise error
        self.asked += texts
        return [{"code": text[:2]} for text in texts]


def _told(store: Store, ids: Sequence[str], kind: str = "lang") -> dict[str, Any]:
    with store.reading() as connection:
        found = latest(connection, ids, kind)
    return {m: found[m].result["code"] for m in ids if m in found}


def _jobs(store: Store) -> list[Any]:
    with store.reading() as connection:
        return list(connection.execute(select(ENRICH_JOBS).order_by(ENRICH_JOBS.c.first_id)))


def test_equal_texts_are_looked_at_once_also_by_a_later_run(store: Store) -> None:
    ids = put_texts(store, "aa", "bb", "aa", "cc", "aa")
    kind = CountingKind()
    done = Worker(store, batch=2).run(kind)
    assert (done.messages, done.computed) == (5, 3) and sorted(kind.asked) == ["aa", "bb", "cc"]
    assert list(_told(store, ids).values()) == ["aa", "bb", "aa", "cc", "aa"]
    later = put_texts(store, "bb", "dd", name="later")
    assert Worker(store).run(kind).computed == 1 and kind.asked[-1] == "dd"
    assert _told(store, later) == dict(zip(later, ["bb", "dd"], strict=True))
    assert Worker(store).run(kind).messages == 0 and _jobs(store) == []


def test_a_new_version_is_made_beside_the_old_one(store: Store) -> None:
    ids = put_texts(store, "aa", "bb")
    Worker(store).run(CountingKind())
    assert Worker(store).run(CountingKind(version="c:2")).computed == 2
    with store.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(ANNOTATIONS)) == 4
        assert {a.version for a in latest(connection, ids, "lang").values()} == {"c:2"}


def test_a_reply_that_is_being_written_is_left_for_later(store: Store) -> None:
    ids = put_texts(store, "aa", "bb")
    one = MESSAGES.c.message_id == ids[0]
    store.write(lambda c: c.execute(update(MESSAGES).where(one).values(status="streaming")).rowcount)
    kind = CountingKind()
    Worker(store).run(kind)
    assert kind.asked == ["bb"]
    store.write(lambda c: c.execute(update(MESSAGES).where(one).values(status="complete")).rowcount)
    Worker(store).run(kind)
    assert kind.asked == ["bb", "aa"]


def test_the_text_that_makes_a_kind_fail_is_found_and_dies_alone(store: Store) -> None:
    texts = [f"{n:02d} text" for n in range(20)]
    ids = put_texts(store, *texts)
    kind = CountingKind(lambda some: ValueError(some[0]) if "13 text" in some else None)
    done = Worker(store, pause_s=0).run(kind)
    assert done.messages == 19 and done.failures == jobs.MOST_ATTEMPTS
    assert set(ids) - set(_told(store, ids)) == {ids[13]}
    (dead,) = _jobs(store)
    assert (dead.state, dead.first_id, dead.last_id, dead.attempts) == ("dead", ids[13], ids[13], 5)
    assert dead.error.startswith("ValueError at test_work.py:") and "13 text" not in dead.error
    assert Worker(store).run(kind).failures == 0  # dead means left alone
    store.write(lambda c: jobs.revive_dead(c, ["lang"]))
    assert Worker(store).run(CountingKind()).messages == 1 and _jobs(store) == []


def test_a_kind_that_is_down_is_tried_again_after_a_growing_pause(store: Store) -> None:
    ids = put_texts(store, *[f"{n:02d}" for n in range(8)])
    calls = [0]

    def down_at_first(texts: Sequence[str]) -> Exception | None:
        calls[0] += len(texts) == 8
        return DataError("the server is away") if calls[0] <= 2 else None

    done = Worker(store, pause_s=0.01).run(CountingKind(down_at_first))
    assert done.messages == 8 and done.failures == 16 and len(_told(store, ids)) == 8


def test_a_kind_that_stays_down_dies_with_its_reason(store: Store) -> None:
    put_texts(store, "aa", "bb", "cc")
    Worker(store, pause_s=0).run(CountingKind(lambda _: DataError("the server is away")))
    (dead,) = _jobs(store)
    assert (dead.state, dead.error) == ("dead", "the server is away")


def test_one_kind_without_its_model_does_not_hold_up_the_others(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = put_texts(store, "Guten Morgen, wie geht es dir heute?", "one two three four, how are you today?")
    absent = MissingError("the model is missing", where="toxicity.npz")
    kinds = {"lang": [CountingKind()], "tox": [CountingKind(lambda _: absent, "t:1")], "pii": [CountingKind()]}
    kinds["tox"][0].name, kinds["pii"][0].name = "tox", "pii"
    monkeypatch.setattr(pipeline, "FACTORIES", dict.fromkeys(("tox", "lang", "pii")))
    monkeypatch.setattr(pipeline, "make_kinds", lambda name: kinds[name])
    found = {r.kind: r for r in enrich(store, ["tox", "lang", "pii"])}
    assert found["tox"].unavailable == "toxicity.npz: the model is missing" and found["tox"].missing == 2
    assert found["lang"].messages == found["pii"].messages == 2 and found["lang"].missing == 0
    assert [(j.state, j.kind) for j in _jobs(store)] == [("unavailable", "tox")]
    kinds["tox"][0].fails = lambda _: None
    assert {r.kind: r.missing for r in enrich(store, ["tox"])} == {"tox": 0}
    assert _jobs(store) == [] and len(_told(store, ids, "tox")) == 2


def test_two_workers_never_hold_the_same_batch(store: Store) -> None:
    put_texts(store, *[f"{n}" for n in range(10)])

    def take(owner: str) -> jobs.Job | None:
        return store.write(lambda c: jobs.take(c, "lang", "1", owner, size=4))

    found = [take(owner) for owner in ("h:1:a", "h:2:b", "h:1:a", "h:3:c")]
    assert found[3] is None and all(found[:3])
    ranges = [(job.first_id, job.last_id) for job in found if job]
    assert ranges == sorted(ranges) and all(a[1] < b[0] for a, b in pairwise(ranges))


def test_a_lease_that_ran_out_is_taken_by_another_worker(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put_texts(store, "aa", "bb")
    monkeypatch.setattr(jobs, "LEASE_S", 0.05)
    first = store.write(lambda c: jobs.take(c, "lang", "1", "elsewhere:1:a"))
    assert first and store.write(lambda c: jobs.take(c, "lang", "1", "elsewhere:2:b")) is None
    time.sleep(0.1)
    second = store.write(lambda c: jobs.take(c, "lang", "1", "elsewhere:2:b"))
    assert second and (second.first_id, second.attempts) == (first.first_id, 2)


def test_the_event_log_tells_of_the_work_and_not_of_the_words(store: Store) -> None:
    put_texts(store, "aa secret words", "bb")
    Worker(store).run(CountingKind())
    with store.reading() as connection:
        (payload,) = connection.scalars(select(EVENTS.c.payload).where(EVENTS.c.kind == "enrichment.done")).all()
    assert payload == '{"failed":0,"kind":"lang","messages":2,"texts":2,"version":"c:1"}'


_SLOW_RUN = """
import sys, time
from pathlib import Path
from agora.rooms.collect.enrich.work import Worker
from agora.store import Store

class Slow:
    name, version = "lang", "slow:1"
    def annotate(self, texts):
        time.sleep(0.02)
        print(len(texts), flush=True)
        return [{"code": t[:2]} for t in texts]

store = Store.open(sys.argv[1], keys=Path(sys.argv[2]))
Worker(store, batch=4).run(Slow())
"""


@pytest.mark.slow
def test_killed_again_and_again_it_ends_with_every_message_annotated_once(tmp_path: Path) -> None:
    database, keys = str(tmp_path / "store.db"), tmp_path / "keys.json"
    store = Store.open(database, keys=keys)
    ids = put_texts(store, *[f"{n:03d}" for n in range(80)])
    command = [sys.executable, "-c", _SLOW_RUN, database, str(keys)]
    looked_at = kills = 0
    while len(_told(store, ids)) < len(ids):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ})
        assert process.stdout
        lines = []
        for line in process.stdout:
            lines.append(int(line))
            if len(lines) == 4 and kills < 3:
                process.send_signal(signal.SIGKILL)
                kills += 1
        process.wait()
        process.stdout.close()
        looked_at += sum(lines)
    store.close()
    assert kills == 3
    assert len(ids) <= looked_at <= len(ids) + kills * 4  # at most the batch in hand is repeated
    again = Store.open(database, keys=keys)
    assert sorted(_told(again, ids).values()) == [f"{n:03d}"[:2] for n in range(80)] and _jobs(again) == []
    again.close()
