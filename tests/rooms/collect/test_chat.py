"""The chat over real HTTP: consent on every route, streams that lose nothing, branches, limits, erasure."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from agora.core.errors import AgoraError
from agora.rooms.collect.tables import CONVERSATIONS, MESSAGES
from agora.rooms.collect.upstream import Piece, Turns, UpstreamError
from agora.store import Store
from agora.store.consent import ConsentError
from agora.store.events import verify
from agora.store.tables import EVENTS
from tests.rooms.collect.live import Person, ScriptedModel, bytes_in, live_app, read_events, settings, text_of


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel()


@pytest.fixture
def served(tmp_path: Path, model: ScriptedModel) -> Iterator[tuple[str, Store]]:
    with live_app(tmp_path, model) as found:
        yield found


@pytest.fixture
def address(served: tuple[str, Store]) -> str:
    return served[0]


ROUTES = [
    ("POST", "/api/v1/conversations", None),
    ("GET", "/api/v1/conversations", None),
    ("GET", "/api/v1/conversations/X", None),
    ("DELETE", "/api/v1/conversations/X", None),
    ("POST", "/api/v1/conversations/X/messages", {"content": "hi", "client_msg_id": "1"}),
    ("POST", "/api/v1/messages/X/regenerate", {}),
    ("POST", "/api/v1/messages/X/stop", None),
    ("GET", "/api/v1/messages/X/events", None),
    ("POST", "/api/v1/feedback", {"message_id": "X", "rating": 1}),
    ("POST", "/api/v1/pii/preview", {"text": "ada@lovelace.org"}),
    ("GET", "/v1/models", None),
    ("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
    ("GET", "/chat", None),
    ("GET", "/chat/X", None),
]
NOT_ENOUGH = ["no cookie", "forged", "terms only", "declined", "stale version", "withdrawn"]


def _person(address: str, consent: str, store: Store) -> Person:
    person = Person(address)
    if consent == "forged":
        person.http.cookies.set("visit", "IjAxSEFDS0VEIg.aaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbb")
    elif consent == "terms only":
        person.accept_terms()
    elif consent == "declined":
        person.consent("decline")
    elif consent != "no cookie":
        person.consent()
    if consent == "withdrawn":
        person.http.post("/api/v1/consent/withdraw")
    if consent == "stale version":
        from sqlalchemy import update

        from agora.store.tables import SUBJECTS

        store.write(lambda c: c.execute(update(SUBJECTS).values(consent_version="0")))
    return person


@pytest.mark.parametrize("consent", NOT_ENOUGH)
def test_without_consent_no_route_reaches_the_model(
    served: tuple[str, Store], model: ScriptedModel, consent: str
) -> None:
    address, store = served
    person = _person(address, consent, store)
    for method, path, body in ROUTES:
        answer = person.http.request(method, path, json=body)
        assert answer.status_code in (403, 409), (method, path, answer.text)
        assert answer.json()["error"]["code"].startswith("consent_")
    assert model.asked == []
    with store.reading() as connection:
        assert connection.execute(select(CONVERSATIONS)).all() == []


def test_with_consent_every_route_answers(address: str, model: ScriptedModel) -> None:
    person = Person(address).consent()
    for method, path, body in ROUTES:
        answer = person.http.request(method, path, json=body)
        assert answer.status_code in (200, 201, 404), (method, path, answer.text)
    assert len(model.asked) == 1  # the completions route alone names a conversation that exists


def test_a_conversation_keeps_its_history_and_its_end(address: str, model: ScriptedModel) -> None:
    person = Person(address).consent()
    conversation = person.conversation()
    events = person.say(conversation, "Hello there")
    assert events[0]["event"] == "meta" and events[-1]["event"] == "done"
    assert text_of(events) == "You said: Hello there "
    first = person.messages(conversation)
    assert [(m["role"], m["status"], m["content"]) for m in first] == [
        ("user", "complete", "Hello there"),
        ("assistant", "complete", "You said: Hello there "),
    ]
    person.say(conversation, "And again", parent_id=first[-1]["id"])
    assert [turn["role"] for turn in model.asked[-1]] == ["user", "assistant", "user"]


def test_a_new_answer_and_an_edited_question_are_branches(address: str, model: ScriptedModel) -> None:
    person = Person(address).consent()
    conversation = person.conversation()
    person.say(conversation, "one")
    reply = person.messages(conversation)[1]
    again = person.http.post(f"/api/v1/messages/{reply['id']}/regenerate", json={})
    assert again.status_code == 200
    person.say(conversation, "one, edited", edited_of=person.messages(conversation)[0]["id"])
    tree = [(m["role"], m["parent_id"]) for m in person.messages(conversation)]
    assert [role for role, _ in tree] == ["user", "assistant", "assistant", "user", "assistant"]
    assert tree[1][1] == tree[2][1] and tree[3][1] is None
    page = person.http.get(f"/chat/{conversation}?leaf={reply['id']}").text
    assert "1/2" in page


def test_the_same_message_sent_twice_is_kept_once(address: str, model: ScriptedModel) -> None:
    person = Person(address).consent()
    conversation = person.conversation()
    first = person.say(conversation, "hi", client_msg_id="same")
    second = person.say(conversation, "hi", client_msg_id="same")
    assert text_of(first) == text_of(second)
    assert len(person.messages(conversation)) == 2 and len(model.asked) == 1


def test_a_lost_connection_goes_on_where_it_was(address: str, model: ScriptedModel) -> None:
    go_on = threading.Event()

    async def slow(turns: Turns) -> AsyncIterator[Piece]:
        yield Piece("first half, ")
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        yield Piece("second half")
        yield Piece(finish_reason="stop")

    model.script = slow
    person = Person(address).consent()
    conversation = person.conversation()
    body = {"content": "go", "client_msg_id": "1"}
    with person.http.stream("POST", f"/api/v1/conversations/{conversation}/messages", json=body) as stream:
        seen = ""
        for raw in stream.iter_text():
            seen += raw
            if "first half" in seen:
                break  # the browser is gone
    meta, delta = read_events(seen)[:2]
    assert delta["data"]["text"] == "first half, "
    go_on.set()
    rest = person.http.get(
        f"/api/v1/messages/{meta['data']['message_id']}/events", headers={"last-event-id": delta["id"]}
    )
    events = read_events(rest.text)
    assert text_of(events) == "second half" and events[-1]["data"]["status"] == "complete"
    assert person.messages(conversation)[1]["content"] == "first half, second half"
    late = person.http.get(f"/api/v1/messages/{meta['data']['message_id']}/events", headers={"last-event-id": "5"})
    assert text_of(read_events(late.text)) == "first half, second half"[5:]


def test_a_reply_that_ends_before_anyone_looks_is_told_whole(address: str, model: ScriptedModel) -> None:
    async def at_once(turns: Turns) -> AsyncIterator[Piece]:
        yield Piece("done", finish_reason="stop")

    model.script = at_once
    person = Person(address).consent()
    for _ in range(10):
        conversation = person.conversation()
        events = person.say(conversation, "hi")
        assert text_of(events) == "done" and events[-1]["data"]["status"] == "complete"


def test_a_reply_that_another_process_writes_is_told_from_the_store(tmp_path: Path) -> None:
    """Two servers share a database; the second one is asked for what the first one writes."""
    go_on = threading.Event()

    async def slow(turns: Turns) -> AsyncIterator[Piece]:
        yield Piece("x" * 3000)  # enough to be kept at once
        while not go_on.is_set():
            await asyncio.sleep(0.01)
        yield Piece("end", finish_reason="stop")

    with live_app(tmp_path, ScriptedModel(slow)) as (one, _), live_app(tmp_path, ScriptedModel()) as (two, _):
        person = Person(one).consent()
        conversation = person.conversation()
        path, body = f"/api/v1/conversations/{conversation}/messages", {"content": "go", "client_msg_id": "1"}
        with person.http.stream("POST", path, json=body) as stream:
            seen = ""
            for raw in stream.iter_text():
                seen += raw
                if "xxx" in seen:
                    break
        reply = read_events(seen)[0]["data"]["message_id"]
        threading.Timer(0.5, go_on.set).start()
        told = httpx.get(f"{two}/api/v1/messages/{reply}/events", cookies=dict(person.http.cookies), timeout=20)
        events = read_events(told.text)
        assert text_of(events) == "x" * 3000 + "end" and events[-1]["data"]["status"] == "complete"


def test_a_reply_is_stopped_where_it_stands(address: str, model: ScriptedModel) -> None:
    async def endless(turns: Turns) -> AsyncIterator[Piece]:
        while True:
            yield Piece("on and ")
            await asyncio.sleep(0.01)

    model.script = endless
    person, other = Person(address).consent(), Person(address).consent()
    conversation = person.conversation()
    path, body = f"/api/v1/conversations/{conversation}/messages", {"content": "go", "client_msg_id": "1"}
    with person.http.stream("POST", path, json=body) as stream:
        seen, asked = "", False
        for raw in stream.iter_text():
            seen += raw
            if not asked and "delta" in seen:
                reply = read_events(seen + "\n\n")[0]["data"]["message_id"]
                assert not other.http.post(f"/api/v1/messages/{reply}/stop").json()["stopped"]
                assert httpx.post(f"{address}/api/v1/messages/{reply}/stop", cookies=dict(person.http.cookies)).json()[
                    "stopped"
                ]
                asked = True
    assert read_events(seen)[-1]["data"]["status"] == "stopped"
    kept = person.messages(conversation)[1]
    assert kept["status"] == "stopped" and kept["content"].startswith("on and ")


@pytest.mark.parametrize(("code", "status"), [("upstream_busy", "upstream_error"), ("timeout", "timeout")])
def test_a_model_that_fails_leaves_its_words_and_says_so(
    address: str, model: ScriptedModel, code: str, status: str
) -> None:
    async def fails(turns: Turns) -> AsyncIterator[Piece]:
        yield Piece("So far ")
        raise UpstreamError(code, "no")

    model.script = fails
    person = Person(address).consent()
    conversation = person.conversation()
    events = person.say(conversation, "go")
    assert events[-1]["event"] == "error" and events[-1]["data"]["code"] == code
    kept = person.messages(conversation)[1]
    assert (kept["status"], kept["content"], kept["error_code"]) == (status, "So far ", code)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"content": "", "client_msg_id": "1"}, 422, "empty_message"),
        ({"content": " \n\t", "client_msg_id": "1"}, 422, "empty_message"),
        ({"content": "x" * 12_001, "client_msg_id": "1"}, 422, "message_too_long"),
        ({"content": "x"}, 422, "invalid_request"),
        ({"content": "x", "client_msg_id": "1", "parent_id": "nope"}, 422, "bad_parent"),
        ({"content": "x", "client_msg_id": "1", "surprise": 1}, 422, "invalid_request"),
        ({"content": "x", "client_msg_id": "1", "params": {"temperature": 9}}, 422, "invalid_request"),
        ({"content": "x" * 160_000, "client_msg_id": "1"}, 413, "body_too_large"),
    ],
)
def test_a_message_that_cannot_be_taken_is_refused_with_a_reason(
    address: str, model: ScriptedModel, body: dict[str, Any], status: int, code: str
) -> None:
    person = Person(address).consent()
    answer = person.http.post(f"/api/v1/conversations/{person.conversation()}/messages", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert model.asked == []


@pytest.mark.parametrize("raw", [b"{", b"\xff\xfe", b"[" * 50_000, b'{"content": "\\ud800"'])
def test_a_body_that_is_no_json_is_refused(address: str, raw: bytes) -> None:
    person = Person(address).consent()
    path = f"/api/v1/conversations/{person.conversation()}/messages"
    answer = person.http.post(path, content=raw, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)


def test_text_that_no_file_could_hold_is_repaired(address: str) -> None:
    person = Person(address).consent()
    conversation = person.conversation()
    raw = b'{"client_msg_id": "1", "content": "a \\ud800 b \\u0000 c"}'
    path = f"/api/v1/conversations/{conversation}/messages"
    answer = person.http.post(path, content=raw, headers={"content-type": "application/json"})
    assert answer.status_code in (200, 422)
    if answer.status_code == 200:
        assert "\ud800" not in person.messages(conversation)[0]["content"]


def test_one_person_does_not_see_anothers_conversation(address: str) -> None:
    one, other = Person(address).consent(), Person(address).consent()
    conversation = one.conversation()
    one.say(conversation, "secret")
    reply = one.messages(conversation)[1]["id"]
    for method, path, body in [
        ("GET", f"/api/v1/conversations/{conversation}", None),
        ("DELETE", f"/api/v1/conversations/{conversation}", None),
        ("GET", f"/chat/{conversation}", None),
        ("POST", f"/api/v1/conversations/{conversation}/messages", {"content": "x", "client_msg_id": "1"}),
        ("POST", f"/api/v1/messages/{reply}/regenerate", {}),
        ("GET", f"/api/v1/messages/{reply}/events", None),
        ("POST", "/api/v1/feedback", {"message_id": reply, "rating": 1}),
    ]:
        answer = other.http.request(method, path, json=body)
        assert answer.status_code == 404, (method, path)
        assert "secret" not in answer.text
    assert other.http.get("/api/v1/conversations").json() == {"conversations": []}


@pytest.mark.usefixtures("still_minute")
def test_limits_are_told_with_when_to_come_back(tmp_path: Path, model: ScriptedModel) -> None:
    with live_app(tmp_path, model, settings(limits={"messages_per_minute": 2, "rounds": 50})) as (address, _):
        person = Person(address).consent()
        conversation = person.conversation()
        for _ in range(2):
            person.say(conversation, "hi")
        body = {"content": "hi", "client_msg_id": "3"}
        answer = person.http.post(f"/api/v1/conversations/{conversation}/messages", json=body)
        assert answer.status_code == 429 and 1 <= int(answer.headers["retry-after"]) <= 60
        assert len(person.messages(conversation)) == 4  # the refused one is not kept


@pytest.mark.usefixtures("still_minute")
def test_a_forged_forwarded_address_does_not_change_the_limit(tmp_path: Path, model: ScriptedModel) -> None:
    chosen = settings(limits={"address_per_minute": 1})
    with live_app(tmp_path, model, chosen) as (address, _):
        statuses = []
        for i in range(3):
            person = Person(address, **{"x-forwarded-for": f"198.51.100.{i}"}).consent()
            body = {"content": "hi", "client_msg_id": "1"}
            path = f"/api/v1/conversations/{person.conversation()}/messages"
            statuses.append(person.http.post(path, json=body).status_code)
        assert statuses == [200, 429, 429]


def test_another_sites_page_cannot_act_for_a_visitor(address: str, model: ScriptedModel) -> None:
    person = Person(address).consent()
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        answer = person.http.post("/api/v1/conversations", headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "cross_site")
    form = person.http.post("/chat", data={"content": "x", "form_token": "wrong"})
    assert form.status_code == 403 and model.asked == []


def test_the_pages_work_without_scripts(address: str) -> None:
    http = Person(address, accept="text/html").http
    http.follow_redirects = True
    assert "Read the terms" in http.get("/").text
    terms = http.get("/chat").text  # not yet agreed: led to the first step
    hidden = dict(re.findall(r'name="(\w+)" value="([^"]*)"', terms))
    assert http.post("/consent/terms", data={"sha256": hidden["sha256"]}).status_code == 422
    second = http.post("/consent/terms", data={"sha256": hidden["sha256"], "accepted": "1", "age": "1"}).text
    hidden = dict(re.findall(r'name="(\w+)" value="([^"]*)"', second))
    body = {"form_token": hidden["form_token"], "sha256": hidden["sha256"], "decision": "publish"}
    third = http.post("/consent/publication", data=body).text
    receipt = re.search(r"[A-Z2-7]{5}(-[A-Z2-7]{4,5}){6}", third)
    assert receipt is not None
    chat = http.get("/chat").text
    hidden = dict(re.findall(r'name="(\w+)" value="([^"]*)"', chat))
    page = http.post("/chat", data={"content": "<b>hello</b>", "form_token": hidden["form_token"]})
    assert page.status_code == 200 and "You said: &lt;b&gt;hello&lt;/b&gt;" in page.text
    seen = []
    for action in re.findall(r'action="(/messages/\w+/\w+)"', page.text):
        done = http.post(action, data={"form_token": hidden["form_token"], "rating": "up", "why": "other"})
        assert done.status_code == 200
        seen.append(http.get(str(done.url)).text)
    assert "2/2" in "".join(seen)
    exported = http.post("/receipt", data={"receipt": receipt.group(), "verb": "export"}).json()
    assert exported["conversations"][0]["messages"][0]["content"] == "<b>hello</b>"
    assert http.post("/receipt", data={"receipt": receipt.group(), "verb": "delete"}).status_code == 422
    gone = http.post("/receipt", data={"receipt": receipt.group(), "verb": "delete", "sure": "1"})
    assert "Conversations erased: 1" in gone.text
    german = http.post("/locale", data={"locale": "de", "back": "/receipt"})
    assert 'lang="de"' in german.text and "Quittung" in german.text
    assert http.get("/nothing").status_code == 404
    assert httpx.post(f"{address}/locale", data={"locale": "de", "back": "//evil.example"}).headers["location"] == "/"


def test_erasing_leaves_no_byte_behind(served: tuple[str, Store], tmp_path: Path) -> None:
    address, store = served
    person, other = Person(address).consent(), Person(address).consent()
    word = "xylophonequark"
    for who, text in ((person, f"my {word}"), (other, "something else")):
        who.say(who.conversation(), text)

    def files() -> bytes:
        return bytes_in(tmp_path)

    assert word.encode() in files()
    unknown = other.http.post("/api/v1/receipts/delete", json={"receipt": "A" * 34})
    assert unknown.json() == {"erased": 0}
    assert person.http.post("/api/v1/receipts/delete", json={"receipt": person.receipt}).json() == {"erased": 1}
    assert word.encode() not in files()
    with store.reading() as connection:
        verify(connection)
        assert [r.state for r in connection.execute(select(CONVERSATIONS.c.state))].count("deleted") == 1
        assert connection.execute(select(EVENTS).where(EVENTS.c.payload.like(f"%{word}%"))).all() == []
    assert person.http.get("/api/v1/conversations").status_code == 403
    assert len(other.http.get("/api/v1/conversations").json()["conversations"]) == 1


def test_a_program_with_the_openai_client_is_a_visitor_too(address: str, served: tuple[str, Store]) -> None:
    openai = pytest.importorskip("openai", reason="the openai client is not installed (extra serve-peer)")
    person = Person(address).consent()
    options = {"base_url": f"{address}/v1", "max_retries": 0, "http_client": httpx.Client()}
    client = openai.OpenAI(api_key=person.http.cookies["visit"], **options)
    history = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "one"}]
    first = client.chat.completions.create(model="m", messages=history)
    assert first.choices[0].message.content == "You said: one " and first.usage.completion_tokens == 4
    history += [{"role": "assistant", "content": "You said: one "}, {"role": "user", "content": "two"}]
    stream = client.chat.completions.create(model="m", messages=history, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == "You said: two "
    told = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    client.chat.completions.create(model="m", messages=told)
    with served[1].reading() as connection:
        rows = connection.execute(select(MESSAGES.c.conversation_id, MESSAGES.c.role, MESSAGES.c.status)).all()
    trees = {c: [(r.role, r.status) for r in rows if r.conversation_id == c] for c in {r.conversation_id for r in rows}}
    assert sorted(len(tree) for tree in trees.values()) == [4, 5]
    assert sum(status == "reconstructed" for tree in trees.values() for _, status in tree) == 3
    with pytest.raises(openai.PermissionDeniedError):
        openai.OpenAI(api_key="x", **options).models.list()
    client.close()


def test_other_words_under_the_same_version_are_refused_at_start(tmp_path: Path, model: ScriptedModel) -> None:
    with live_app(tmp_path, model):
        pass
    with pytest.raises(ConsentError, match="new version"), live_app(tmp_path, model, settings(license="CC0")):
        pass
    with live_app(tmp_path, model, settings(license="CC0", consent_version="3")) as (address, _):
        assert Person(address).http.get("/api/v1/consent/current").json()["version"] == "3"


_SERVER = """
import asyncio, sys
from pathlib import Path
from agora.rooms.collect.upstream import Piece
from tests.rooms.collect.live import ScriptedModel, live_app

