"""The explorer in a real Chromium: search, facets, saving, keyboard, phones, and attacks that stay text."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from agora.rooms.collect.explore.indexer import index_all
from agora.rooms.collect.tables import ANNOTATIONS
from agora.rooms.collect.upstream import Piece, Turns
from agora.store import Store
from agora.store.accounts import Role, add_account
from agora.store.ids import now_us
from tests.chromium import Tab, browser, needs_browser
from tests.rooms.collect.live import Person, ScriptedModel, live_app
from tests.web.hostile import PAYLOADS, live_attacks

pytestmark = needs_browser()
PASSWORD = "correct horse battery"
ADDRESS = "jane@example.org"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Store]]:
    with live_app(tmp_path, ScriptedModel()) as (address, store):
        store.write(lambda c: add_account(c, "ada", Role.MODERATOR, PASSWORD))
        yield address, store


def annotate(store: Store, message_id: str, kind: str, result: dict[str, Any]) -> None:
    row = {"message_id": message_id, "kind": kind, "pipeline_version": "1", "created_us": now_us()}
    store.write(lambda c: c.execute(insert(ANNOTATIONS).values(**row, result_json=json.dumps(result))))


def talk(address: str, store: Store) -> str:
    """A conversation with two answers to its first question, annotations, and a topic; its id."""
    person = Person(address).consent()
    conversation = person.conversation()
    text = f"Where do swallows sleep? Write to {ADDRESS}"
    person.say(conversation, text)
    first, reply = person.messages(conversation)
    person.http.post(f"/api/v1/messages/{reply['id']}/regenerate", json={})
    annotate(store, first["id"], "lang", {"code": "en", "name": "English"})
    at = text.index(ADDRESS)
    annotate(store, first["id"], "pii", {"spans": [{"type": "EMAIL_ADDRESS", "start": at, "end": at + len(ADDRESS)}]})
    annotate(store, first["id"], "topic", {"topic": 2, "x": 0.5, "y": 0.25, "terms": ["birds", "nests"]})
    other = person.conversation()
    person.say(other, "Wo schlafen Schwalben?")
    annotate(store, person.messages(other)[0]["id"], "lang", {"code": "de", "name": "German"})
    sum(index_all(store))
    return conversation


def sign_in(tab: Tab, address: str, then: str = "/explore/search") -> None:
    page = tab.page
    page.goto(f"{address}/sign-in?next={then}")
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(address + then)


@pytest.mark.parametrize("width", [360, 1280])
def test_every_page_is_whole_for_those_who_do_not_see_it_and_on_a_phone(
    chromium: Any, served: tuple[str, Store], width: int
) -> None:
    address, store = served
    conversation = talk(address, store)
    tab = Tab(chromium, address, viewport={"width": width, "height": 800})
    sign_in(tab, address)
    for path in (
        "/explore",
        "/explore/search",
        "/explore/search?words=swallows&language=en",
        "/explore/search?words=-only",
        f"/explore/conversations/{conversation}?words=swallows",
        "/explore/map?words=-only",
        "/explore/map?words=swallows&language=en",
    ):
        tab.page.goto(address + path)
        tab.page.wait_for_load_state("networkidle")
        assert tab.faults() == [], path
        assert tab.too_wide() == 0, path
    assert tab.page.locator("#map[data-drawn='1']").count() == 1
    assert tab.problems == []
    tab.close()


def test_an_operator_searches_narrows_opens_and_saves_with_the_keyboard_alone(
    chromium: Any, served: tuple[str, Store]
) -> None:
    address, store = served
    conversation = talk(address, store)
    tab = Tab(chromium, address)
    sign_in(tab, address)
    page = tab.page

    def tab_to(name: str) -> None:
        for _ in range(80):
            page.keyboard.press("Tab")
            focused = page.evaluate("document.activeElement.innerText || document.activeElement.id")
            if focused.strip().startswith(name):
                return
        raise AssertionError(f"{name} cannot be reached with the keyboard")

    tab_to("words")
    page.keyboard.type("sleep")
    page.keyboard.press("Enter")
    page.wait_for_url("**words=sleep**")
    assert page.locator(".hits li").count() == 1 and page.locator(".hits mark").all_inner_texts() == ["sleep"]
    tab_to("save-name")
    page.keyboard.type("Birds at night")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Birds at night").wait_for()
    page.goto(f"{address}/explore/search")
    tab_to("en")
    page.keyboard.press("Enter")
    page.wait_for_url("**language=en**")
    assert page.locator(".hits li").count() == 1 and page.locator(".chosen li").count() == 1
    tab_to("Where do swallows")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/conversations/{conversation}**")
    assert page.locator("mark.personal").first.inner_text().startswith(ADDRESS)
    assert page.locator(".outline li").count() == 3
    tab_to("›") if page.get_by_label("Next version").count() else tab_to("‹")
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert page.locator(".said .siblings").inner_text().strip(" ‹›") in ("1/2", "2/2")
    page.goto(f"{address}/explore/search")
    tab_to("Birds at night")
    page.keyboard.press("Enter")
    page.wait_for_url("**words=sleep**")
    with page.expect_navigation():
        page.get_by_role("button", name="Remove the saved search").press("Enter")
    assert page.get_by_role("link", name="Birds at night").count() == 0
    assert tab.problems == []
    tab.close()


async def says_it_back(turns: Turns) -> AsyncIterator[Piece]:
    """An attack comes back from the model as it went in, in two pieces."""
    text = turns[-1]["content"]
    half = len(text) // 2
    yield Piece(text[:half])
    yield Piece(text[half:])
    yield Piece(finish_reason="stop")


def test_thirty_attacks_as_question_and_answer_stay_text_in_chat_and_explorer(chromium: Any, tmp_path: Path) -> None:
    assert len(PAYLOADS) == len(set(PAYLOADS)) == 30
    with live_app(tmp_path, ScriptedModel(says_it_back)) as (address, store):
        store.write(lambda c: add_account(c, "ada", Role.ADMIN, PASSWORD))
        tab = Tab(chromium, address)
        page = tab.page
        page.on("dialog", lambda dialog: (tab.problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.get_by_role("link", name="Read the terms").click()
        page.get_by_label("at least 18 years").check()
        page.get_by_label("I have read this").check()
        page.get_by_role("button", name="Agree and go on").click()
        page.get_by_role("button", name="Yes, they may be published").click()
        page.get_by_role("link", name="To the chat").click()
        page.wait_for_url("**/chat")
        for i, payload in enumerate(PAYLOADS):  # live, as the script of the chat puts them into the page
            page.get_by_label("Write a message").fill(payload)
            page.get_by_role("button", name="Send").click()
            page.locator('.message.assistant[data-status="complete"]').nth(i).wait_for()
            assert live_attacks(page) == [], payload
        page.reload()
        assert page.locator(".message.user .text").all_inner_texts() == PAYLOADS
        assert live_attacks(page) == []
        sum(index_all(store))
        sign_in(tab, address)
        shown = [f"/explore/search?words={word}" for word in ("alert", "script", "onerror", "javascript")]
        for path in [*shown, "/explore/search?words=%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "/explore/search"]:
            page.goto(address + path)
            assert live_attacks(page) == [], path
        page.goto(f"{address}/explore/search?words=alert")
        page.locator(".hits a").first.click()
        page.wait_for_url("**/explore/conversations/**")
        assert page.locator(".said .typed").all_inner_texts() == [p for payload in PAYLOADS for p in (payload, payload)]
        assert live_attacks(page) == []
        assert tab.problems == []
        tab.close()
