"""The whole pipeline over a store: what it finds out, that it asks nobody, that it works beside a service."""

from __future__ import annotations

import json
import random
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, update

from agora.rooms.collect.conversations import message_row
from agora.rooms.collect.enrich.annotations import KINDS, Annotation, add, latest
from agora.rooms.collect.enrich.pipeline import enrich
from agora.rooms.collect.enrich.repeats import _Prompt, automation_scores
from agora.rooms.collect.explore.find import count, find
from agora.rooms.collect.explore.indexer import index_all
from agora.rooms.collect.explore.selection import Selection
from agora.rooms.collect.tables import ANNOTATIONS, CONVERSATIONS, MESSAGES
from agora.store import Store
from agora.store.consent import ConsentText, Visitor, accept_terms
from agora.store.ids import new_id
from tests.loop.conftest import agora
from tests.rooms.collect.enrich.stored import put_conversations, put_texts
from tests.rooms.collect.live import Person, ScriptedModel, live_app, settings
from tests.stores import store_in

LONG = (
    "Write a short story about a lighthouse keeper who finds a letter in a bottle and answers it, in the style of {}."
)
WORDS = "sea ship harbor captain storm wave sail anchor deck crew island reef".split()  # noqa: SIM905
FOODS = "bread butter flour oven dough sugar cake recipe kitchen spoon salt honey".split()  # noqa: SIM905


def _results(store: Store, ids: list[str], kind: str) -> list[Any]:
    with store.reading() as connection:
        found = latest(connection, ids, kind)
    return [dict(found[m].result) if m in found else None for m in ids]


def test_languages_are_stored_beside_every_message(store: Store) -> None:
    ids = put_conversations(store, ["Wie spät ist es in Berlin?", "It is six o'clock in the evening."], ["12345"])
    (report,) = enrich(store, ["lang"])
    assert (report.messages, report.missing, report.dead, report.unavailable) == (3, 0, 0, None)
    assert [r["name"] for r in _results(store, ids, "lang")] == ["German", "English", "Nolang"]


def test_repeats_are_found_within_a_language_and_named_by_their_first_message(store: Store) -> None:
    first = put_texts(store, LONG.format("Hemingway"), "What is the capital of France?", name="first")
    enrich(store, ["lang", "dup"])
    then = put_texts(store, LONG.format("Hemingway"), LONG.format("Virginia W."), "How do I boil an egg?", name="then")
    (_, report) = enrich(store, ["lang", "dup"])
    assert (report.kind, report.messages) == ("dup", 3)
    assert _results(store, [*first, *then], "dup") == [
        {"cluster": first[0], "exact": True},
        {"cluster": first[1], "exact": True},
        {"cluster": first[0], "exact": True},
        {"cluster": first[0], "exact": False},
        {"cluster": then[2], "exact": True},
    ]
    with store.reading() as connection:
        rows = connection.execute(select(CONVERSATIONS.c.source_key, CONVERSATIONS.c.dup_cluster)).all()
    clusters = {row.source_key: row.dup_cluster for row in rows}
    assert clusters["first-0"] == clusters["then-0"] == clusters["then-1"] == first[0]
    assert enrich(store, ["dup"])[0].messages == 0


def _visitor(store: Store, texts: list[str], times_s: list[float], headers: dict[str, str], **where: Any) -> str:
    visitor = Visitor(headers=headers, **where)
    subject = store.write(lambda c: accept_terms(c, store.keys, ConsentText("1", "en", "a", "b"), visitor)).id
    talks: list[dict[str, Any]] = []
    rows = []
    for text, at in zip(texts, times_s, strict=True):
        conversation = new_id()
        made = {"created_us": 1, "updated_us": 1, "state": "open", "source": "web", "subject_id": subject}
        talks.append({"conversation_id": conversation, **made})
        rows.append(
            message_row(
                message_id=new_id(),
                conversation_id=conversation,
                parent_id=None,
                role="user",
                text=text,
                at_us=int(at * 1e6),
            )
        )
    store.write(lambda c: c.execute(insert(CONVERSATIONS), talks).rowcount)
    store.write(lambda c: c.execute(insert(MESSAGES), rows).rowcount)
    return subject


def test_a_program_scores_above_a_person(store: Store) -> None:
    rng = random.Random(1)
    program = _visitor(store, [LONG.format(n) for n in range(10)], [60.0 * n for n in range(10)], {})
    said = [f"{a} {b}?" for a, b in zip(WORDS[:10], FOODS, strict=False)]
    waits = [rng.expovariate(1 / 60) for _ in said]
    browser = {"accept-language": "en", "user-agent": "Mozilla/5.0"}
    person = _visitor(store, said, [sum(waits[:n]) for n in range(len(said))], browser)
    enrich(store, ["lang", "dup"])
    with store.reading() as connection:
        rows = connection.execute(select(CONVERSATIONS.c.subject_id, CONVERSATIONS.c.automation_score)).all()
    scores = {row.subject_id: row.automation_score for row in rows}
    assert scores[program] == pytest.approx(1.0) and scores[person] < 0.2


