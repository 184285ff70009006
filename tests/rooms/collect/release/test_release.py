"""What may be in a release, and what must not: 2,000 conversations of 40 people, or a few."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from agora.core.errors import ConfigError, UsageError
from agora.curate.personal import annotate_personal, annotate_secrets
from agora.rooms.collect.conversations import content_columns
from agora.rooms.collect.enrich.annotations import Annotation, add
from agora.rooms.collect.erase import erase_conversations, erase_subject
from agora.rooms.collect.moderate.tables import REVIEWS
from agora.rooms.collect.release.build import GateError, _Build
from agora.rooms.collect.release.profiles import row_sha256
from agora.rooms.collect.release.publish import find_release
from agora.rooms.collect.release.tables import RELEASE_ROWS
from agora.rooms.collect.tables import ANNOTATIONS, CONVERSATIONS, MESSAGES
from agora.store import Store
from agora.store.consent import withdraw
from agora.store.events import verify
from agora.store.ids import new_id
from tests.rooms.collect.release.built import build, hashes, rows, texts
from tests.rooms.collect.release.synthetic import CARD, DAY, KEY, MAIL, NOW, message_row
from tests.stores import store_in

QUASI = ("country", "state", "language", "user_agent", "accept_language", "date", "date_precision")


def reasons(store: Store, name: str) -> dict[str, int]:
    """Rows left out, by reason, as the store was told."""
    with store.reading() as connection:
        release = find_release(connection, name)
    assert release is not None
    return {reason: part["count"] for gate in release.report["gates"] for reason, part in gate["reasons"].items()}


def some(store: Store, count: int) -> list[str]:
    """Ids of conversations."""
    with store.reading() as connection:
        return list(
            connection.scalars(select(CONVERSATIONS.c.conversation_id).order_by("conversation_id").limit(count))
        )


def by_hand(found: list[dict[str, Any]], person: str, columns: tuple[str, ...]) -> int:
    """The smallest number of distinct people who share their values."""
    classes: dict[Any, set[str]] = defaultdict(set)
    for row in found:
        classes[tuple(row[name] for name in columns)].add(row[person])
    return min(len(people) for people in classes.values())


def test_every_class_has_k_people_as_a_count_over_the_written_rows_finds(large: Store, tmp_path: Path) -> None:
    native = build(large, tmp_path / "native", "release.profile=native", k=5)
    assert native.numbers["k"] == by_hand(rows(tmp_path / "native"), "person", QUASI) >= 5
    compat = build(large, tmp_path / "compat", k=5)
    flat = [row | row["header"] for row in rows(tmp_path / "compat")]
    shown = ("country", "state", "language", "user-agent", "accept-language", "timestamp")
    assert compat.numbers["k"] == by_hand(flat, "hashed_ip", shown) >= 5
    told = json.loads((tmp_path / "compat" / "statistics.json").read_text())["anonymity"]
    assert sum(told["rows_by_class_size_after"].values()) == compat.numbers["conversations"]
    assert told["rows_by_class_size_after"]["1"] == told["rows_by_class_size_after"]["3-4"] == 0
    assert told["rows_by_class_size_before"]["1"] > 0


def test_what_an_utterance_tells_of_its_person_is_what_the_row_tells(store: Store, tmp_path: Path) -> None:
    build(store, tmp_path / "r")
    for row in rows(tmp_path / "r"):
        for turn in row["conversation"]:
            if turn["role"] == "user":
                told = {name: turn[name] for name in ("country", "state", "hashed_ip", "header")}
                assert told == {name: row[name] for name in told}
            else:
                assert turn["timestamp"] == row["timestamp"]


def test_planted_personal_data_stops_a_release_without_redaction_and_is_gone_with_it(
    large: Store, tmp_path: Path
) -> None:
    with pytest.raises(GateError, match="gate 4") as refused:
        build(large, tmp_path / "open", "release.redaction.on=false")
    assert refused.value.exit_code == 3
    assert not list(tmp_path.glob("open/**/*.parquet")) and not (tmp_path / "open" / "manifest.json").exists()
    told = (tmp_path / "open" / "gates.json").read_text() + (tmp_path / "open" / "report.html").read_text()
    assert MAIL not in told and CARD not in told and KEY not in told
    residue = json.loads((tmp_path / "open" / "gates.json").read_text())[3]
    assert residue["status"] == "failed" and len(residue["reasons"]["residual_span"]["examples"]) == 20
    assert all(kind in residue["note"] for kind in ("EMAIL_ADDRESS", "CREDIT_CARD", "GITHUB"))
    build(large, tmp_path / "closed")
    said = texts(tmp_path / "closed")
    assert MAIL not in said and CARD not in said and KEY not in said
    assert "<PRESIDIO_ANONYMIZED_EMAIL_ADDRESS>" in said
    marked = [row for row in rows(tmp_path / "closed") if row["redacted"]]
    assert len(marked) == residue["reasons"]["residual_span"]["count"]
    assert all(any(turn["redacted"] for turn in row["conversation"]) for row in marked)


def test_the_same_inputs_give_the_same_bytes(store: Store, tmp_path: Path) -> None:
    first = build(store, tmp_path / "a", name="r", as_of_us=None)
    again = build(store, tmp_path / "b", name="r", as_of_us=None)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    assert first.numbers["manifest_sha256"] == again.numbers["manifest_sha256"]
    other = build(store, tmp_path / "c", name="other")
    assert other.numbers["number"] == 2
    people = [{row["hashed_ip"] for row in rows(tmp_path / out)} for out in ("a", "c")]
    assert not people[0] & people[1]  # nobody can be followed from one release into the other


def test_a_person_can_be_followed_through_a_series_where_the_operator_says_so(store: Store, tmp_path: Path) -> None:
    for name in ("a", "b"):
        build(store, tmp_path / name, "release.linkable_series=true")
    assert {r["hashed_ip"] for r in rows(tmp_path / "a")} == {r["hashed_ip"] for r in rows(tmp_path / "b")}
    assert "can be followed" in (tmp_path / "a" / "README.md").read_text()


def test_who_withdrew_or_erased_is_in_no_later_release_and_their_rows_are_called_back(
    store: Store, tmp_path: Path
) -> None:
    build(store, tmp_path / "first")
    with store.reading() as connection:
        subjects = connection.execute(
            select(CONVERSATIONS.c.subject_id, CONVERSATIONS.c.conversation_id).order_by("conversation_id")
        ).all()
    gone = [subjects[0].subject_id, next(s.subject_id for s in subjects if s.subject_id != subjects[0].subject_id)]
    with store.reading() as connection:
        held = {
            person: set(
                connection.scalars(
                    select(RELEASE_ROWS.c.release_pseudonym)
                    .join(CONVERSATIONS, CONVERSATIONS.c.conversation_id == RELEASE_ROWS.c.conversation_id)
                    .where(CONVERSATIONS.c.subject_id == person)
                )
            )
            for person in gone
        }
    pseudonyms = set().union(*held.values())
    assert len(pseudonyms) == 2
    store.write(lambda c: withdraw(c, gone[0]))
    store.write(lambda c: erase_subject(c, gone[1]))
    second = build(store, tmp_path / "second")
    theirs = [row for row in rows(tmp_path / "first") if row["hashed_ip"] in pseudonyms]
    assert second.numbers["conversations"] == len(rows(tmp_path / "first")) - len(theirs)
    with store.reading() as connection:
        after = set(
            connection.scalars(
                select(CONVERSATIONS.c.subject_id)
                .join(RELEASE_ROWS, RELEASE_ROWS.c.conversation_id == CONVERSATIONS.c.conversation_id)
                .where(RELEASE_ROWS.c.release_id != "")
                .where(RELEASE_ROWS.c.release_pseudonym.in_({r["hashed_ip"] for r in rows(tmp_path / "second")}))
            )
        )
    assert not after & set(gone)
    removed = [json.loads(line) for line in (tmp_path / "second" / "removals-2.jsonl").read_text().splitlines()]
    expected = {
        row_sha256(
            str(row["conversation"][0]["turn_identifier"]), [(t["role"], t["content"]) for t in row["conversation"]]
        ).hex()
        for row in theirs
    }
    assert {line["row_sha256"] for line in removed} == expected
    assert {line["release"] for line in removed} == {"first"}
    assert reasons(store, "second")["withdrawn"] > 0
    with store.reading() as connection:
        assert verify(connection).events > 0


def test_what_is_erased_while_a_release_is_built_is_not_in_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.reading() as connection:
        victim = connection.execute(select(CONVERSATIONS).order_by("conversation_id").limit(1)).one()
        words = connection.scalar(
            select(MESSAGES.c.content_sha256).where(MESSAGES.c.conversation_id == victim.conversation_id)
        )
    tell = _Build._tell
    done: list[int] = []

    def erase_meanwhile(self: _Build, facts: Any) -> str:
        told = tell(self, facts)
        if not done:
            done.append(store.write(lambda c: erase_conversations(c, victim.subject_id, victim.conversation_id)))
        return told

    monkeypatch.setattr(_Build, "_tell", erase_meanwhile)
    built = build(store, tmp_path / "r")
    assert done == [1] and words is not None
    assert built.numbers["conversations"] == 119 == len(rows(tmp_path / "r"))
    assert reasons(store, "r")["erased_meanwhile"] == 1
    with store.reading() as connection:
        held = set(connection.scalars(select(RELEASE_ROWS.c.conversation_id)))
    assert victim.conversation_id not in held and len(held) == 119


def test_each_gate_leaves_out_what_it_names(store: Store, tmp_path: Path) -> None:
    ids = some(store, 8)
    marks: list[dict[str, Any]] = [{"reserved_for": "wildbench"}, {"automation_score": 0.93}]

    def mark(connection: Any) -> None:
        for conversation, values in zip(ids, marks, strict=False):
            where = CONVERSATIONS.c.conversation_id == conversation
            connection.execute(update(CONVERSATIONS).where(where).values(**values))
        opened = {"waiting": True, "held": True, "reasons": "report", "priority": 0, "opened_us": NOW}
        connection.execute(insert(REVIEWS).values(conversation_id=ids[2], **opened))
        where = MESSAGES.c.conversation_id == ids[3]
        connection.execute(update(MESSAGES).where(where, MESSAGES.c.role == "assistant").values(status="timeout"))
        first = connection.scalar(select(MESSAGES.c.message_id).where(MESSAGES.c.conversation_id == ids[4]).limit(1))
        minors = {"flagged": True, "categories": {"sexual_minors": True}, "scores": {}, "provider": "openai"}
        add(connection, [Annotation(first, "tox", "openai:1", minors)])
        recent = MESSAGES.c.conversation_id == ids[5]
        connection.execute(update(MESSAGES).where(recent).values(completed_us=NOW - 6 * DAY))

    store.write(mark)
    built = build(store, tmp_path / "r")
    left_out = {"reserved": 1, "automated": 1, "held_back": 1, "no_sound_reply": 1, "sexual_minors": 1, "too_recent": 1}
    assert reasons(store, "r") == left_out
    assert built.numbers["conversations"] == 114
    with store.reading() as connection:
        held = set(connection.scalars(select(RELEASE_ROWS.c.conversation_id)))
    assert not held & set(ids[:6]) and set(ids[6:]) <= held
    published = "".join((tmp_path / "r" / name).read_text() for name in ("gates.json", "report.html", "manifest.json"))
    assert not any(conversation in published for conversation in ids)  # an id tells the time of its conversation
    again = build(store, tmp_path / "s", "release.selection.include_automated=true")
    assert again.numbers["conversations"] == 115
    assert "with them the candidates number 115, without 114" in (tmp_path / "s" / "README.md").read_text()


def test_a_message_that_was_not_looked_at_stops_the_release(store: Store, tmp_path: Path) -> None:
    conversation = some(store, 1)[0]
    row = message_row(new_id(NOW - 20 * DAY), conversation, None, 0, "not seen yet", NOW - 20 * DAY)
    reply = message_row(new_id(NOW - 20 * DAY + 1), conversation, row["message_id"], 1, "nor this", NOW - 1 * DAY * 9)
    store.write(lambda c: c.execute(insert(MESSAGES), [row | {"params_json": None}, reply]) and None)
    with pytest.raises(GateError, match=r"gate 3 \(enrichment\) failed: 1 not enriched"):
        build(store, tmp_path / "r")
    build(store, tmp_path / "r", f"release.selection.exclude=[{conversation}]")
    assert reasons(store, "r") == {"excluded": 1}


def test_a_place_is_required_of_what_people_wrote_and_not_of_replies(store: Store, tmp_path: Path) -> None:
    build(store, tmp_path / "r", "release.require=[lang, pii, secret, tox, geo]")
    assert len(rows(tmp_path / "r")) == 120
    with pytest.raises(GateError, match=r"120 not enriched; never run: dup"):
        build(store, tmp_path / "s", "release.require=[lang, dup]")


def test_a_conversation_is_cut_before_a_reply_that_broke_off(store: Store, tmp_path: Path) -> None:
    with store.reading() as connection:
        found = connection.execute(select(MESSAGES.c.conversation_id, MESSAGES.c.message_id, MESSAGES.c.role)).all()
    talks: dict[str, list[str]] = defaultdict(list)
    for message in found:
        talks[message.conversation_id].append(message.message_id)
    conversation, ids = next((c, sorted(m)) for c, m in talks.items() if len(m) >= 6)
    where = MESSAGES.c.message_id == ids[3]
    store.write(lambda c: c.execute(update(MESSAGES).where(where).values(status="interrupted")) and None)
    build(store, tmp_path / "r", "release.profile=native")
    build(store, tmp_path / "s", "release.profile=native", "release.selection.statuses=[complete, interrupted]")
    lengths = []
    for out in ("r", "s"):
        with store.reading() as connection:
            release = find_release(connection, out)
            assert release is not None
            digest = connection.scalar(
                select(RELEASE_ROWS.c.row_sha256).where(
                    RELEASE_ROWS.c.conversation_id == conversation, RELEASE_ROWS.c.release_id == release.id
                )
            )
        same = [
            r
            for r in rows(tmp_path / out)
            if row_sha256(r["id"], [(m["role"], m["content"]) for m in r["messages"]]) == digest
        ]
        lengths.append(len(same[0]["messages"]))
    assert lengths == [2, len(ids)]
    assert "1 conversations are cut" in (tmp_path / "r" / "README.md").read_text()


def test_nothing_left_is_told_with_the_reasons_and_nothing_is_published(store: Store, tmp_path: Path) -> None:
    with pytest.raises(GateError, match=r"no conversation passes the gates \(120 class too small"):
        build(store, tmp_path / "r", k=1000)
    assert not (tmp_path / "r" / "manifest.json").exists() and (tmp_path / "r" / "report.html").exists()
    empty = store_in(tmp_path, "empty.db", "empty.keys.json")
    with pytest.raises(GateError, match="the store holds none"):
        build(empty, tmp_path / "e")
    empty.close()


def test_a_published_name_is_not_taken_by_another_release(store: Store, tmp_path: Path) -> None:
    build(store, tmp_path / "r")
    with pytest.raises(UsageError, match="published already"):
        build(store, tmp_path / "r", k=2)
    with pytest.raises(UsageError, match="holds another release"):
        build(store, tmp_path / "r", name="s")


def test_by_the_published_rules_only_what_the_published_sets_replace_is_replaced(store: Store, tmp_path: Path) -> None:
    ids = some(store, 12)
    said = {
        ids[0]: "write to zoe.quist@northwind.net please",
        ids[1]: 'the address "zoe.quist2@northwind.net" is in a book',
        ids[2]: "the number 4539578763621486 is odd",
        ids[3]: "my SSN is 536-22-1234, keep it",
        ids[4]: f"the key is {KEY}",
    }
    said |= dict.fromkeys(ids[5:], "everybody writes to all.of.us@northwind.net")

    def put(connection: Any) -> None:
        for conversation, text in said.items():
            where = MESSAGES.c.conversation_id == conversation
            first = connection.scalar(select(MESSAGES.c.message_id).where(where).order_by("message_id").limit(1))
            connection.execute(update(MESSAGES).where(MESSAGES.c.message_id == first).values(**content_columns(text)))
            for kind, look in (("pii", annotate_personal), ("secret", annotate_secrets)):
                where = (ANNOTATIONS.c.message_id == first) & (ANNOTATIONS.c.kind == kind)
                result = json.dumps(look([text])[0])
                connection.execute(update(ANNOTATIONS).where(where).values(result_json=result))

    store.write(put)
    sets = ("release.redaction.rules=published", "release.redaction.public_value_subjects=3")
    build(store, tmp_path / "r", *sets)
    found = texts(tmp_path / "r")
    left = ("zoe.quist2@northwind.net", "4539578763621486", "536-22-1234", "all.of.us@northwind.net")
    assert all(value in found for value in left)
    assert "zoe.quist@northwind.net" not in found and "<PRESIDIO_ANONYMIZED_EMAIL_ADDRESS>" in found
    assert KEY not in found  # secrets always go
    card = (tmp_path / "r" / "README.md").read_text()
    assert "Found and left in the text" in card and "US_SSN 1" in card
    told = json.loads((tmp_path / "r" / "statistics.json").read_text())["release"]
    assert told["spans_left_by_published_rules"]["US_SSN"] == 1
    build(store, tmp_path / "all")
    assert not any(value in texts(tmp_path / "all") for value in left)
    with pytest.raises(ConfigError, match="for compat profiles"):
        build(store, tmp_path / "n", *sets, "release.profile=native")


def test_the_newest_version_is_taken_or_the_one_that_is_named(store: Store, tmp_path: Path) -> None:
    with store.reading() as connection:
        ids = list(connection.scalars(select(MESSAGES.c.message_id)))
    store.write(lambda c: add(c, [Annotation(i, "lang", "cascade:2", {"name": "Welsh"}) for i in ids]))
    build(store, tmp_path / "new")
    assert {row["language"] for row in rows(tmp_path / "new")} == {"Welsh"}
    build(store, tmp_path / "old", "release.versions={lang: cascade:1}")
    assert "Welsh" not in {row["language"] for row in rows(tmp_path / "old")}
    with pytest.raises(UsageError, match="no annotation of lang has version 'cascade:3'"):
        build(store, tmp_path / "none", "release.versions={lang: cascade:3}")
