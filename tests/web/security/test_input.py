"""Whatever is sent, to whichever route, on both databases: no fault of ours, no file, no row that was not asked for."""

from __future__ import annotations

import json
import socket
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import func, select

from agora.rooms.collect.settings import ServeSettings
from agora.rooms.collect.tables import CONVERSATIONS, MESSAGES
from agora.store import Store
from agora.store.tables import ACCOUNTS
from tests.rooms.collect.live import Person, ScriptedModel
from tests.stores import migrated_database
from tests.web.operators import OperatorClient
from tests.web.security.routes import SAFE, endpoints, whole_site

pytestmark = pytest.mark.slow  # every route with every payload on both databases: a minute

PAYLOADS = [
    "' OR '1'='1",
    "'; DROP TABLE messages; --",
    '") UNION SELECT name, password FROM accounts --',
    "1; SELECT pg_sleep(10)",
    "%' ESCAPE '",
    "\x00",
    "a\x00b",
    "\x1b[31m",
    "\u202e\u2066",
    "é" * 300,
    "x" * 5000,
    "-1",
    "99999999999999999999999999",
    "1e309",
    "NaN",
    "{{7*7}}${7*7}",
    "../../etc/passwd",
    "\r\nset-cookie: x=1",
]


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def everything(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    url = None
    if request.param == "postgresql":
        url = migrated_database(request.getfixturevalue("postgres"))
    with whole_site(tmp_path_factory.mktemp("site"), ScriptedModel(), url) as found:
        yield found


def _both(address: str) -> OperatorClient:
    """One who may do everything: consent and an admin's session."""
    both = OperatorClient(address, "ada")
    both.consent()
    both.http.headers["accept"] = "application/json"
    return both


def _numbers(store: Store) -> list[int]:
    with store.reading() as connection:
        return [
            int(connection.scalar(select(func.count()).select_from(table)) or 0)
            for table in (ACCOUNTS, CONVERSATIONS, MESSAGES)
        ]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_no_text_in_any_parameter_is_more_than_text(everything: Any, payload: str) -> None:
    address, app, store = everything
    both = _both(address)
    before = _numbers(store)
    quoted = urllib.parse.quote(payload, safe="")
    for endpoint in endpoints(app):
        if str(endpoint) in ("POST /sign-out", "POST /chat", "POST /api/v1/conversations"):
            continue  # these do what they are for, whatever stands in them
        query = "&".join(f"{name}={quoted}" for name in endpoint.query)
        form = dict.fromkeys(endpoint.body, payload) | {"form_token": both.form_token}
        sent: dict[str, Any] = {"data": form} if endpoint.is_form else {}
        if endpoint.in_schema and endpoint.method not in SAFE:
            sent = {"json": dict.fromkeys(("content", "client_msg_id", "message_id", "receipt", "version"), payload)}
        answer = both.http.request(endpoint.method, f"{endpoint.at(quoted)}?{query}", **sent)
        assert answer.status_code < 500, (str(endpoint), answer.text)
        assert "x" not in answer.cookies and "$49" not in answer.text
    assert _numbers(store) == before


@pytest.mark.parametrize(
    "raw", [b"\xff\xfe\x00", b"{", b"[" * 50_000, b'{"a":' * 20_000, b"null", b"1e999", b'"\\ud800"']
)
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "multipart/form-data", "x"])
def test_no_body_that_is_not_what_it_says_is_a_fault_of_ours(everything: Any, raw: bytes, kind: str) -> None:
    address, app, _ = everything
    both = _both(address)
    for endpoint in endpoints(app):
        if endpoint.method not in SAFE and str(endpoint) != "POST /sign-out":
            answer = both.http.request(endpoint.method, endpoint.at(), content=raw, headers={"content-type": kind})
            assert answer.status_code < 500, (str(endpoint), answer.text)


def test_a_body_over_the_bound_is_refused_by_every_route(everything: Any) -> None:
    address, app, _ = everything
    both, body = _both(address), b"x" * (ServeSettings().max_body_bytes + 1)
    for endpoint in endpoints(app):
        if endpoint.method not in SAFE:
            answer = both.http.request(endpoint.method, endpoint.at(), content=body)
            assert answer.status_code == 413, (str(endpoint), answer.text)


