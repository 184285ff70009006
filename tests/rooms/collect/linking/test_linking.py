"""Rows without state: the published rules to the row, trees that lose nothing, and what the two differ in."""

from __future__ import annotations

import gzip
import json
import random
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.errors import DataError, UsageError
from agora.core.records import Conversation
from agora.core.tables import Rejects
from agora.rooms.collect.linking.link import LinkReport, import_log, last_of_each
from agora.rooms.collect.linking.prefix import next_key, prefix_keys
from agora.rooms.collect.linking.records import tree_conversations
from agora.rooms.collect.linking.reference import link_reference
from agora.rooms.collect.linking.rows import FASTCHAT_LOG, WILDCHAT_LOG, ReadLog, log_kind, read_logs
from agora.rooms.collect.linking.tree import LinkRules, link_tree
from agora.rooms.collect.records import stored_conversations
from agora.store import Store
from tests.examples import examples

HEADERS = {"user-agent": "A", "accept-language": "en", "x-forwarded-for": "198.51.100.1, 10.0.0.1"}


@pytest.fixture(scope="module")
def fixture(shared_dir: Path) -> Path:
    return shared_dir / "data/wildchat/linking"


@pytest.fixture(scope="module")
def log(fixture: Path) -> ReadLog:
    return read_logs([fixture / "raw_turns.jsonl.gz"], WILDCHAT_LOG, Rejects())


def _row(number: int, turns: list[str], reply: str, minute: float = 0, **more: Any) -> dict[str, Any]:
    said = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(turns)]
    second = round(minute * 60)
    date = f"2024-05-{1 + second // 86400:02}T{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}"
    row = {"id": number, "date": date, "headers": HEADERS, "payload": {"messages": said}, "partial_words": reply}
    return row | {"model": "m"} | more


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _trees(path: Path, rows: list[dict[str, Any]], **rules: Any) -> list[Conversation]:
    read = read_logs([_write(path, rows)], WILDCHAT_LOG, Rejects())
    return list(tree_conversations(read, link_tree(read.rows, LinkRules(**rules)), lambda address: None))


def _paths(conversation: Conversation) -> list[str]:
    return [" ".join(m.content for m in path) for path in conversation.paths()]


def test_reference_mode_gives_the_published_conversations(log: ReadLog, fixture: Path) -> None:
    expected = json.loads((fixture / "expected_reference_linking.json").read_text())
    links = link_reference(log.rows)
    assert [[int(log.rows[i].id) for i in chain] for chain in links.conversations] == expected[
        "reference_conversations"
    ]
    assert sorted(int(log.rows[i].id) for i in links.lost) == expected["summary"]["turn_ids_lost_by_reference"]
    assert len(links.conversations) == 413 and sum(map(len, links.conversations)) == 859


def test_tree_mode_keeps_every_turn_once(log: ReadLog) -> None:
    forest = link_tree(log.rows)
    held = [row for node in forest.nodes if node.role == "assistant" for row in node.rows]
    assert sorted(held) == list(range(863))


def test_tree_mode_on_the_hand_made_cases(store: Store, fixture: Path, tmp_path: Path) -> None:
    report = import_log(store, [fixture / "raw_turns.jsonl.gz"], rejects=tmp_path / "bad.jsonl")
    assert (report.turns, report.kept, report.bad) == (863, 863, 0)
    assert (report.reference_conversations, report.reference_kept) == (413, 859)
    cases: dict[str, list[int]] = json.loads((fixture / "case_turn_ids.json").read_text())
    of_turn: dict[int, Conversation] = {}
    for conversation in stored_conversations(store):
        for message in conversation.messages:
            for number in message.meta.get("turn_identifiers", [message.meta.get("turn_identifier")]):
                of_turn[number] = conversation
    found = {name: {of_turn[i].id: of_turn[i] for i in ids} for name, ids in cases.items()}
    assert {name[:1]: len(c) for name, c in found.items() if not name.startswith(("B", "R"))} == dict.fromkeys(
        "ACDEFGHIJKLM", 1
    )
    (branch,) = found["D_branch_regenerate"].values()
    assert len(list(branch.paths())) == 2
    (missing,) = found["G_missing_first_turn"].values()
    assert [m.meta.get("status") for m in missing.messages] == ["reconstructed", "reconstructed", None, None]
    assert sum(m.role == "user" for m in missing.messages) == 2
    assert len(found["B_same_opening_two_devices"]) == 2
    (double,) = found["E_double_submit"].values()
    assert [m.meta.get("dup_count") for m in double.messages] == [None, 2, None, None]