def test_too_few_prompts_say_nothing_of_a_person() -> None:
    some = [_Prompt(f"{n}", "c", "s", n * 1_000_000, b"", "the same text") for n in range(4)]
    headers = {"s": '{"accept-language": "en", "user-agent": "x"}'}
    assert automation_scores(some, dict.fromkeys((p.message_id for p in some), "0"), headers) == {"s": 0.0}


def test_a_person_s_place_stands_beside_their_messages(store: Store) -> None:
    _visitor(store, ["hello there", "and again"], [1, 2], {}, country_iso="GB", subdivision="England")
    _visitor(store, ["from nowhere"], [3], {})
    (report,) = enrich(store, ["geo"])
    with store.reading() as connection:
        ids = list(connection.scalars(select(MESSAGES.c.message_id).order_by(MESSAGES.c.created_us)))
    england = {"country": "United Kingdom", "country_iso": "GB", "state": "England"}
    assert report.messages == 3
    assert _results(store, ids, "geo") == [england, england, {"country": None, "country_iso": None, "state": None}]


def test_categories_are_the_words_of_topics_follow_a_new_map_and_leave_other_makers_alone(store: Store) -> None:
    ids = put_texts(store, "about boats", "about bread", "about nothing")

    def mapped(version: str, *terms: list[str]) -> None:
        rows = [
            Annotation(i, "topic", f"tfidf:{version}", {"topic": n, "x": 0.0, "y": 0.0, "terms": t})
            for n, (i, t) in enumerate(zip(ids, terms, strict=False))
        ]
        store.write(lambda c: c.execute(delete(ANNOTATIONS).where(ANNOTATIONS.c.kind == "topic")))
        store.write(lambda c: add(c, rows))

    mapped("1", ["sea", "ship"], ["bread", "salt"], ["topic 3"])
    (report,) = enrich(store, ["category"])
    assert (report.messages, report.version) == (3, "topic:1")
    assert _results(store, ids, "category") == [{"category": "sea, ship"}, {"category": "bread, salt"}, {}]
    assert enrich(store, ["category"])[0].messages == 0, "nothing is missing"
    store.write(lambda c: add(c, [Annotation(ids[0], "category", "person:1", {"category": "travel"})]))
    mapped("2", ["sea", "wind"], ["bread", "oven"])
    assert enrich(store, ["category"])[0].messages == 2
    sum(index_all(store))
    with store.reading() as connection:
        held = connection.execute(select(ANNOTATIONS.c.pipeline_version).where(ANNOTATIONS.c.kind == "category"))
        assert sorted(held.scalars()) == ["person:1", "topic:2", "topic:2"]
        counted = dict(count(connection, Selection()).facets["category"])
        assert counted == {"travel": 1, "bread, oven": 1, None: 1}, "what a person said counts before a topic's words"
        assert len(find(connection, Selection(category="bread, oven"))[0]) == 1


def test_a_map_of_prompts_with_one_word_between_them_is_a_point(store: Store) -> None:
    ids = put_texts(store, *["hej"] * 6)
    store.write(lambda c: add(c, [Annotation(i, "lang", "1", {"code": "sv"}) for i in ids]))
    assert enrich(store, ["topic"])[0].messages == 6
    assert {(p["x"], p["y"]) for p in _results(store, ids, "topic")} == {(0.0, 0.0)}


@pytest.mark.slow
def test_topics_lie_apart_on_the_map_of_their_language(store: Store) -> None:
    rng = random.Random(0)
    texts = [
        f"Please tell me about the {' and the '.join(rng.sample(words, 5))}"
        for words in (WORDS, FOODS)
        for _ in range(90)
    ]
    ids = put_texts(store, *texts)
    reports = enrich(store, ["lang", "topic"])
    assert reports[-1].messages == 180
    points = _results(store, ids, "topic")
    sea, food = points[:90], points[90:]
    assert {p["topic"] for p in sea}.isdisjoint(p["topic"] for p in food)
    assert set(sea[0]["terms"]) <= set(WORDS) and set(food[0]["terms"]) <= set(FOODS)
    assert max(p["x"] for p in sea) < min(p["x"] for p in food) or max(p["x"] for p in food) < min(p["x"] for p in sea)
    assert all(-1 <= p["x"] <= 1 and -1 <= p["y"] <= 1 for p in points)
    assert enrich(store, ["topic"])[0].messages == 0
    assert enrich(store, ["category"])[0].messages == 180
    assert {r["category"] for r in _results(store, ids, "category")} == {", ".join(p["terms"]) for p in points}
    put_texts(store, "Please tell me about the sea and the bread", name="more")
    assert [r.messages for r in enrich(store, ["lang", "topic"])] == [1, 181]