@pytest.mark.parametrize("char", ["a", "漢", "😀", "\n"])
@pytest.mark.parametrize("form", [True, False])
def test_the_longest_message_gets_through_in_every_script(everything: Any, char: str, form: bool) -> None:
    address, _, _ = everything
    person = Person(address).consent()
    most = ServeSettings().collect.limits.chars
    for text, refused in (("b" + char * (most - 2) + "e", False), ("b" + char * (most - 1) + "e", True)):
        conversation = person.conversation()
        if form:
            page = person.http.get(f"/chat/{conversation}").text
            token = page.split('name="form_token" value="')[1].split('"')[0]
            data = {"content": text.replace("\n", "\r\n"), "client_msg_id": "1", "form_token": token}
            answer = person.http.post(f"/chat/{conversation}", data=data)
        else:
            body = json.dumps({"content": text, "client_msg_id": "1"})  # every character beyond ASCII escaped
            answer = person.http.post(
                f"/api/v1/conversations/{conversation}/messages",
                content=body,
                headers={"content-type": "application/json"},
            )
        assert (answer.status_code == 422) == refused, answer.text[:200]
        assert [m["content"] for m in person.messages(conversation)][:1] == ([] if refused else [text])


def test_an_operators_own_bound_of_bodies_counts() -> None:
    chosen = {"site": {"max_body_kib": 16}, "collect": {"limits": {"chars": 100_000}}}
    assert ServeSettings.model_validate(chosen).max_body_bytes == 16 * 1024
    assert ServeSettings.model_validate({"collect": chosen["collect"]}).max_body_bytes > 1_200_000


@pytest.mark.parametrize(
    "text", ["a \x00 b", "\\ud800", "\u202eright to left", "é" * 12_000, "\x1b[2J", "\ufffe\uffff", "😀" * 3000]
)
def test_a_message_of_odd_characters_is_kept_as_it_is_or_refused(everything: Any, text: str) -> None:
    address, _, _ = everything
    person = Person(address).consent()
    conversation = person.conversation()
    body = json.dumps({"content": text, "client_msg_id": "1"}, ensure_ascii=False).replace("\\\\ud800", "\\ud800")
    headers = {"content-type": "application/json"}
    answer = person.http.post(f"/api/v1/conversations/{conversation}/messages", content=body, headers=headers)
    if text == "\\ud800":
        assert answer.status_code == 422 or "\ufffd" in person.messages(conversation)[0]["content"]
        return
    assert answer.status_code == 200, answer.text
    assert person.messages(conversation)[0]["content"] == text
    assert person.http.get(f"/chat/{conversation}").status_code == 200


@pytest.mark.parametrize("name", ["a\x00b", "x" * 65, "\ud800"])
def test_an_id_of_odd_characters_is_refused(everything: Any, name: str) -> None:
    address, _, store = everything
    person = Person(address).consent()
    conversation = person.conversation()
    before = _numbers(store)
    body = json.dumps({"content": "hi", "client_msg_id": name, "parent_id": None})
    headers = {"content-type": "application/json"}
    answer = person.http.post(f"/api/v1/conversations/{conversation}/messages", content=body, headers=headers)
    assert answer.status_code == 422 and _numbers(store) == before


@pytest.mark.parametrize(
    "path",
    [
        "/static/../../../../etc/passwd",
        "/static/..%2f..%2f..%2fetc/passwd",
        "/static/%2e%2e/%2e%2e/app.py",
        "/static/....//....//app.py",
        "/static/..\\..\\app.py",
        "/static/%00/site.css",
        "/static//etc/passwd",
        "/static/collect/../../app.py",
        "/static/",
        "/static/collect",
    ],
)
def test_no_path_leads_out_of_the_static_files(site: Any, path: str) -> None:
    host, port = site[0].removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as raw:  # clients of HTTP would tidy the path up
        raw.sendall(f"GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
        answer = b""
        while chunk := raw.recv(65536):
            answer += chunk
    assert answer.split(b" ", 2)[1] in (b"400", b"404", b"405"), answer[:200]
    assert b"root:" not in answer and b"create_app" not in answer


@pytest.mark.parametrize(
    "cookie", ["visit=" + "x" * 7000, "visit=\xff", "visit=a.b.c; operator=\x00", "=;;;=", "visit"]
)
def test_no_cookie_is_a_fault_of_ours(site: Any, cookie: str) -> None:
    for path in ("/", "/chat", "/moderate", "/api/v1/conversations"):
        host, port = site[0].removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as raw:
            head = f"GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncookie: {cookie}\r\n\r\n"
            raw.sendall(head.encode("latin-1"))
            status = raw.recv(65536).split(b" ", 2)[1]
        assert status in (b"200", b"303", b"400", b"401", b"403", b"431"), (path, status)
