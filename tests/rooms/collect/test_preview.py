"""What looks personal in a message is told before it is sent, and nothing of it is kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rooms.collect.live import Person, ScriptedModel, bytes_in, live_app

TEXT = "Write to ada@lovelace.org, my key is AKIAQWERTYUIOPASDFGH"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("preview")


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with live_app(folder, ScriptedModel()) as (found, _):
        yield found


def test_spans_and_kinds_are_told_in_the_visitors_language(address: str) -> None:
    told = Person(address).consent().http.post("/api/v1/pii/preview", json={"text": TEXT}).json()
    assert [TEXT[s["start"] : s["end"]] for s in told["spans"]] == ["ada@lovelace.org", "AKIAQWERTYUIOPASDFGH"]
    assert told["kinds"] == ["an e-mail address", "a key or password"]
    german = Person(address, **{"accept-language": "de"}).consent()
    assert german.http.post("/api/v1/pii/preview", json={"text": TEXT}).json()["kinds"][0] == "eine E-Mail-Adresse"


def test_an_ordinary_message_gives_nothing(address: str) -> None:
    told = Person(address).consent().http.post("/api/v1/pii/preview", json={"text": "just a chat about cats"})
    assert told.json() == {"spans": [], "kinds": []}


def test_a_text_too_long_for_a_message_is_refused(address: str) -> None:
    refused = Person(address).consent().http.post("/api/v1/pii/preview", json={"text": "a" * 12_001})
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "message_too_long")


def test_no_byte_of_a_previewed_text_is_kept(address: str, folder: Path) -> None:
    Person(address).consent().http.post("/api/v1/pii/preview", json={"text": "zebrafink@lovelace.org"})
    assert b"zebrafink" not in bytes_in(folder, "*")