def test_the_whole_pipeline_asks_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("something tried to reach the network")

    store = store_in(tmp_path)
    mail = (
        "Write to jane.roe@mail-corp.com or see https://www.some-shop.co.uk, card 4111 1111 1111 1111, +44 20 7946 0958"
    )
    put_texts(
        store,
        mail,
        "Mi número es el 600 123 456, gracias",
        *[f"{w} and {f}" for w, f in zip(WORDS, FOODS, strict=True)],
    )
    for name in ("connect", "connect_ex", "sendto", "bind"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("getaddrinfo", "create_connection", "gethostbyname"):
        monkeypatch.setattr(socket, name, refuse)
    found = enrich(store, KINDS)
    assert {"lang", "geo", "dup", "topic", "category"} <= {report.kind for report in found}
    assert [(r.kind, r.error) for r in found if r.error or r.dead or r.failures] == []
    assert next(r for r in found if r.kind == "lang").messages == 14
    store.close()


@pytest.mark.slow
def test_the_command_shares_the_work_among_processes_and_says_what_it_did(tmp_path: Path) -> None:
    database = tmp_path / "store.db"
    store = Store.open(str(database), keys=tmp_path / "store.db.keys.json")
    ids = put_texts(store, *[f"This is sentence number {n} of the whole text." for n in range(60)])
    store.close()
    command = ["collect", "enrich", "--db", str(database), "--kinds", "lang", "--json"]
    done = agora(*command, "--workers", "2", "--batch", "8")
    (report,) = json.loads(done.stdout)["kinds"]
    assert done.returncode == 0 and (report["messages"], report["missing"]) == (60, 0), done.stderr
    assert json.loads(agora(*command).stdout)["kinds"][0]["messages"] == 0
    again = Store.open(str(database), keys=tmp_path / "store.db.keys.json")
    assert {r["code"] for r in _results(again, ids, "lang")} == {"en"}
    again.close()


@pytest.mark.slow
def test_processes_on_both_databases_share_the_work_and_do_each_message_once(store_url: str, tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    store = Store.open(store_url, keys=keys)
    ids = put_texts(store, *[f"This is sentence number {n} of the whole text." for n in range(200)])
    (report,) = enrich(store, ["lang"], elsewhere=(store_url, keys), workers=3, batch=8)
    assert (report.messages, report.computed, report.missing) == (200, 200, 0)
    assert {r["code"] for r in _results(store, ids, "lang")} == {"en"}
    store.close()


def test_an_unknown_kind_is_one_line(tmp_path: Path) -> None:
    done = agora("collect", "enrich", "--db", str(tmp_path / "store.db"), "--kinds", "lang,topics")
    assert done.returncode == 2 and "no annotation of kind 'topics'; did you mean topic?" in done.stderr


def test_a_running_service_annotates_what_is_said(tmp_path: Path) -> None:
    with live_app(tmp_path, ScriptedModel(), settings(enrich=("lang",))) as (address, store):
        person = Person(address).consent()
        conversation = person.conversation()
        person.say(conversation, "Wo finde ich hier in der Nähe eine gute Bäckerei?")
        ids = [m["id"] for m in person.messages(conversation)]
        for _ in range(300):
            told = _results(store, ids, "lang")
            if all(told):
                break
            time.sleep(0.1)
    assert len(ids) == 2 and told[0]["code"] == "de"


def test_a_service_told_to_enrich_nothing_leaves_messages_alone(tmp_path: Path) -> None:
    with live_app(tmp_path, ScriptedModel(), settings(enrich=())) as (address, store):
        person = Person(address).consent()
        conversation = person.conversation()
        person.say(conversation, "Hello!")
        ids = [m["id"] for m in person.messages(conversation)]
        time.sleep(0.3)
        assert _results(store, ids, "lang") == [None, None]


def test_erased_conversations_are_not_enriched(store: Store) -> None:
    ids = put_texts(store, "Where is the library?", "Where is the station?")
    store.write(lambda c: c.execute(update(CONVERSATIONS).values(state="deleted")).rowcount)
    enrich(store, ["dup"])
    with store.reading() as connection:
        assert set(connection.scalars(select(CONVERSATIONS.c.dup_cluster))) == {None} and len(ids) == 2