async def words(turns):
    for i in range(400):
        yield Piece(f"word{i} ")
        await asyncio.sleep(0.01)
    yield Piece(finish_reason="stop")

with live_app(Path(sys.argv[1]), ScriptedModel(words)) as (address, _):
    print(address, flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.05, 0.4, 1.0, 2.3, 3.1])
def test_a_server_killed_in_the_middle_of_a_reply_keeps_what_it_acknowledged(tmp_path: Path, after_s: float) -> None:
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    command = [sys.executable, "-c", _SERVER, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, text=True, **pipes) as server:  # type: ignore[call-overload]
        person = Person(server.stdout.readline().strip()).consent()
        conversation = person.conversation()
        body = {"content": "please count", "client_msg_id": "1"}
        path, seen = f"/api/v1/conversations/{conversation}/messages", ""
        try:
            with person.http.stream("POST", path, json=body) as stream:
                began = time.monotonic()
                for raw in stream.iter_text():
                    seen += raw
                    if time.monotonic() - began > after_s:
                        server.send_signal(signal.SIGKILL)
        except httpx.HTTPError:
            pass
    meta = read_events(seen)[0]["data"]
    with live_app(tmp_path, ScriptedModel()) as (address, store):
        again = Person(address)
        again.http.cookies = person.http.cookies
        user, reply = again.messages(conversation)
        assert user["content"] == "please count" and user["status"] == "complete"
        assert reply["id"] == meta["message_id"] and reply["status"] == "interrupted"
        assert "".join(f"word{i} " for i in range(400)).startswith(reply["content"])
        assert after_s < 2.2 or reply["content"].startswith("word0 ")  # flushed every two seconds
        retold = read_events(again.http.get(f"/api/v1/messages/{reply['id']}/events").text)
        assert text_of(retold) == reply["content"] and retold[-1]["data"]["status"] == "interrupted"
        answered = again.say(conversation, "please count", client_msg_id="1")
        assert answered[0]["data"]["message_id"] == reply["id"]  # sent again: not a second copy
        with store.reading() as connection:
            verify(connection)


