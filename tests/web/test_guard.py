"""The guard over real HTTP: a spent budget, a full context, the puzzle, blocked addresses, what monitoring sees."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from agora.rooms.collect.guard.proof import solve
from agora.rooms.collect.tables import CONVERSATIONS, MESSAGES
from agora.rooms.collect.upstream import Piece, Turns
from agora.store import Store, accounts
from agora.store.spending import spent, today
from agora.store.tables import ADDRESSES, EVENTS, SUBJECTS
from tests.rooms.collect.live import Person, ScriptedModel, live_app, settings
from tests.web.operators import OperatorClient, add_operators


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "_COSTS", (8, 8, 1))


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel()


@pytest.fixture
def served(tmp_path: Path, model: ScriptedModel) -> Iterator[tuple[str, Store]]:
    with live_app(tmp_path, model) as (address, store):
        add_operators(store)
        yield address, store


def _send(person: Person, conversation: str, text: str = "hi", n: int = 0, **more: object) -> httpx.Response:
    body = {"content": text, "client_msg_id": f"m{n}", **more}
    return person.http.post(f"/api/v1/conversations/{conversation}/messages", json=body)


def test_a_spent_budget_refuses_before_the_model_is_asked_and_keeps_no_message(
    tmp_path: Path, model: ScriptedModel
) -> None:
    chosen = settings(budget={"tokens_per_day": 130}, max_tokens=100)
    with live_app(tmp_path, model, chosen) as (address, store):
        person = Person(address).consent()
        conversation = person.conversation()
        assert _send(person, conversation).status_code == 200
        with store.reading() as connection:
            assert spent(connection, today())["tokens"] == 7  # as the model told: 3 read, 4 written
        refused = _send(person, conversation, "x" * 200, 1)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "budget_exhausted")
        assert int(refused.headers["retry-after"]) <= 86_400
        assert len(model.asked) == 1 and len(person.messages(conversation)) == 2
        page = person.http.post(
            f"/chat/{conversation}",
            data={"content": "x" * 200, "client_msg_id": "z", "form_token": _form_token(person)},
            headers={"accept": "text/html"},
        )
        assert page.status_code == 503 and "used up" in page.text


def _form_token(person: Person) -> str:
    return person.http.get("/chat").text.split('name="form_token" value="')[1].split('"')[0]


def test_the_chat_page_says_when_little_is_left(tmp_path: Path, model: ScriptedModel) -> None:
    chosen = settings(budget={"tokens_per_day": 1000, "soft_share": 0.005}, max_tokens=100)
    with live_app(tmp_path, model, chosen) as (address, _):
        person = Person(address).consent()
        assert "Little is left" not in person.http.get("/chat").text
        _send(person, person.conversation())
        assert "Little is left" in person.http.get("/chat").text


def test_a_history_too_long_for_the_model_loses_its_oldest_rounds_and_the_reply_says_how_many(
    tmp_path: Path, model: ScriptedModel
) -> None:
    chosen = settings(context_tokens=400, max_tokens=100, system_prompt="Be kind.")
    with live_app(tmp_path, model, chosen) as (address, store):
        person = Person(address).consent()
        conversation = person.conversation()
        for n in range(4):
            told = person.messages(conversation)
            more = {"parent_id": told[-1]["id"]} if told else {}
            assert _send(person, conversation, f"round {n} " + "x" * 150, n, **more).status_code == 200
        assert [len(asked) for asked in model.asked] == [2, 4, 4, 4]
        assert model.asked[3][0] == {"role": "system", "content": "Be kind."}
        assert model.asked[3][1]["content"].startswith("round 2")
        with store.reading() as connection:
            rows = connection.execute(
                select(MESSAGES.c.params_json).where(MESSAGES.c.role == "assistant").order_by(MESSAGES.c.created_us)
            )
            cut = [json.loads(row.params_json).get("truncated_rounds", 0) for row in rows]
        assert cut == [0, 0, 1, 2]
        assert len(person.messages(conversation)) == 8  # nothing is lost in the store


def test_without_the_proof_of_work_no_message_is_taken(tmp_path: Path, model: ScriptedModel) -> None:
    with live_app(tmp_path, model, settings(abuse={"proof_bits": 8})) as (address, _):
        person = Person(address, **{"accept-language": "en", "user-agent": "t"}).consent()
        conversation = person.conversation()
        refused = _send(person, conversation)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "proof_required")
        completion = {"messages": [{"role": "user", "content": "hi"}]}
        assert person.http.post("/v1/chat/completions", json=completion).status_code == 403
        assert model.asked == []
        asked = person.http.get("/api/v1/proof").json()
        assert asked["bits"] == 8 and asked["algorithm"] == "sha256"
        assert f'data-challenge="{asked["challenge"][:26]}' in person.http.get("/chat").text
        wrong = person.http.post("/api/v1/proof", json={"challenge": asked["challenge"], "number": "0"})
        assert wrong.status_code == 403 or solve(asked["challenge"], 8) == "0"
        number = solve(asked["challenge"], asked["bits"])
        solved = person.http.post("/api/v1/proof", json={"challenge": asked["challenge"], "number": number})
        assert solved.json() == {"proved": True}
        assert _send(person, conversation).status_code == 200
        assert person.http.get("/api/v1/proof").json()["challenge"] is None
        assert "data-challenge" not in person.http.get("/chat").text


def test_an_admin_blocks_the_address_a_conversation_came_from(served: tuple[str, Store]) -> None:
    address, store = served
    person = Person(address).consent()
    conversation = person.conversation()
    admin = OperatorClient(address, "ada")
    assert f"/admin?whom={conversation}" in admin.http.get(f"/moderate/{conversation}").text
    assert f"/admin?whom={conversation}" not in OperatorClient(address).http.get(f"/moderate/{conversation}").text
    assert admin.submit("/admin/block", whom="nothing", days="7").status_code == 422
    assert admin.submit("/admin/block", whom=conversation, days="8").status_code == 422
    assert admin.submit("/admin/block", whom=conversation, days="7").status_code == 303
    refused = _send(person, conversation)
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "address_blocked")
    assert Person(address).accept_terms().json()["error"]["code"] == "address_blocked"
    with store.reading() as connection:
        pseudonym = str(connection.scalar(select(SUBJECTS.c.ip_pseudonym)))
    shown = admin.submit("/admin/address", pseudonym=pseudonym).text
    assert "The address is 127.0.0.1" in shown and pseudonym[:12] in shown and "operator.address_read" in shown
    assert admin.submit("/admin/unblock", pseudonym=pseudonym).status_code == 303
    assert _send(person, conversation).status_code == 200
    with store.reading() as connection:
        log = str(connection.execute(select(EVENTS)).all())
    assert "127.0.0.1" not in log


def test_addresses_are_kept_for_a_while_or_not_at_all_as_the_text_says(tmp_path: Path, model: ScriptedModel) -> None:
    for hours, says in ((72, "encrypted for 72 hours"), (0, "is **not** kept")):
        folder = tmp_path / str(hours)
        folder.mkdir()
        with live_app(folder, model, settings(abuse={"address_h": hours})) as (address, store):
            person = Person(address).consent()
            person.conversation()
            assert says in httpx.get(f"{address}/api/v1/consent/current").json()["steps"][0]["text_md"]
            with store.reading() as connection:
                assert len(connection.execute(select(ADDRESSES)).all()) == (1 if hours else 0)
            if hours:
                person.http.post("/api/v1/receipts/delete", json={"receipt": person.receipt})
                with store.reading() as connection:
                    assert connection.execute(select(ADDRESSES)).all() == []


def test_one_address_has_so_many_replies_at_once_and_no_more(tmp_path: Path, model: ScriptedModel) -> None:
    go_on = threading.Event()

    async def held(turns: Turns) -> AsyncIterator[Piece]:
        yield Piece("begun ")
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        yield Piece(finish_reason="stop")

    model.script = held
    with live_app(tmp_path, model, settings(abuse={"address_streams": 3})) as (address, _):
        people = [Person(address).consent() for _ in range(4)]
        open_ = []
        for n, person in enumerate(people[:3]):
            path, body = (
                f"/api/v1/conversations/{person.conversation()}/messages",
                {"content": "a", "client_msg_id": "1"},
            )
            stream = person.http.stream("POST", path, json=body)
            assert stream.__enter__().status_code == 200, n
            open_.append(stream)
        conversation = people[3].conversation()
        refused = _send(people[3], conversation)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_streams")
        go_on.set()
        for stream in open_:
            stream.__exit__(None, None, None)
        for n in range(50):
            if _send(people[3], conversation, n=n).status_code == 200:
                break
        else:
            raise AssertionError("the streams ended, and still no message is taken")


def test_monitoring_sees_numbers_and_nothing_that_was_said(served: tuple[str, Store]) -> None:
    address, _ = served
    person = Person(address).consent()
    conversation = person.conversation()
    _send(person, conversation, "xylophone")
    reply = person.messages(conversation)[1]["id"]
    person.http.post("/api/v1/reports", json={"message_id": reply, "why": "other"})
    text = httpx.get(f"{address}/metrics").text
    for line in (
        'agora_requests_total{method="POST",status="201"} 1',
        'agora_replies_total{status="complete"} 1',
        "agora_replies_live 0",
        "agora_review_waiting 1",
        "agora_review_held 0",
        "agora_budget_tokens_today 7",
        "# TYPE agora_budget_share gauge",
    ):
        assert line in text.splitlines(), text
    assert "xylophone" not in text and conversation not in text


def test_numbers_are_for_this_machine_and_for_admins(served: tuple[str, Store]) -> None:
    address, _ = served
    through_a_proxy = {"x-forwarded-for": "8.8.8.8"}
    assert httpx.get(f"{address}/metrics", headers=through_a_proxy).status_code == 401
    assert OperatorClient(address).http.get("/metrics", headers=through_a_proxy).status_code == 403
    assert OperatorClient(address, "ada").http.get("/metrics", headers=through_a_proxy).status_code == 200


def test_a_program_that_skips_the_page_meets_the_same_guard(served: tuple[str, Store], model: ScriptedModel) -> None:
    address, store = served
    person = Person(address).consent()
    with store.reading() as connection:
        before = len(connection.execute(select(CONVERSATIONS)).all())
    token = person.accept_terms().json()["visit"]  # a second visit, which has only the first step
    answer = httpx.post(
        f"{address}/v1/chat/completions",
        json={"messages": [{"role": "user", "content": "hi"}]},
        headers={"authorization": f"Bearer {token}"},
    )
    assert answer.status_code == 403 and model.asked == []
    with store.reading() as connection:
        assert len(connection.execute(select(CONVERSATIONS)).all()) == before
