"""Imported conversations in a release: only those asked for, under their license, with what their source knew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import select

from agora.core.tables import Rejects
from agora.curate.personal import annotate_personal, annotate_secrets
from agora.rooms.collect.enrich.annotations import Annotation, add
from agora.rooms.collect.importing import import_into_store
from agora.rooms.collect.release.build import GateError
from agora.rooms.collect.statistics.numbers import inconsistencies, numbers
from agora.rooms.collect.statistics.tally import Choices, count
from agora.rooms.collect.statistics.told import told_by_file
from agora.rooms.collect.tables import CONVERSATIONS, MESSAGES
from agora.store import Store
from tests.rooms.collect.release.built import build, rows
from tests.rooms.collect.release.test_release import reasons
from tests.shared import SHARED

FIXTURES = SHARED / "data" / "wildchat" / "schema"
TODAY = ("collect.quarantine_days=0",)  # the fixture's rows carry no time, so that of their import counts
pytestmark = pytest.mark.skipif(not FIXTURES.is_dir(), reason=f"no published rows in {FIXTURES} (set AGORA_SHARED)")


def bring(store: Store, name: str, tmp_path: Path, *, look: bool = True) -> int:
    """Import a fixture, and look for personal data in it."""
    done = import_into_store(store, FIXTURES / f"{name}_fixture.parquet", rejects=tmp_path / "rejects.jsonl")
    with store.reading() as connection:
        query = (
            select(MESSAGES.c.message_id)
            .join(CONVERSATIONS, CONVERSATIONS.c.conversation_id == MESSAGES.c.conversation_id)
            .where(CONVERSATIONS.c.subject_id.is_(None))
        )
        ids = list(connection.scalars(query))
    found = [Annotation(i, "pii", "1", annotate_personal([""])[0]) for i in ids]
    found += [Annotation(i, "secret", "1", annotate_secrets([""])[0]) for i in ids]
    if look:
        store.write(lambda c: add(c, found))
    return done.new


def test_imported_rows_stay_out_until_their_source_is_named(store: Store, tmp_path: Path) -> None:
    new = bring(store, "wildchat_1m", tmp_path)
    build(store, tmp_path / "r")
    assert len(rows(tmp_path / "r")) == 120 and reasons(store, "r") == {"source_not_asked_for": new}


def test_imported_rows_bring_language_place_and_moderation_and_a_new_pseudonym(store: Store, tmp_path: Path) -> None:
    new = bring(store, "wildchat_1m", tmp_path)
    source = rows_of_fixture("wildchat_1m")
    build(store, tmp_path / "r", "release.selection.sources=[wildchat-1m]")
    left_out = sum(reasons(store, "r").values())
    theirs = [row for row in rows(tmp_path / "r") if row["openai_moderation"]]
    assert new and len(rows(tmp_path / "r")) == 120 + new - left_out
    assert theirs
    by_hash = {row["conversation_hash"]: row for row in source}
    matched = [(row, by_hash[row["conversation_hash"]]) for row in theirs if row["conversation_hash"] in by_hash]
    assert matched
    for ours, published in matched:
        assert ours["openai_moderation"] == published["openai_moderation"]
        assert ours["country"] == published["country"]
        assert [t["language"] for t in ours["conversation"]] == [t["language"] for t in published["conversation"]]
        assert ours["hashed_ip"] != published["hashed_ip"]


def test_the_statistics_of_a_release_are_those_of_its_files(store: Store, tmp_path: Path) -> None:
    bring(store, "wildchat_1m", tmp_path)
    build(store, tmp_path / "r", "release.selection.sources=[wildchat-1m]", "release.shard_mb=1", workers=2)
    told = json.loads((tmp_path / "r" / "statistics.json").read_text())
    files = sorted((tmp_path / "r" / "data").glob("*.parquet"))
    choices = Choices("r", long_chars=0)
    read = [told_by_file(file, rejects=Rejects(), threshold=0.1) for file in files]
    again = json.loads(json.dumps(numbers(count((one for part in read for one in part), choices))))
    same = ("collection", "turns", "models", "countries", "languages", "table1_words", "first_prompts")
    assert {title: told[title] for title in same} == {title: again[title] for title in same}
    assert {m: row["turns"] for m, row in told["months"].items()} == {m: r["turns"] for m, r in again["months"].items()}
    place = told["table6_toxic_turns"]["columns"].index("linear")  # compat files have no column for our own classifier
    rest = [row[:place] for row in (told["table6_toxic_turns"]["user"], again["table6_toxic_turns"]["user"])]
    assert rest[0] == rest[1] and None not in rest[0]
    assert inconsistencies(told) == []


def test_a_gated_source_stops_the_release(store: Store, tmp_path: Path) -> None:
    bring(store, "lmsys_chat_1m", tmp_path)
    with pytest.raises(GateError, match=r"gate 7 \(license\)"):
        build(store, tmp_path / "r", *TODAY, "release.selection.sources=[lmsys-chat-1m]", as_of_us=None)


def test_imported_rows_that_nobody_searched_for_personal_data_stop_the_release(store: Store, tmp_path: Path) -> None:
    bring(store, "wildchat_1m", tmp_path, look=False)
    with pytest.raises(GateError, match=r"gate 3 \(enrichment\)"):
        build(store, tmp_path / "r", "release.selection.sources=[wildchat-1m]")


def rows_of_fixture(name: str) -> list[dict[str, object]]:
    import pyarrow.parquet as pq

    found: list[dict[str, object]] = pq.read_table(FIXTURES / f"{name}_fixture.parquet").to_pylist()
    return found
