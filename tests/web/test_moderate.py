"""Moderation over real HTTP: reporting, deciding, redacting by hand, erasing, and who may see what."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from agora.rooms.collect.conversations import read_messages
from agora.rooms.collect.enrich.annotations import Annotation, add, latest
from agora.rooms.collect.moderate.reviews import held_back
from agora.rooms.collect.moderate.tables import REPORTS
from agora.store import Store, accounts
from agora.store.tables import EVENTS
from tests.rooms.collect.live import Person, ScriptedModel, bytes_in, live_app, settings
from tests.web.operators import OperatorClient, add_operators


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "_COSTS", (8, 8, 1))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Store]]:
    with live_app(tmp_path, ScriptedModel()) as (address, store):
        add_operators(store)
        yield address, store


def _talked(address: str, text: str = "hello") -> tuple[Person, str, str]:
    """A person, their conversation, and its reply."""
    person = Person(address).consent()
    conversation = person.conversation()
    person.say(conversation, text)
    return person, conversation, person.messages(conversation)[1]["id"]


def _form_token(person: Person, conversation: str) -> str:
    page = person.http.get(f"/chat/{conversation}").text
    return page.split('name="form_token" value="')[1].split('"')[0]


def _held(store: Store) -> list[str]:
    with store.reading() as connection:
        return list(connection.scalars(held_back(connection)))


def _events(store: Store, prefix: str = "operator.") -> list[Any]:
    with store.reading() as connection:
        query = select(EVENTS).where(EVENTS.c.kind.startswith(prefix)).order_by(EVENTS.c.seq)
        return list(connection.execute(query))


def test_a_reply_reported_with_a_form_waits_and_is_held_back(served: tuple[str, Store]) -> None:
    address, store = served
    person, conversation, reply = _talked(address)
    form = {"form_token": _form_token(person, conversation), "why": "harmful", "comment": "it was rude"}
    sent = person.http.post(f"/messages/{reply}/report", data=form)
    assert (sent.status_code, _held(store)) == (303, [conversation])
    assert "Thank you" in person.http.get(sent.headers["location"]).text
    operator = OperatorClient(address)
    listed = operator.http.get("/moderate").text
    assert f'href="/moderate/{conversation}"' in listed and "hello" not in listed
    page = operator.http.get(f"/moderate/{conversation}").text
    assert "You said: hello" in page and "it was rude" in page and "harmful" in page
    assert [e.kind for e in _events(store)] == ["operator.signed_in", "operator.read"]
    assert _events(store)[1].conversation_id == conversation


def test_a_program_reports_a_reply_too(served: tuple[str, Store]) -> None:
    address, store = served
    person, conversation, reply = _talked(address)
    sent = person.http.post("/api/v1/reports", json={"message_id": reply, "why": "personal"})
    assert sent.json() == {"message_id": reply, "why": "personal"} and _held(store) == [conversation]
    for body in ({"message_id": reply, "why": "boring"}, {"message_id": "X" * 26, "why": "other"}, {}):
        assert person.http.post("/api/v1/reports", json=body).status_code in (404, 422)
    other = Person(address).consent()
    assert other.http.post("/api/v1/reports", json={"message_id": reply, "why": "other"}).status_code == 404


def test_only_operators_come_in(served: tuple[str, Store]) -> None:
    address, _ = served
    person, conversation, reply = _talked(address)
    for path in ("/moderate", f"/moderate/{conversation}"):
        assert person.http.get(path).status_code == 401
        assert person.http.get(path, headers={"accept": "text/html"}).headers["location"].startswith("/sign-in?next=/m")
    token = _form_token(person, conversation)
    for verb in ("decide", "note", "redact"):
        form = {"form_token": token, "decision": "approve", "message_id": reply, "words": "hello", "type": "OTHER"}
        assert person.http.post(f"/moderate/{conversation}/{verb}", data=form).status_code == 401
    operator = OperatorClient(address)
    operator.form_token = token  # of another session
    assert operator.submit(f"/moderate/{conversation}/decide", decision="hold").status_code == 403
    assert "/moderate" not in person.http.get("/").text and "/moderate" in operator.http.get("/").text


def test_after_a_decision_the_next_conversation_is_there(served: tuple[str, Store]) -> None:
    address, store = served
    waiting = []
    for _ in range(3):
        person, conversation, reply = _talked(address)
        person.http.post("/api/v1/reports", json={"message_id": reply, "why": "wrong"})
        waiting.append(conversation)
    operator = OperatorClient(address)
    first = operator.submit(f"/moderate/{waiting[0]}/decide", decision="approve")
    assert first.headers["location"] == f"/moderate/{waiting[1]}"
    second = operator.submit(f"/moderate/{waiting[1]}/decide", decision="hold")
    assert second.headers["location"] == f"/moderate/{waiting[2]}"
    last = operator.submit(f"/moderate/{waiting[2]}/decide", decision="approve")
    assert last.headers["location"] == "/moderate"
    assert _held(store) == [waiting[1]]
    assert "Nothing waits here" in operator.http.get("/moderate").text
    assert waiting[1] in operator.http.get("/moderate?show=held").text


def test_words_redacted_by_hand_are_marked_on_the_page_and_in_the_annotations(served: tuple[str, Store]) -> None:
    address, store = served
    _, conversation, reply = _talked(address, "I am Ada Lovelace")
    operator = OperatorClient(address)
    path = f"/moderate/{conversation}/redact"
    done = operator.submit(path, message_id=reply, words="Ada Lovelace", type="PERSON")
    assert done.headers["location"] == f"/moderate/{conversation}?at={reply}#m{reply}"
    assert re.search(r'<mark title="PERSON">Ada Lovelace', operator.http.get(f"/moderate/{conversation}").text)
    with store.reading() as connection:
        (span,) = latest(connection, [reply], "pii")[reply].result["spans"]
        text = read_messages(connection, conversation)[1].content
    assert text[span["start"] : span["end"]] == "Ada Lovelace"
    assert operator.submit(path, message_id=reply, words="Grace", type="PERSON").status_code == 422
    assert operator.submit(path, message_id=reply, words="Ada", type="KING").status_code == 422
    assert operator.submit(path, message_id="X", words="Ada", type="PERSON").status_code == 404


def test_what_an_operator_erases_leaves_no_byte(served: tuple[str, Store], tmp_path: Path) -> None:
    address, store = served
    person, conversation, reply = _talked(address, "xylophonicword")
    person.http.post("/api/v1/reports", json={"message_id": reply, "why": "other", "comment": "anotherquiteoddword"})
    operator = OperatorClient(address)
    operator.submit(f"/moderate/{conversation}/note", note="thirdveryoddword")
    assert operator.submit(f"/moderate/{conversation}/decide", decision="erase").status_code == 422
    assert operator.submit(f"/moderate/{conversation}/decide", decision="erase", sure="1").status_code == 303
    assert person.http.get(f"/api/v1/conversations/{conversation}").status_code == 404
    assert operator.http.get(f"/moderate/{conversation}").status_code == 404
    for word in (b"anotherquiteoddword", b"thirdveryoddword"):
        assert word not in bytes_in(tmp_path, "*")
    assert [e.kind for e in _events(store)][-1] == "operator.erased"
    with store.reading() as connection:
        assert connection.execute(select(REPORTS)).all() == []


def test_flags_of_programs_wait_by_their_reason(served: tuple[str, Store]) -> None:
    address, store = served
    _, toxic, reply = _talked(address)
    _, mail, other = _talked(address)
    tox = {"flagged": True, "categories": {"hate": True}, "scores": {}, "provider": "linear"}
    pii = {"spans": [{"type": "EMAIL_ADDRESS", "start": 0, "end": 3, "score": 1.0, "by": "email"}]}
    store.write(lambda c: add(c, [Annotation(reply, "tox", "linear:1", tox), Annotation(other, "pii", "1", pii)]))
    operator = OperatorClient(address)
    everything = operator.http.get("/moderate").text
    assert everything.index(toxic) < everything.index(mail)
    only = operator.http.get("/moderate?reason=pii").text
    assert mail in only and toxic not in only
    assert operator.http.get("/moderate?reason=pii&after=zzz").status_code == 200
    assert toxic in operator.http.get("/moderate?reason=' OR 1=1 --").text  # no reason: everything
    page = operator.http.get(f"/moderate/{toxic}").text
    assert "linear: hate" in page and 'class="note bad"' not in page


def test_what_a_person_and_a_model_wrote_cannot_run_on_an_operators_page(served: tuple[str, Store]) -> None:
    address, _ = served
    attack = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    person, conversation, reply = _talked(address, attack)
    person.http.post("/api/v1/reports", json={"message_id": reply, "why": "other", "comment": attack})
    operator = OperatorClient(address)
    operator.submit(f"/moderate/{conversation}/note", note=f"</textarea>{attack}")
    page = operator.http.get(f"/moderate/{conversation}").text
    assert "<script>alert" not in page and "<img" not in page and "&lt;script&gt;" in page


def test_where_everything_is_reviewed_nothing_new_is_released_before_someone_approved_it(tmp_path: Path) -> None:
    with live_app(tmp_path, ScriptedModel(), settings(moderate={"review": "all"})) as (address, store):
        add_operators(store)
        person, conversation, reply = _talked(address)
        assert _held(store) == [conversation]
        operator = OperatorClient(address)
        assert "not looked at yet" in operator.http.get("/moderate?reason=new").text
        for go_on in (
            lambda: person.say(conversation, "and more", parent_id=reply),
            lambda: person.http.post(f"/api/v1/messages/{reply}/regenerate", json={}),
        ):
            assert operator.submit(f"/moderate/{conversation}/decide", decision="approve").status_code == 303
            assert _held(store) == []
            go_on()
            assert _held(store) == [conversation], "something new was said"
        operator.submit(f"/moderate/{conversation}/decide", decision="hold")
        person.say(conversation, "and more", parent_id=reply)
        assert _held(store) == [conversation]
