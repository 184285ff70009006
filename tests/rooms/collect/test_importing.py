"""Files into the store and out again: nothing a row carries is lost, twice adds nothing, a killed import goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError

from agora.core.records import Conversation, Message, Provenance
from agora.core.tables import Rejects
from agora.core.workers import LocalRunner
from agora.curate.importers import import_conversations
from agora.rooms.collect import importing_workers
from agora.rooms.collect.importing import import_into_store
from agora.rooms.collect.ready import MessageRow, make_ready
from agora.rooms.collect.records import export_store, store_conversations, stored_conversations
from agora.rooms.collect.removal import delete_conversations
from agora.rooms.collect.tables import CONVERSATIONS, IMPORTS, MESSAGES
from agora.store import Store
from agora.store.events import verify
from agora.store.tables import EVENTS
from tests.store.conftest import store, store_url
from tests.stores import store_in

__all__ = ["store", "store_url"]

PUBLISHED = {"wildchat-1m": "wildchat_1m", "wildchat-4.8m": "wildchat_4_8m", "lmsys-chat-1m": "lmsys_chat_1m"}


def _lines(path: Path, count: int, start: int = 0) -> Path:
    rows = [
        {"id": f"c{i}", "messages": [{"role": "user", "content": f"hi {i}"}, {"role": "assistant", "content": "ho"}]}
        for i in range(start, start + count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("layout", PUBLISHED)
def test_published_rows_leave_the_store_with_the_same_schema_and_values(
    store: Store, shared_dir: Path, tmp_path: Path, layout: str
) -> None:
    source = shared_dir / f"data/wildchat/schema/{PUBLISHED[layout]}_fixture.parquet"
    for new, duplicate in ((8, 0), (0, 8)):
        done = import_into_store(store, source, rejects=tmp_path / "bad.jsonl")
        assert (done.read, done.new, done.duplicate, done.bad) == (8, new, duplicate, 0)
    export_store(store, tmp_path / "out.parquet", layout)
    before, after = pq.read_table(source), pq.read_table(tmp_path / "out.parquet")
    assert after.schema.equals(before.schema, check_metadata=True)
    rows = after.to_pylist()
    assert sorted(rows, key=str) == sorted(before.to_pylist(), key=str)


def test_times_are_those_of_the_source(store: Store, shared_dir: Path, tmp_path: Path) -> None:
    source = shared_dir / "data/wildchat/schema/wildchat_1m_fixture.parquet"
    import_into_store(store, source, rejects=tmp_path / "bad.jsonl")
    first = pq.read_table(source).to_pylist()[0]
    told = [u["timestamp"] for u in first["conversation"] if u["timestamp"]]
    with store.reading() as connection:
        created = connection.scalar(select(func.min(CONVERSATIONS.c.created_us)))
        times = connection.scalars(select(MESSAGES.c.created_us).order_by(MESSAGES.c.created_us).limit(4)).all()
    expected = [int(t.timestamp() * 1e6) for t in told for _ in "qa"]  # a question has the time of its answer
    assert created == expected[0] and list(times) == expected


@pytest.mark.parametrize(
    ("file", "conversations", "messages"),
    [("sharegpt_dummy_conversation.json.gz", 500, 2000), ("oasst_en_100_trees.jsonl.gz", 100, 1167)],
)
def test_real_files_are_kept_whole_and_once(
    tmp_path: Path, shared_dir: Path, file: str, conversations: int, messages: int
) -> None:
    path = shared_dir / "data" / "wildchat" / "formats" / file
    store = store_in(tmp_path)
    for new in (conversations, 0):
        done = import_into_store(store, path, rejects=tmp_path / "bad.jsonl")
        assert (done.new, done.duplicate, done.messages) == (new, conversations - new, messages if new else 0)
    before = {c.id: c for c in import_conversations(path, rejects=Rejects())}
    assert {c.id: c for c in stored_conversations(store, original_ids=True)} == before
    with store.reading() as connection:
        assert verify(connection).events == 3  # one batch, and two files read to their end
        assert connection.scalar(select(func.count()).select_from(IMPORTS)) == 0
    store.close()


def _kept(folder: Path, source: Path, workers: int) -> tuple[Any, Any, bytes]:
    """What an import says, what is in the store then, and the file of refused rows."""
    folder.mkdir()
    store = store_in(folder)
    done = import_into_store(store, source, rejects=folder / "bad.jsonl", workers=workers)
    held = list(stored_conversations(store, original_ids=True))
    with store.reading() as connection:
        kinds = connection.execute(select(EVENTS.c.kind).order_by(EVENTS.c.seq)).all()
    store.close()
    told = (done.read, done.new, done.duplicate, done.bad, done.reasons, kinds)
    return told, sorted(held, key=lambda c: c.id), (folder / "bad.jsonl").read_bytes()


class Backwards:
    """Results in the worst order, in this process."""

    def __init__(self, workers: int) -> None:
        assert workers == 2

    def map(self, fn: Any, items: Any) -> Iterator[Any]:
        yield from map(fn, reversed(items))


@pytest.mark.parametrize("runner", [Backwards, pytest.param(LocalRunner, marks=pytest.mark.slow)])
def test_workers_bring_the_same_rows_events_and_refusals_as_one_process(
    tmp_path: Path, shared_dir: Path, monkeypatch: pytest.MonkeyPatch, runner: Any
) -> None:
    rows = pq.read_table(shared_dir / "data/wildchat/schema/wildchat_1m_fixture.parquet")
    bad = rows.slice(0, 1).to_pylist()[0] | {"conversation": []}
    odd = rows.slice(1, 1).to_pylist()[0]
    odd["detoxify_moderation"][0] |= {"toxicity": float("nan"), "threat": float("inf")}
    more = pa.Table.from_pylist([bad, odd], rows.schema)
    twice = pa.concat_tables([rows, more, rows, rows.slice(3, 2)])
    pq.write_table(twice, tmp_path / "rows.parquet", row_group_size=3)
    monkeypatch.setattr(importing_workers, "LocalRunner", runner)
    monkeypatch.setattr(importing_workers, "_SPAN_ROWS", 3)
    assert len(importing_workers.spans_of(tmp_path / "rows.parquet", 4)) == 6
    one, two = (_kept(tmp_path / f"w{n}", tmp_path / "rows.parquet", n) for n in (1, 2))
    assert one == two and one[0][:4] == (20, 19, 0, 1)
    assert sum("repeats" in c.meta for c in one[1]) == 11


def test_no_message_is_older_than_the_one_it_answers() -> None:
    messages = (
        Message("user", "a", "0"),
        Message("assistant", "b", "1", "0", {"timestamp": "2024-05-01T10:00:05"}),
        Message("assistant", "c", "2", "0", {"timestamp": "2024-05-01T10:00:03"}),
        Message("user", "d", "3", "1", {"timestamp": "2024-05-01T09:00:00"}),
    )
    ready = make_ready(Conversation("x", messages, Provenance("s", created="2024-06-01T00:00:00Z")))
    times = [MessageRow(*message).created_us for message in ready.messages]
    assert [(time - times[0]) / 1e6 for time in times] == [0, 2, 0, 2]


def test_two_messages_of_a_conversation_never_have_one_name_of_a_browser(store: Store, tmp_path: Path) -> None:
    import_into_store(store, _lines(tmp_path / "a.jsonl", 1), rejects=tmp_path / "bad.jsonl")  # no names: two messages
    name = update(MESSAGES).values(client_msg_id="same")
    with pytest.raises(IntegrityError):
        store.write(lambda c: c.execute(name))
    assert store.write(lambda c: c.execute(name.where(MESSAGES.c.role == "user")).rowcount) == 1


def test_a_repeated_row_of_one_file_is_kept_and_adds_nothing_later(store: Store, tmp_path: Path) -> None:
    row = json.dumps({"id": "same", "messages": [{"role": "user", "content": "hi"}]})
    path = tmp_path / "a.jsonl"
    path.write_text(f"{row}\n{row}\n")
    assert import_into_store(store, path, rejects=tmp_path / "bad.jsonl").new == 2
    assert import_into_store(store, path, rejects=tmp_path / "bad.jsonl").duplicate == 2


def test_what_was_erased_does_not_come_back_with_its_file(store: Store, tmp_path: Path) -> None:
    path = _lines(tmp_path / "a.jsonl", 3)
    rejects = tmp_path / "bad.jsonl"
    import_into_store(store, path, rejects=rejects)
    erased, *kept = [conversation.id for conversation in stored_conversations(store)]
    assert delete_conversations(store, [erased]) == 1
    again = import_into_store(store, _lines(tmp_path / "b.jsonl", 4), rejects=rejects)  # the same three and one more
    assert (again.new, again.duplicate) == (1, 3)
    held = [conversation.id for conversation in stored_conversations(store)]
    assert erased not in held and held[:2] == kept and len(held) == 3


def test_bad_rows_are_kept_aside_with_their_line(store: Store, tmp_path: Path) -> None:
    path = _lines(tmp_path / "a.jsonl", 3)
    path.write_text(path.read_text() + '{broken\n{"messages": []}\n')
    done = import_into_store(store, path, rejects=tmp_path / "bad.jsonl")
    assert (done.read, done.new, done.bad) == (5, 3, 2)
    kept = [json.loads(line) for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    assert [row["where"].rsplit(":", 1)[1] for row in kept] == ["4", "5"]
    assert sum(done.reasons.values()) == 2 and "not valid JSON" in done.reasons


def test_a_lone_surrogate_and_nul_do_not_stop_an_import(store: Store) -> None:
    texts = ("a\ud800b", "nul \0 here")
    given = [Conversation.linear([("user", text)], Provenance("s"), meta={"note": text}) for text in texts]
    assert store_conversations(store, given).new == 2
    assert sorted(c.messages[0].content for c in stored_conversations(store)) == ["a?b", texts[1]]


def _command(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "agora.cli", "collect", "import", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _held(db: Path) -> int:
    import sqlite3

    try:
        with sqlite3.connect(f"file:{db}?mode=ro", uri=True) as raw:
            count: int = raw.execute("select count(*) from conversations").fetchone()[0]
            return count
    except sqlite3.OperationalError:
        return 0


@pytest.mark.slow
def test_an_import_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    path = _lines(tmp_path / "a.jsonl", 3000)
    path.write_text(path.read_text() + "{broken\n")
    _append(path, 30_000)
    db, bad = tmp_path / "store.db", tmp_path / "bad.jsonl"
    words = (str(path), "--db", str(db), "--rejects", str(bad), "--max-bad", "1", "--json")
    process = _command(*words)
    while _held(db) < 5000 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    held = _held(db)
    assert 5000 <= held < 33_000
    out, err = (again := _command(*words)).communicate()
    assert again.returncode == 0, err
    told: dict[str, Any] = json.loads(out)
    one = told["files"][0]
    assert (told["read"], told["new"], told["duplicate"], told["bad"]) == (33_001, 33_000, 0, 1)
    assert one["resumed_at"] == held + 2  # 1-based, and one bad line lies before it
    assert bad.read_text().count("\n") == 1
    assert _held(db) == 33_000


def _append(path: Path, count: int) -> None:
    more = _lines(path.with_name("more.jsonl"), count, start=100_000)
    path.write_text(path.read_text() + more.read_text())


def test_many_bad_rows_end_with_exit_code_1_and_say_what_is_kept(tmp_path: Path) -> None:
    path = _lines(tmp_path / "a.jsonl", 3)
    path.write_text(path.read_text() + "{broken\n")
    process = _command(str(path), "--db", str(tmp_path / "s.db"), "--rejects", str(tmp_path / "bad.jsonl"))
    out, err = process.communicate()
    assert process.returncode == 1
    assert "4 rows read, 3 new, 0 duplicate, 1 bad" in out and "--max-bad" in err


def test_an_unknown_format_names_the_keys_and_the_formats_tried(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"foo": 1, "bar": 2}\n')
    process = _command(str(path), "--db", str(tmp_path / "s.db"))
    _, err = process.communicate()
    assert process.returncode == 1 and "'foo', 'bar'" in err and "wildchat-1m" in err and len(err.splitlines()) == 1
