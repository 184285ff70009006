"""The store and the other rooms: what visitors leave, imports kept once, records that come out as they went in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import select

from agora.core.errors import EngineError, UsageError
from agora.core.records import Conversation, Message, Provenance
from agora.core.tables import read_records
from agora.engines.registry import open_engine
from agora.microcosm.world import World
from agora.rooms.collect.erase import erase_subject
from agora.rooms.collect.records import store_conversations, store_numbers, stored_conversations
from agora.rooms.collect.tables import MESSAGES
from agora.rooms.collect.upstream import EngineUpstream
from agora.rooms.collect.visitors import send_visitors
from agora.store import Store
from agora.store.consent import find_subject
from agora.store.events import verify
from tests.rooms.collect.live import Person, ScriptedModel, live_app


def test_visitors_go_through_consent_and_are_judged_by_the_world(tmp_path: Path) -> None:
    visitors = list(World().visitors(8, 3))
    with live_app(tmp_path, EngineUpstream(open_engine("microcosm:chat"))) as (address, store):
        report = send_visitors(address, visitors, concurrency=4)
        assert [visit.visitor for visit in report.visits] == [visitor.id for visitor in visitors]
        assert all(visit.refused is None and visit.rounds >= 1 for visit in report.visits)
        assert 0 < report.as_json()["answered"] <= report.as_json()["goals"]
        numbers = store_numbers(store)
        withdrawn = {visit.conversation_id for visit in report.visits if visit.end == "withdrawn"}
        assert numbers["conversations"] == 8
        assert withdrawn and all(visit.end in ("kept", "withdrawn") for visit in report.visits)
        assert numbers["subjects"] == {"publish": 8 - len(withdrawn), "withdrawn": len(withdrawn)}
        assert numbers["messages"] == {"user": report.rounds, "assistant": report.rounds}
        found = {c.id: c for c in stored_conversations(store, only_published=False)}
        assert {c.id for c in stored_conversations(store)} == found.keys() - withdrawn
        for visit, visitor in zip(report.visits, visitors, strict=True):
            said = [m.as_chat() for m in next(iter(found[visit.conversation_id].paths()))]
            assert sum(visitor.answered(said)) == visit.answered


def test_visitors_tell_in_one_line_that_nobody_listens() -> None:
    with pytest.raises(EngineError, match="nobody listens"):
        send_visitors("http://127.0.0.1:1", list(World().visitors(2, 0)))
    with pytest.raises(UsageError, match="not the URL"):
        send_visitors("localhost", [])


def _tree() -> Conversation:
    messages = (
        Message("user", "Grüße 🙂", id="a"),
        Message("assistant", "one", id="b", parent="a", meta={"model": "m1"}),
        Message("assistant", "two", id="c", parent="a"),
        Message("user", "and?", id="d", parent="c"),
    )
    return Conversation(
        "k1", messages, Provenance("elsewhere", "k1", licence="CC0", created="2024-05-01T00:00:00+00:00")
    )


def _shape(conversation: Conversation) -> list[list[tuple[str, str]]]:
    return [[(m.role, m.content) for m in path] for path in conversation.paths()]


def test_a_tree_comes_out_as_it_went_in(store: Store) -> None:
    first = store_conversations(store, [_tree()])
    again = store_conversations(store, [_tree()])
    assert (first.new, first.known, first.messages) == (1, 0, 4)
    assert (again.new, again.known, again.messages) == (0, 1, 0)
    assert list(stored_conversations(store, original_ids=True)) == [_tree()]
    (found,) = stored_conversations(store)
    assert _shape(found) == _shape(_tree()) and found.id != "k1"
    assert found.provenance == _tree().provenance
    with store.reading() as connection:
        assert verify(connection).events == 1


def test_who_declined_or_withdrew_is_left_out(tmp_path: Path) -> None:
    with live_app(tmp_path, ScriptedModel()) as (address, store):
        people = [Person(address).consent() for _ in range(3)]
        for person in people:
            person.say(person.conversation(), "hello")
        people[1].http.post("/api/v1/consent/withdraw")
        people[2].http.post("/api/v1/receipts/delete", json={"receipt": people[2].receipt})
        assert len(list(stored_conversations(store))) == 1
        assert len(list(stored_conversations(store, only_published=False))) == 2
        assert store_numbers(store)["erased"] == 1


def _run(*words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "agora.cli", "collect", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, input=stdin)


def test_the_commands_do_what_their_names_say(tmp_path: Path) -> None:
    db = str(tmp_path / "store.db")
    logs = tmp_path / "chats.jsonl"
    rows = [
        {"messages": [{"role": "user", "content": f"hi {i}"}, {"role": "assistant", "content": "ho"}]} for i in range(3)
    ]
    logs.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{broken\n")
    rejects = str(tmp_path / "rejects.jsonl")
    done = _run("import", str(logs), "--db", db, "--rejects", rejects, "--json", "--max-bad", "1")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["read"], told["new"], told["duplicate"], told["bad"]) == (4, 3, 0, 1)
    assert Path(rejects).read_text().count("\n") == 1
    assert "events: 2" in _run("verify", "--db", db).stdout
    assert json.loads(_run("stats", "--db", db, "--json").stdout)["collection"]["conversations_released"] == 3
    out = tmp_path / "out.parquet"
    assert json.loads(_run("export", "--db", db, "--out", str(out), "--json").stdout)["conversations"] == 3
    assert sorted(c.messages[0].content for c in read_records(out, Conversation)) == ["hi 0", "hi 1", "hi 2"]
    wrong = _run("delete", "--db", db, "--receipt", "A" * 34)
    assert wrong.returncode == 1 and wrong.stderr.startswith("agora: no one has this receipt")


def test_erasing_by_command_ends_the_consent(tmp_path: Path) -> None:
    with live_app(tmp_path, ScriptedModel()) as (address, store):
        person = Person(address).consent()
        person.say(person.conversation(), "hello")
        with store.reading() as connection:
            subject = connection.scalar(select(MESSAGES.c.conversation_id))
        assert subject is not None
    keys = ["--keys", str(tmp_path / "keys.json")]
    done = _run("delete", "--db", str(tmp_path / "store.db"), *keys, "--receipt", person.receipt, "--json")
    assert json.loads(done.stdout) == {"erased": 1}


def test_a_subject_that_is_erased_is_withdrawn(store: Store) -> None:
    from tests.store.test_consent import _published

    subject, _ = _published(store)
    store.write(lambda c: erase_subject(c, subject.id))
    with store.reading() as connection:
        found = find_subject(connection, subject.id)
    assert found is not None and found.state == "withdrawn" and found.ip_pseudonym is None