def test_importing_a_log_twice_adds_nothing_and_a_longer_log_adds_its_new_turns(store: Store, tmp_path: Path) -> None:
    rows = [
        _row(1, ["a"], "b", 0),
        _row(2, ["a", "b", "c"], "d", 1),
        _row(3, ["x"], "y", 2),
        _row(4, ["a", "b", "c"], "e", 3),
    ]

    def read(count: int) -> tuple[int, int, int, int]:
        path = _write(tmp_path / "log.jsonl", rows[:count])
        done = import_log(store, [path], rejects=tmp_path / "bad.jsonl")
        return done.new, done.grown, done.duplicate, done.messages

    assert [read(n) for n in (1, 1, 3, 4, 4)] == [(1, 0, 0, 2), (0, 0, 1, 0), (1, 1, 0, 4), (0, 1, 1, 1), (0, 0, 2, 0)]
    assert sorted(p for c in stored_conversations(store) for p in _paths(c)) == ["a b c d", "a b c e", "x y"]


def test_no_address_reaches_the_store(store: Store, fixture: Path, tmp_path: Path) -> None:
    for link in ("tree", "reference"):
        import_log(store, [fixture / "raw_turns.jsonl.gz"], link=link, rejects=tmp_path / "bad.jsonl")
    read = read_logs([fixture / "raw_turns.jsonl.gz"], WILDCHAT_LOG, Rejects())
    addresses = {row.address for row in read.rows if row.address}
    for conversation in stored_conversations(store):
        told = json.dumps([conversation.meta, [m.meta for m in conversation.messages]])
        assert not any(address in told for address in addresses)
        assert all(len(m.meta["hashed_ip"]) == 64 for m in conversation.messages if m.meta.get("hashed_ip"))
    raw = b"".join(path.read_bytes() for path in tmp_path.glob("store.db*"))
    assert len(addresses) > 50 and not any(address.encode() in raw for address in addresses)


