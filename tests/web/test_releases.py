"""The page of releases: for admins alone, with the report of each gate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agora.rooms.collect.release.gates import GATES, REASONS
from agora.rooms.collect.release.publish import begin, fail, publish
from agora.site.translations import Words
from agora.store import Store, accounts
from tests.rooms.collect.live import ScriptedModel, live_app
from tests.web.operators import OperatorClient, add_operators

ASKED = {"profile": "native", "input_seq": 1, "as_of_us": 1, "asked_sha256": "0" * 64}


def report(reason: str, count: int, gate: int) -> dict[str, Any]:
    parts = {reason: {"count": count, "examples": ["01ABC<b>"]}}
    gates = [
        {"number": n, "name": name, "status": "passed", "dropped": 0, "reasons": {}, "note": ""}
        for n, (name, _) in enumerate(GATES, start=1)
    ]
    gates[gate - 1] |= {"reasons": parts, "dropped": count, "status": "failed" if gate == 4 else "passed"}
    return {"gates": gates, "anonymity": {"k_reached": 7}}


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Store]]:
    monkeypatch.setattr(accounts, "_COSTS", (8, 8, 1))
    with live_app(tmp_path, ScriptedModel()) as (address, store):
        add_operators(store)
        yield address, store


def put_releases(store: Store) -> None:
    """One that is out and one that a gate stopped."""
    first = store.write(lambda c: begin(c, "2026-10", ASKED))
    assert store.write(lambda c: publish(c, first, 0, report("withdrawn", 3, 1), "0" * 64))
    second = store.write(lambda c: begin(c, "2026-11", ASKED))
    store.write(lambda c: fail(c, second, report("residual_span", 2, 4)))


def test_an_admin_sees_what_each_gate_left_out(served: tuple[str, Store]) -> None:
    address, store = served
    admin = OperatorClient(address, "ada")
    assert "Nothing was released yet" in admin.http.get("/releases").text
    put_releases(store)
    page = admin.http.get("/releases").text
    assert page.index("2026-11") < page.index("2026-10")
    assert "withdrew: 3" in page and "personal data was found after redaction: 2" in page and "not published" in page
    assert "01ABC&lt;b&gt;" in page and "k = 7" in page
    assert 'href="/releases"' in admin.http.get("/").text


def test_a_moderator_and_a_visitor_do_not(served: tuple[str, Store]) -> None:
    address, store = served
    put_releases(store)
    moderator = OperatorClient(address, "mo")
    assert moderator.http.get("/releases").status_code == 403
    assert 'href="/releases"' not in moderator.http.get("/").text


@pytest.mark.parametrize("locale", ["en", "de"])
def test_every_gate_and_reason_has_words(locale: str) -> None:
    words = Words(locale, ["agora.rooms.collect.release"])
    for name, _ in GATES:
        assert f"release.names.{name}" in words.keys
        assert all(f"release.reasons.{reason}" in words.keys for reason in REASONS[name])
