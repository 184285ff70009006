"""The explorer over real HTTP: who sees what, counts with people behind them, export, erasure under a running index."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, update

from agora.core.records import Conversation
from agora.core.tables import read_records
from agora.rooms.collect.explore.find import find
from agora.rooms.collect.explore.indexer import index_all
from agora.rooms.collect.explore.public import public_numbers
from agora.rooms.collect.explore.selection import Selection
from agora.rooms.collect.explore.tables import SEARCH_CONVERSATIONS
from agora.rooms.collect.tables import ANNOTATIONS
from agora.store import Store
from agora.store.accounts import Role, add_account
from agora.store.consent import ConsentText, Visitor, accept_terms, decide_publication
from agora.store.ids import now_us
from agora.store.tables import EVENTS, SUBJECTS
from tests.rooms.collect.live import Person, ScriptedModel, bytes_in, live_app, settings
from tests.stores import store_in

PASSWORD = "correct horse battery"
TEXT = ConsentText("1", "en", "terms", "publication")


@pytest.fixture
def served(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[str, Store]]:
    """A service; its index follows what is said where a test asks for that by parameter."""
    with live_app(tmp_path, ScriptedModel(), settings(**getattr(request, "param", {}))) as (address, store):
        store.write(lambda c: add_account(c, "ada", Role.MODERATOR, PASSWORD))
        yield address, store


def operator(address: str) -> Person:
    person = Person(address)
    assert person.http.post("/sign-in", data={"name": "ada", "password": PASSWORD}).status_code == 303
    return person


def until_found(store: Store, words: str, count: int) -> None:
    """Wait for the running index."""
    for _ in range(200):
        with store.reading() as connection:
            if len(find(connection, Selection(words=words))[0]) == count:
                return
        time.sleep(0.05)
    raise AssertionError(f"the index never had {count} conversations with {words!r}")


PAGES = [
    "/explore/search",
    "/explore/conversations/X",
    "/explore/export.jsonl",
    "/explore/map",
    "/explore/map.bin",
    "/explore/points/1",
]


def test_only_operators_see_more_than_counts(served: tuple[str, Store]) -> None:
    address, _ = served
    visitor = Person(address).consent()
    assert visitor.http.get("/explore").status_code == 200
    for path in PAGES:
        assert visitor.http.get(path).status_code == 401, path
        led = visitor.http.get(path, headers={"accept": "text/html"})
        assert led.status_code == 303 and led.headers["location"].startswith("/sign-in"), path
    assert visitor.http.post("/explore/saved", data={"form_token": "x"}).status_code == 401
    signed_in = operator(address)
    assert signed_in.http.get("/explore/search").status_code == 200
    assert signed_in.http.get("/explore/conversations/X").status_code == 404
    assert signed_in.http.post("/explore/saved", data={"form_token": "x"}).status_code == 403


@pytest.mark.parametrize("served", [{"explore": {"index": True}}], ids=["with its index"], indirect=True)
def test_what_is_said_is_found_while_the_service_runs_and_erased_words_are_gone(
    served: tuple[str, Store], tmp_path: Path
) -> None:
    address, store = served
    person, word = Person(address).consent(), "quuxophone"
    conversation = person.conversation()
    person.say(conversation, f"my {word}")
    until_found(store, word, 1)
    until_found(store, "said", 1)
    page = operator(address).http.get("/explore/search", params={"words": word}).text
    assert f"<mark>{word}</mark>" in page
    assert person.http.post("/api/v1/receipts/delete", json={"receipt": person.receipt}).json() == {"erased": 1}
    until_found(store, word, 0)
    assert word.encode() not in bytes_in(tmp_path)


def test_the_download_is_what_was_found_as_records_and_is_logged(served: tuple[str, Store], tmp_path: Path) -> None:
    address, store = served
    person, gone = Person(address).consent(), Person(address).consent()
    first, second, third = person.conversation(), person.conversation(), gone.conversation()
    person.say(first, "swallows and reeds")
    person.say(second, "nothing of it")
    gone.say(third, "swallows of someone who withdraws")
    gone.http.post("/api/v1/consent/withdraw")
    sum(index_all(store))
    got = operator(address).http.get("/explore/export.jsonl", params={"words": "swallows"})
    (tmp_path / "out.jsonl").write_bytes(got.content)
    records = list(read_records(tmp_path / "out.jsonl", Conversation))
    assert [r.id for r in records] == [first] and len(records[0].messages) == 2
    with store.reading() as connection:
        logged = connection.scalars(select(EVENTS.c.payload).where(EVENTS.c.kind == "explore.exported")).all()
    assert json.loads(logged[0])["conversations"] == 2


def test_bad_parameters_are_told_and_never_an_error_of_the_server(served: tuple[str, Store]) -> None:
    address, _ = served
    person = operator(address)
    for params in (
        {"words": "-a"},
        {"words": '"'},
        {"since": "yesterday"},
        {"toxic": "perhaps"},
        {"min_turns": "many"},
        {"after": "x"},
        {"topic": "9" * 30},
        {"max_automation": "nan"},
    ):
        answer = person.http.get("/explore/search", params=params)
        assert answer.status_code == 200 and 'role="alert"' in answer.text, params
    for words in ("a' OR 1=1", "\x00", "NEAR(", "\U0001f600 a", "%", "a" * 900):
        answer = person.http.get("/explore/search", params={"words": words, "country": "'; DROP TABLE x"})
        assert answer.status_code == 200, words
    assert person.http.get("/explore/export.jsonl", params={"words": "-a"}).status_code == 422
    assert person.http.get("/explore/points/99999999999999999999").status_code == 404


def fill(store: Store, groups: dict[str, int]) -> None:
    """So many people of each country, each with one conversation in the index."""

    def put(connection: object) -> None:
        number = 0
        for country, people in groups.items():
            for _ in range(people):
                number += 1
                subject = accept_terms(connection, store.keys, TEXT, Visitor()).id  # type: ignore[arg-type]
                decide_publication(connection, store.keys, subject, TEXT, publish=True)  # type: ignore[arg-type]
                row = {"number": number, "conversation_id": f"C{number:025}", "subject_id": subject, "created_us": 0}
                row |= {"month": "2026-01", "source": "web", "country": country, "turns": 1, "ups": 0, "downs": 0}
                connection.execute(SEARCH_CONVERSATIONS.insert().values(**row))  # type: ignore[attr-defined]

    store.write(put)


@pytest.mark.parametrize(
    ("groups", "shown"),
    [
        ({"DE": 30, "FR": 25}, {"DE": 30, "FR": 25}),
        ({"DE": 30, "FR": 10, "GB": 10}, {"DE": 30, None: 20}),
        ({"DE": 40, "FR": 25, "GB": 3}, {"DE": 40, None: 28}),  # 3 must not be had by subtracting
        ({"DE": 25, "GB": 3}, {None: 28}),
        ({"DE": 10, "GB": 3}, {}),
    ],
)
def test_no_public_count_has_fewer_people_behind_it_than_the_operator_says(
    tmp_path: Path, groups: dict[str, int], shown: dict[str | None, int]
) -> None:
    store = store_in(tmp_path)
    fill(store, groups)
    with store.reading() as connection:
        numbers = public_numbers(connection, 20)
    assert {cell.value: cell.conversations for cell in numbers.cells.get("country", ())} == shown
    assert all(cell.subjects >= 20 for cells in numbers.cells.values() for cell in cells)
    store.write(lambda c: c.execute(update(SUBJECTS).values(consent_state="withdrawn")))
    with store.reading() as connection:
        assert public_numbers(connection, 20).conversations == 0
    store.close()


def test_the_operator_can_keep_the_counts_private(tmp_path: Path) -> None:
    chosen = settings(explore={"public": False})
    with live_app(tmp_path, ScriptedModel(), chosen) as (address, store):
        store.write(lambda c: add_account(c, "ada", Role.MODERATOR, PASSWORD))
        assert Person(address).http.get("/explore").status_code == 404
        assert operator(address).http.get("/explore").status_code == 200


def _annotate(connection: Connection, row: dict[str, Any]) -> None:
    connection.execute(insert(ANNOTATIONS), row)


def test_the_map_tells_which_conversations_hold_the_words(served: tuple[str, Store]) -> None:
    address, store = served
    person = Person(address).consent()
    for i, text in enumerate(("swallows and reeds", "swallows", "bread", "more bread")):
        conversation = person.conversation()
        person.say(conversation, text)
        first = person.messages(conversation)[0]["id"]
        for kind, result in (
            ("lang", {"code": "en"}),
            ("topic", {"topic": i // 2, "x": i, "y": 0, "terms": [f"t{i}"]}),
        ):
            row = {"message_id": first, "kind": kind, "pipeline_version": "1", "created_us": now_us()}
            store.write(partial(_annotate, row={**row, "result_json": json.dumps(result)}))
    sum(index_all(store))
    http = operator(address).http
    page = http.get("/explore/map", params={"words": "swallows"}).text
    assert "2 of the 4 conversations on this map hold the words" in page
    assert re.findall(r"topic=(\d)&amp;words=swallows", page) == ["0"]
    assert len(http.get("/explore/map.bin", params={"language": "en"}).content) == 4 * 16
    assert len(http.get("/explore/map.bin", params={"language": "en", "words": "swallows"}).content) == 2 * 16
    assert "hold the words" not in http.get("/explore/map").text
    assert 'role="alert"' in http.get("/explore/map", params={"words": "-only"}).text