def test_what_the_published_rules_lose_is_kept_aside_with_the_reason(
    store: Store, fixture: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jsonl"
    report = import_log(store, [fixture / "raw_turns.jsonl.gz"], link="reference", rejects=bad)
    kept = [json.loads(line) for line in bad.read_text().splitlines()]
    assert sorted(row["raw"]["id"] for row in kept) == sorted(i for ids in report.lost.values() for i in ids)
    assert len(kept) == 4 and report.bad == 0 and report.kept == 859


def test_headers_are_json_or_the_row_is_bad(tmp_path: Path) -> None:
    text = str(HEADERS)  # how Python shows a dict: the reference evaluated it
    evil = "__import__('pathlib').Path('EVIL').touch()"
    rows = [_row(1, ["a"], "b", headers=text), _row(2, ["a"], "b", headers=evil)]
    rows.append(_row(3, ["a"], "b", headers=json.dumps(HEADERS)))
    rejects = Rejects()
    read = read_logs([_write(tmp_path / "log.jsonl", rows)], WILDCHAT_LOG, rejects)
    assert [row.id for row in read.rows] == ["3"] and rejects.by_reason == {"headers is no JSON": 2}
    assert not Path("EVIL").exists()


def test_rows_as_the_proxy_wrote_them_are_read(tmp_path: Path) -> None:
    inner = _row(7, ["a"], "b")
    rows = [{"id": 7, "date": inner.pop("date"), "text": json.dumps(inner)}]
    path = _write(tmp_path / "log.jsonl", rows)
    assert log_kind(path) == WILDCHAT_LOG
    (row,) = read_logs([path], WILDCHAT_LOG, Rejects()).rows
    assert (row.id, row.reply, row.address) == ("7", "b", "198.51.100.1")


def test_an_edited_question_is_a_sibling_and_a_changed_model_is_no_break(tmp_path: Path) -> None:
    rows = [
        _row(1, ["a"], "b", 0),
        _row(2, ["a", "b", "c"], "d", 1),
        _row(3, ["a", "b", "c2"], "e", 2, model="other"),
    ]
    (tree,) = _trees(tmp_path / "log.jsonl", rows)
    assert sorted(_paths(tree)) == ["a b c d", "a b c2 e"]
    assert [m.meta["model"] for m in tree.messages if m.role == "assistant"] == ["m", "m", "other"]


def test_the_same_first_words_later_or_elsewhere_begin_another_conversation(tmp_path: Path) -> None:
    other = {**HEADERS, "x-forwarded-for": "203.0.113.9"}
    rows = [
        _row(1, ["hi"], "one", 0),
        _row(2, ["hi"], "two", 5),
        _row(3, ["hi"], "three", 6, headers=other),
        _row(4, ["hi"], "four", 300),
    ]
    found = [_paths(tree) for tree in _trees(tmp_path / "log.jsonl", rows)]
    assert found == [["hi one", "hi two"], ["hi three"], ["hi four"]]


def test_a_double_submission_is_one_message_only_when_soon_and_equal(tmp_path: Path) -> None:
    rows = [_row(1, ["hi"], "a", 0), _row(2, ["hi"], "a", 1), _row(3, ["hi"], "b", 1.5), _row(4, ["hi"], "a", 9)]
    (tree,) = _trees(tmp_path / "log.jsonl", rows)
    assert _paths(tree) == ["hi a", "hi b", "hi a"]
    assert [m.meta.get("dup_count") for m in tree.messages] == [None, 2, None, None]


def test_a_gap_splits_only_when_asked(tmp_path: Path) -> None:
    rows = [_row(1, ["a"], "b", 0), _row(2, ["a", "b", "c"], "d", 14400)]
    (whole,) = _trees(tmp_path / "log.jsonl", rows)
    assert _paths(whole) == ["a b c d"]
    parts = _trees(tmp_path / "log.jsonl", rows, max_gap_s=86_400)
    assert [_paths(part) for part in parts] == [["a b"], ["a b c d"]]
    assert [m.meta.get("status") for m in parts[1].messages] == ["reconstructed", "reconstructed", None, None]


def test_the_longest_known_part_of_a_history_is_continued(tmp_path: Path) -> None:
    rows = [_row(1, ["a"], "b", 0), _row(2, ["a", "b", "c", "d", "e"], "f", 1)]
    (tree,) = _trees(tmp_path / "log.jsonl", rows)
    assert _paths(tree) == ["a b c d e f"]
    assert [m.meta.get("status") for m in tree.messages] == [None, None, "reconstructed", "reconstructed", None, None]


texts = st.sampled_from(["a", "b", ""])
histories = st.lists(texts, min_size=1, max_size=5).map(lambda t: t if len(t) % 2 else t[:-1])
logs = st.lists(st.tuples(histories, texts, st.integers(0, 90)), min_size=1, max_size=25)


@settings(max_examples=examples(60), deadline=None)
@given(logs, st.randoms(use_true_random=False))
def test_nothing_is_lost_and_the_order_of_the_lines_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, made: list[tuple[list[str], str, int]], rng: random.Random
) -> None:
    folder = tmp_path_factory.getbasetemp()
    rows = [_row(i, turns, reply, minute) for i, (turns, reply, minute) in enumerate(made)]
    trees = _trees(folder / "a.jsonl", rows)
    held = [
        i
        for tree in trees
        for m in tree.messages
        if m.role == "assistant"
        for i in m.meta.get("turn_identifiers", [m.meta.get("turn_identifier")])
        if i is not None
    ]
    assert sorted(held) == list(range(len(rows)))
    paths = {tuple(m.content for m in path[: i + 1]) for t in trees for path in t.paths() for i in range(len(path))}
    assert all((*turns, reply) in paths for turns, reply, _ in made)
    rng.shuffle(rows)
    assert [_paths(t) for t in _trees(folder / "b.jsonl", rows)] == [_paths(t) for t in trees]


