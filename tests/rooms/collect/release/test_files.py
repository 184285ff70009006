"""The files of a release: other programs read them, they come back by the importers, and rows can be taken back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sqlalchemy import select

from agora.core.tables import Rejects
from agora.curate.importers.read import import_conversations
from agora.curate.importers.schemas import published_schema
from agora.curate.importers.wildchat import conversation_hash
from agora.rooms.collect.erase import erase_conversations
from agora.rooms.collect.explore.indexer import index_all
from agora.rooms.collect.explore.published import choices, find_published
from agora.rooms.collect.explore.query import parse_query
from agora.rooms.collect.explore.snippets import holds
from agora.rooms.collect.release import plan, scan
from agora.rooms.collect.release.profiles import row_sha256, schema_of
from agora.rooms.collect.release.retract import retract_release
from agora.rooms.collect.release.settings import PROFILES
from agora.rooms.collect.release.tables import RELEASE_ROWS
from agora.rooms.collect.tables import CONVERSATIONS
from agora.store import Store
from tests.rooms.collect.release.built import build, hashes, rows
from tests.rooms.collect.release.synthetic import NOW
from tests.rooms.collect.release.test_release import QUASI, by_hand

KEYS = {"compat-1m": "conversation", "compat-4.8m": "conversation", "native": "messages", "messages": "messages"}


@pytest.mark.parametrize("profile", PROFILES)
def test_each_profile_has_its_schema_and_is_read_back(profile: str, store: Store, tmp_path: Path) -> None:
    build(store, tmp_path / "r", f"release.profile={profile}")
    files = sorted((tmp_path / "r" / "data").glob("*.parquet"))
    assert pq.read_schema(files[0]).equals(schema_of(profile))
    found = rows(tmp_path / "r")
    assert len(found) == 120
    if profile == "native":
        messages = [m for row in found for m in row["messages"]]
        assert all(m["parent_id"] in {o["id"] for o in messages} for m in messages if m["parent_id"])
        return
    with Rejects(tmp_path / "rejects.jsonl") as rejects:
        back = list(import_conversations(files[0], rejects=rejects))
    assert rejects.count == 0 and len(back) == 120
    assert {m.role for conversation in back for m in conversation.messages} == {"user", "assistant"}
    if profile.startswith("compat"):
        assert files[0].name == "train-00000-of-00001.parquet"
        assert schema_of(profile).equals(published_schema(profile.replace("compat", "wildchat")))
        turns = [row["conversation"][i]["turn_identifier"] for row in found for i in range(0, 2 * row["turn"], 2)]
        assert len(set(turns)) == len(turns) and min(turns) > 0
        assert {row["conversation_hash"] for row in found} == {conversation_hash(c.messages) for c in back}


def test_other_programs_load_a_release_by_its_folder(store: Store, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets", reason="the extra 'bench' brings datasets")
    build(store, tmp_path / "r")
    loaded = datasets.load_dataset(str(tmp_path / "r"), cache_dir=str(tmp_path / "cache"))["train"]
    assert loaded.num_rows == 120
    assert loaded[0]["conversation"][0]["role"] == "user" and loaded[0]["header"].keys() == {
        "accept-language",
        "user-agent",
    }


def test_the_order_of_rows_tells_nothing_of_time(store: Store, tmp_path: Path) -> None:
    build(store, tmp_path / "r", "release.exact_times=true")
    people = [row["hashed_ip"] for row in rows(tmp_path / "r")]
    assert people == sorted(people)
    times = [row["timestamp"] for row in rows(tmp_path / "r") if row["hashed_ip"] == max(people, key=people.count)]
    assert times != sorted(times) and times != sorted(times, reverse=True)
    turns = [row["conversation"][0]["turn_identifier"] for row in rows(tmp_path / "r")]
    assert turns != sorted(turns)


def test_times_of_day_are_published_only_where_the_operator_asks(store: Store, tmp_path: Path) -> None:
    build(store, tmp_path / "r")
    assert all(row["timestamp"].time().isoformat() == "00:00:00" for row in rows(tmp_path / "r"))
    build(store, tmp_path / "s", "release.exact_times=true")
    assert any(row["timestamp"].time().isoformat() != "00:00:00" for row in rows(tmp_path / "s"))


@pytest.mark.parametrize("profile", PROFILES)
def test_a_retracted_release_lacks_what_was_taken_back_and_keeps_the_rest_as_it_was(
    profile: str, store: Store, tmp_path: Path
) -> None:
    build(store, tmp_path / "r", f"release.profile={profile}", "release.redaction.tokens=numbered", k=3)
    first = rows(tmp_path / "r")
    with store.reading() as connection:
        of = CONVERSATIONS.c.conversation_id == RELEASE_ROWS.c.conversation_id
        held = connection.execute(
            select(CONVERSATIONS.c.subject_id, RELEASE_ROWS.c.conversation_id).join(RELEASE_ROWS, of)
        ).all()
    for row in held[:10]:
        store.write(lambda c, r=row: erase_conversations(c, r.subject_id, r.conversation_id))
    told = retract_release(store, "r", tmp_path / "r", tmp_path / "again")
    second = rows(tmp_path / "again")
    assert told["removed"] == 10 and len(second) == told["conversations"] == len(first) - 10 - told["dropped_for_k"]
    assert sum(row in first for row in second) >= len(second) - told["coarser_for_k"]
    if profile == "native":
        assert by_hand(second, "person", QUASI) >= 3
    if profile.startswith("compat"):
        flat = [row | (row["header"] or {}) for row in second]
        shown = ("country", "state", "language", "user-agent", "accept-language", "timestamp")
        assert by_hand(flat, "hashed_ip", shown) >= 3
    with store.reading() as connection:
        gone = {row.conversation_id for row in held[:10]}
        assert not gone & set(connection.scalars(select(RELEASE_ROWS.c.conversation_id)))
    assert "10 were taken back" in (tmp_path / "again" / "README.md").read_text()
    sums = [line.split("  ") for line in (tmp_path / "again" / "checksums.sha256").read_text().splitlines()]
    assert {name: digest for digest, name in sums}.items() <= hashes(tmp_path / "again").items()
    once_more = retract_release(store, "r", tmp_path / "again", tmp_path / "third")
    assert once_more["removed"] == 0 and rows(tmp_path / "third") == second


def test_a_row_is_called_back_by_a_hash_that_everyone_can_compute(store: Store, tmp_path: Path) -> None:
    build(store, tmp_path / "r", "release.profile=sharegpt")
    roles = {"human": "user", "gpt": "assistant"}
    computed = {
        row_sha256(row["id"], [(roles[t["from"]], t["value"]) for t in row["conversations"]])
        for row in rows(tmp_path / "r")
    }
    with store.reading() as connection:
        assert computed == {bytes(d) for d in connection.scalars(select(RELEASE_ROWS.c.row_sha256))}


def test_a_list_in_many_pieces_gives_the_same_bytes(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(store, tmp_path / "whole", name="r", k=3)
    monkeypatch.setattr(scan, "_BATCH", 13)
    monkeypatch.setattr(scan, "_WRITTEN_AT_ONCE", 20)
    monkeypatch.setattr(plan, "_DEALT", 25)
    build(store, tmp_path / "pieces", name="r", k=3)
    assert hashes(tmp_path / "pieces") == hashes(tmp_path / "whole")


@pytest.mark.slow
def test_a_killed_build_goes_on_with_what_is_finished_and_gives_the_same_bytes(large: Store, tmp_path: Path) -> None:
    sets = ("release.shard_mb=1",)
    moment = "2026-09-21T14:13:20+00:00"
    large.close()
    command = [
        sys.executable,
        "-m",
        "agora.cli",
        "collect",
        "release",
        "--db",
        str(tmp_path / "agora.db"),
        "--name",
        "r",
    ]
    command += ["--as-of", moment, "--set", sets[0], "--json"]
    killed = subprocess.Popen([*command, "--out", str(tmp_path / "r")], stdout=subprocess.DEVNULL)
    work = tmp_path / "r" / ".building"
    while not (work / "shard-00001.json").exists():
        assert killed.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "r" / "manifest.json").exists()
    finished = {file: file.stat().st_mtime_ns for file in (work / "data").glob("*.parquet")}
    assert 2 <= len(finished) < 4
    done = subprocess.run([*command, "--out", str(tmp_path / "r")], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["conversations"] == 2000
    kept = {file.name: (tmp_path / "r" / "data" / file.name).stat().st_mtime_ns for file in finished}
    assert kept == {file.name: at for file, at in finished.items()}  # written once
    subprocess.run([*command, "--out", str(tmp_path / "whole"), "--workers", "2"], capture_output=True, check=True)
    assert hashes(tmp_path / "whole") == hashes(tmp_path / "r")
    assert NOW == 1_790_000_000_000_000


def test_a_release_from_postgresql(on_postgres: Store, tmp_path: Path) -> None:
    built = build(on_postgres, tmp_path / "r")
    assert built.numbers["conversations"] == 120 == len(rows(tmp_path / "r"))
    again = build(on_postgres, tmp_path / "s", name="r")
    assert again.numbers["manifest_sha256"] == built.numbers["manifest_sha256"]
    sum(index_all(on_postgres))
    with on_postgres.reading() as connection:
        everything, _ = find_published(connection, 1, parse_query(""), toxic=True, limit=1000)
        word = everything[0].turns[0].text.split()[0]
        found, _ = find_published(connection, 1, parse_query(word), toxic=True, limit=1000)
        assert len(everything) == 120 and choices(connection, 1, 4)["language"]
        assert {t.digest for t in found} == {
            t.digest for t in everything if any(holds(turn.text, parse_query(word)) for turn in t.turns)
        }
