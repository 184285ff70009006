"""Reporting, signing in and reviewing in a real Chromium: with and without scripts, by keyboard, on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agora.rooms.collect.moderate.reviews import held_back
from agora.store import Store, accounts
from tests.chromium import Tab, browser, needs_browser
from tests.rooms.collect.live import Person, ScriptedModel, live_app
from tests.web.operators import PASSWORD, add_operators

pytestmark = needs_browser()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Store]]:
    monkeypatch.setattr(accounts, "_COSTS", (8, 8, 1))
    with live_app(tmp_path, ScriptedModel()) as (address, store):
        add_operators(store)
        yield address, store


def _reported(address: str, text: str = "hello") -> str:
    """A conversation that someone reported."""
    person = Person(address).consent()
    conversation = person.conversation()
    person.say(conversation, text)
    reply = person.messages(conversation)[1]["id"]
    person.http.post("/api/v1/reports", json={"message_id": reply, "why": "harmful", "comment": "rude"})
    return conversation


def _sign_in(tab: Tab) -> None:
    tab.page.goto(f"{tab.address}/moderate")
    tab.page.get_by_label("Name").fill("mo")
    tab.page.get_by_label("Password").fill(PASSWORD)
    tab.page.get_by_role("button", name="Sign in").click()
    tab.page.wait_for_url("**/moderate")


@pytest.mark.parametrize("scripts", [True, False])
def test_a_person_reports_a_reply(chromium: Any, served: tuple[str, Store], scripts: bool) -> None:
    address, store = served
    tab = Tab(chromium, address, java_script_enabled=scripts)
    page = tab.page
    page.get_by_role("link", name="Read the terms").click()
    page.get_by_label("at least 18 years").check()
    page.get_by_label("I have read this").check()
    page.get_by_role("button", name="Agree and go on").click()
    page.get_by_role("button", name="Yes, they may be published").click()
    page.get_by_role("link", name="To the chat").click()
    page.get_by_label("Write a message").fill("hello")
    page.get_by_role("button", name="Send").click()
    page.get_by_text("You said: hello").wait_for()
    page.wait_for_url("**leaf=**")
    page.locator("summary", has_text="Report").click()
    page.get_by_label("It is harmful").check()
    page.get_by_label("Anything you want to add").fill("it was rude")
    page.get_by_role("button", name="Send the report").click()
    page.get_by_text("Thank you").wait_for()
    with store.reading() as connection:
        assert len(list(connection.scalars(held_back(connection)))) == 1
    assert tab.problems == []
    tab.close()


@pytest.mark.parametrize("scripts", [True, False])
def test_a_moderator_works_through_the_queue(chromium: Any, served: tuple[str, Store], scripts: bool) -> None:
    address, store = served
    first, second = _reported(address, "I am Ada Lovelace"), _reported(address)
    tab = Tab(chromium, address, java_script_enabled=scripts)
    page = tab.page
    _sign_in(tab)
    page.locator(".queue a").first.click()
    page.wait_for_url(f"**/{first}")
    page.locator("summary", has_text="Redact words").nth(1).click()
    page.get_by_label("Words as they stand in the message").nth(1).fill("Ada Lovelace")
    page.get_by_role("button", name="Redact words").nth(0).click()
    page.locator("mark", has_text="Ada Lovelace").wait_for()
    page.get_by_role("button", name="Approve for release").click()
    page.wait_for_url(f"**/{second}")
    page.get_by_label("Note for other operators").fill("to be discussed")
    page.get_by_role("button", name="Keep the note").click()
    page.get_by_role("button", name="Hold back").click()
    page.get_by_text("Nothing waits here").wait_for()
    with store.reading() as connection:
        assert list(connection.scalars(held_back(connection))) == [second]
    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{address}/moderate")
    assert "/sign-in" in page.url
    assert tab.problems == []
    tab.close()


def test_the_keyboard_alone_goes_through_the_queue(chromium: Any, served: tuple[str, Store]) -> None:
    address, store = served
    for _ in range(3):
        _reported(address)
    tab = Tab(chromium, address)
    _sign_in(tab)
    page = tab.page
    page.locator(".queue a:focus").wait_for()  # the first of the queue; the browser focuses it some time after loading
    page.keyboard.press("Enter")
    page.wait_for_url("**/moderate/*")
    for _ in range(2):
        before = page.url
        page.locator("button:focus", has_text="Approve for release").wait_for()
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url, before=before: url != before)
    page.locator("button:focus", has_text="Approve for release").wait_for()
    page.keyboard.press("Tab")
    page.locator("button:focus", has_text="Hold back").wait_for()
    page.keyboard.press("Enter")
    page.get_by_text("Nothing waits here").wait_for()
    with store.reading() as connection:
        assert len(list(connection.scalars(held_back(connection)))) == 1
    tab.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_of_operators_is_too_wide_or_has_a_fault_that_axe_finds(
    chromium: Any, served: tuple[str, Store], scheme: str, width: int
) -> None:
    address, _ = served
    conversation = _reported(address, "I am Ada " + "longword" * 30)
    tab = Tab(chromium, address, viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True)
    page = tab.page
    faults = []

    def look() -> None:
        assert tab.too_wide() == 0, page.url
        faults.append(tab.faults())

    page.goto(f"{address}/sign-in")
    look()
    _sign_in(tab)
    look()
    page.goto(f"{address}/moderate/{conversation}")
    page.locator("summary").first.click()
    page.get_by_label("Words as they stand in the message").first.fill("Ada")
    page.get_by_role("button", name="Redact words").first.click()
    page.locator("mark").wait_for()
    look()
    page.goto(f"{address}/moderate?show=held")
    look()
    assert faults == [[]] * 4
    tab.close()