@given(st.lists(st.tuples(st.sampled_from(["user", "assistant"]), st.text(max_size=5)), max_size=6))
def test_keys_roll_and_tell_histories_apart(turns: list[tuple[str, str]]) -> None:
    keys = prefix_keys(turns)
    assert len(set(keys)) == len(turns)
    for i, (role, text) in enumerate(turns):
        assert keys[i] == next_key(keys[i - 1] if i else b"", role, text)


def _event(kind: str, conversation: str, said: list[str | None], second: float, **more: Any) -> dict[str, Any]:
    roles = ["USER", "ASSISTANT"]
    messages = [[roles[i % 2], text] for i, text in enumerate(said)]
    state = {"conv_id": conversation, "roles": roles, "offset": 0, "messages": messages, "model_name": "vicuna"}
    return {"type": kind, "tstamp": 1.7e9 + second, "ip": "198.51.100.7", "model": "vicuna", "state": state} | more


def test_fastchat_logs_keep_replaced_answers_and_votes(store: Store, tmp_path: Path) -> None:
    rows = [
        _event("chat", "c1", ["a", "b"], 0),
        _event("chat", "c1", ["a", "b2"], 5),
        _event("chat", "c1", ["a", "b2", "c", "d"], 9),
        _event("upvote", "c1", ["a", "b2", "c", "d"], 12),
        _event("chat", "c2", ["a", "**NETWORK ERROR DUE TO HIGH TRAFFIC. TRY AGAIN**"], 20),
        _event("chat", "c3", ["a", None], 30),
        _event("chat", "c4", ["a", "b"], 40),
    ]
    path = _write(tmp_path / "conv.json.jsonl", rows)
    assert log_kind(path) == FASTCHAT_LOG
    report = import_log(store, [path], rejects=tmp_path / "bad.jsonl")
    assert (report.read, report.turns, report.kept, report.conversations) == (7, 5, 5, 2)
    assert report.passed_over == {"an error text in place of a reply": 1, "no reply in the event": 1}
    found = {c.provenance.source_id.split("@")[0]: c for c in stored_conversations(store)}
    assert sorted(_paths(found["c1"])) == ["a b", "a b2 c d"]
    assert found["c1"].messages[-1].meta["rating"] == 1
    read = read_logs([path], FASTCHAT_LOG, Rejects())
    last = last_of_each(read)
    assert [read.rows[i].reply for (i,) in last.conversations] == ["d", "b"] and len(last.lost) == 1
    again: LinkReport = import_log(store, [path], link="reference", rejects=tmp_path / "bad.jsonl")
    assert again.messages == 6


def test_wrong_use_is_told_in_one_line(store: Store, tmp_path: Path) -> None:
    path = _write(tmp_path / "a.jsonl", [{"messages": [{"role": "user", "content": "hi"}]}])
    with pytest.raises(DataError, match="no log of turns"):
        import_log(store, [path], rejects=tmp_path / "bad.jsonl")
    with pytest.raises(UsageError, match="choose tree or reference"):
        import_log(store, [path], link="forest", rejects=tmp_path / "bad.jsonl")


def test_a_log_that_was_half_imported_is_completed(store: Store, tmp_path: Path, fixture: Path) -> None:
    with gzip.open(fixture / "raw_turns.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    path = _write(tmp_path / "log.jsonl", rows)
    import_log(store, [path], rejects=tmp_path / "bad.jsonl")
    with sqlite3.connect(tmp_path / "store.db") as raw:  # as after a kill between two commits
        gone = raw.execute("select conversation_id from conversations order by 1 limit 200").fetchall()
        raw.executemany("delete from messages where conversation_id = ?", gone)
        raw.executemany("delete from conversations where conversation_id = ?", gone)
    raw.close()
    done = import_log(store, [path], rejects=tmp_path / "bad.jsonl")
    assert (done.new, done.duplicate) == (200, 214)
