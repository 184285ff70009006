"""Each route of the app is public, needs consent, or needs an operator; a new one must be put into one of the lists."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select, update

from agora.rooms.collect.tables import CONVERSATIONS
from agora.store import Store
from agora.store.tables import SUBJECTS
from tests.rooms.collect.live import Person, ScriptedModel
from tests.web.operators import OperatorClient
from tests.web.security.routes import SAFE, Endpoint, endpoints

#: Routes that anyone may call. None of them reaches the model.
PUBLIC = {
    "GET /",
    "GET /api/v1/consent/current",
    "GET /consent",
    "GET /explore",
    "GET /explore/published",
    "GET /explore/published/{number}/{digest}",
    "GET /health",
    "GET /metrics",
    "GET /receipt",
    "GET /sign-in",
    "POST /api/v1/consent/publication",
    "POST /api/v1/consent/terms",
    "POST /api/v1/consent/withdraw",
    "POST /api/v1/receipts/{verb}",
    "POST /consent/publication",
    "POST /consent/terms",
    "POST /locale",
    "POST /receipt",
    "POST /sign-in",
    "POST /sign-out",
}
#: Routes for signed-in moderators, and those for admins alone.
OPERATOR = {
    "GET /explore/conversations/{conversation_id}",
    "GET /explore/export.jsonl",
    "GET /explore/map",
    "GET /explore/map.bin",
    "GET /explore/points/{number}",
    "GET /explore/search",
    "GET /moderate",
    "GET /moderate/{conversation_id}",
    "POST /explore/saved",
    "POST /explore/saved/{saved_id}/forget",
    "POST /moderate/{conversation_id}/decide",
    "POST /moderate/{conversation_id}/note",
    "POST /moderate/{conversation_id}/redact",
}
ADMIN = {"GET /admin", "POST /admin/address", "POST /admin/block", "POST /admin/unblock", "GET /releases"}
#: Forms without a session to bind a token to. What they do needs something else: a receipt, a password, or nothing.
WITHOUT_TOKEN = {"POST /consent/terms", "POST /locale", "POST /receipt", "POST /sign-in"}
#: Bodies of routes that look for consent after they have read theirs.
BODIES: dict[str, dict[str, Any]] = {
    "POST /api/v1/conversations/{conversation_id}/messages": {"content": "hi", "client_msg_id": "1"},
    "POST /v1/chat/completions": {"messages": [{"role": "user", "content": "hi"}]},
}
NOT_ENOUGH = ["no cookie", "forged", "expired", "terms only", "declined", "stale version", "withdrawn"]


def _with_consent(app: Any) -> list[Endpoint]:
    return [e for e in endpoints(app) if str(e) not in PUBLIC | OPERATOR | ADMIN]


def _person(address: str, consent: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> Person:
    person = Person(address)
    if consent == "forged":
        person.http.cookies.set("visit", "IjAxSEFDS0VEIg.aaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbb")
    elif consent == "terms only":
        person.accept_terms()
    elif consent == "declined":
        person.consent("decline")
    elif consent == "expired":
        with monkeypatch.context() as then:
            then.setattr("itsdangerous.timed.time.time", lambda: 1_600_000_000.0)
            person.consent()
    elif consent != "no cookie":
        person.consent()
    if consent == "withdrawn":
        person.http.post("/api/v1/consent/withdraw")
    if consent == "stale version":
        store.write(lambda c: c.execute(update(SUBJECTS).values(consent_version="0")))
    return person


def test_the_lists_name_routes_that_exist(site: Any) -> None:
    known = {str(e) for e in endpoints(site[1])}
    assert (PUBLIC | OPERATOR | ADMIN | WITHOUT_TOKEN) - known == set()
    assert len(known) >= 35


@pytest.mark.parametrize("consent", NOT_ENOUGH)
def test_without_consent_no_route_reaches_the_model_or_leaves_a_row(
    site: Any, model: ScriptedModel, consent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, app, store = site
    person = _person(address, consent, store, monkeypatch)
    checked = _with_consent(app)
    assert len(checked) >= 18
    for endpoint in checked:
        body = BODIES.get(str(endpoint), {}) if endpoint.in_schema and endpoint.method != "GET" else None
        answer = person.http.request(endpoint.method, endpoint.at(), json=body)
        assert answer.status_code in (403, 409), (str(endpoint), answer.text)
        assert answer.json()["error"]["code"].startswith("consent_"), str(endpoint)
    assert model.asked == []
    with store.reading() as connection:
        assert connection.execute(select(CONVERSATIONS)).all() == []


def test_no_route_of_operators_opens_for_a_visitor_and_none_of_admins_for_a_moderator(site: Any) -> None:
    address, app, _ = site
    person, moderator = Person(address).consent(), OperatorClient(address)
    for endpoint in endpoints(app):
        if str(endpoint) in OPERATOR | ADMIN:
            answer = person.http.request(endpoint.method, endpoint.at())
            assert answer.status_code == 401, (str(endpoint), answer.text)
        if str(endpoint) in ADMIN:
            assert moderator.http.request(endpoint.method, endpoint.at()).status_code == 403, str(endpoint)


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ],
)
def test_another_sites_page_can_change_nothing_with_anyones_cookies(site: Any, headers: dict[str, str]) -> None:
    address, app, _ = site
    both = OperatorClient(address, "ada")
    both.consent()
    changing = [e for e in endpoints(app) if e.method not in SAFE]
    assert len(changing) >= 25
    for endpoint in changing:
        answer = both.http.request(endpoint.method, endpoint.at(), headers={**headers, "accept": "application/json"})
        assert answer.status_code == 403, (str(endpoint), answer.text)
        assert answer.json()["error"]["code"] == "cross_site", str(endpoint)
        assert "set-cookie" not in answer.headers


def test_each_form_carries_the_token_of_its_session(site: Any) -> None:
    address, app, _ = site
    both = OperatorClient(address, "ada")
    both.consent()
    both.http.headers["accept"] = "application/json"
    for endpoint in endpoints(app):
        if not endpoint.is_form or str(endpoint) in WITHOUT_TOKEN:
            continue
        assert "form_token" in endpoint.body, str(endpoint)
        form = dict.fromkeys(endpoint.body, "x")
        for token in ("", "x" * 40):
            answer = both.http.post(endpoint.at(), data={**form, "form_token": token})
            assert answer.status_code in (403, 422), (str(endpoint), answer.text)
            if token:
                assert answer.json()["error"]["code"] == "bad_form", (str(endpoint), answer.text)


def test_every_answer_carries_the_policy_and_is_never_sniffed(site: Any) -> None:
    address, app, _ = site
    person = OperatorClient(address, "ada")
    person.consent()
    for endpoint in endpoints(app):
        headers = person.http.request(endpoint.method, endpoint.at()).headers
        assert "default-src 'none'" in headers["content-security-policy"], str(endpoint)
        assert "unsafe" not in headers["content-security-policy"]
        assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "same-origin")
        assert "access-control-allow-origin" not in headers