def test_a_port_that_is_taken_is_one_clear_line(tmp_path: Path, address: str) -> None:
    port = address.rpartition(":")[2]
    command = [sys.executable, "-m", "agora.cli", "serve", "--port", port, "--db", str(tmp_path / "other.db")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert re.fullmatch(r"agora: cannot listen on 127.0.0.1:\d+: .*; choose another --port\n", done.stderr)


def test_agora_serve_answers_from_the_microcosm_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "agora.cli", "serve", "--port", "0", "--db", str(tmp_path / "a.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None and server.stderr is not None
        told = server.stdout.readline()
        address = re.search(r"http://\S+", told)
        assert address is not None, told + server.stderr.read()
        person = Person(address.group()).consent()
        events = person.say(person.conversation(), "What is 2 plus 2?", params={"temperature": 0, "max_tokens": 16})
        assert text_of(events).strip() and events[-1]["data"]["usage"]["completion_tokens"] > 0
        assert person.http.get("/health").json()["status"] == "ok"
        assert "agora_replies_live 0" in person.http.get("/metrics").text
        server.send_signal(signal.SIGINT)
        assert server.wait(20) in (0, 130)
        assert "Traceback" not in server.stderr.read()


def test_a_refusal_of_the_store_is_told_before_the_model_is_asked(
    served: tuple[str, Store], model: ScriptedModel
) -> None:
    address, store = served
    person = Person(address).consent()
    conversation = person.conversation()
    from sqlalchemy.exc import OperationalError

    def refuse(*_: Any) -> Any:
        raise OperationalError("disk", {}, Exception("database or disk is full"))

    whole, store.writer._commit = (
        store.writer._commit,
        lambda batch: [f.set_exception(_raised(refuse)) for _, f in batch],
    )  # type: ignore[method-assign,assignment]
    body = {"content": "hi", "client_msg_id": "1"}
    answer = person.http.post(f"/api/v1/conversations/{conversation}/messages", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable")
    assert person.http.get("/health").status_code == 503
    store.writer._commit = whole  # type: ignore[method-assign]
    assert model.asked == [] and person.http.get("/health").status_code == 200


def _raised(refuse: Any) -> Exception:
    try:
        refuse()
    except Exception as err:
        return err
    raise AgoraError("not reached")


def test_the_interfaces_own_description_is_served(address: str) -> None:
    paths = httpx.get(f"{address}/openapi.json").json()["paths"]
    assert "/api/v1/conversations/{conversation_id}/messages" in paths and "/chat" not in paths
    assert json.dumps(paths)
