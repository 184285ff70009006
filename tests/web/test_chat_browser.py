"""The chat in a real Chromium: consent both ways, streaming, coming back, branches, erasing, keyboard, phones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from agora.rooms.collect.upstream import Piece, Turns
from tests.chromium import Tab, browser, needs_browser
from tests.rooms.collect.live import ScriptedModel, live_app

pytestmark = needs_browser()


async def slow_words(turns: Turns) -> AsyncIterator[Piece]:
    """A list in Markdown, with time to look while it grows."""
    yield Piece("**Here** is a list:\n\n")
    for i in range(12):
        yield Piece(f"- item {i}\n")
        await asyncio.sleep(0.1)
    yield Piece(finish_reason="stop")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel()


@pytest.fixture
def address(tmp_path: Path, model: ScriptedModel) -> Iterator[str]:
    with live_app(tmp_path, model) as (found, _):
        yield found


def _consented(tab: Tab) -> str:
    """Walk through both steps as a person does; the receipt is returned."""
    page = tab.page
    page.get_by_role("link", name="Read the terms").click()
    page.get_by_label("at least 18 years").check()
    page.get_by_label("I have read this").check()
    page.get_by_role("button", name="Agree and go on").click()
    page.get_by_role("button", name="Yes, they may be published").click()
    receipt: str = page.locator("#receipt").inner_text()
    page.get_by_role("link", name="To the chat").click()
    page.wait_for_url("**/chat")
    return receipt


def _say(tab: Tab, text: str) -> None:
    tab.page.get_by_label("Write a message").fill(text)
    tab.page.get_by_role("button", name="Send").click()


def _done(tab: Tab) -> None:
    tab.page.wait_for_url("**leaf=**")
    tab.page.locator("#send:enabled").wait_for()


def _reads(tab: Tab, text: str) -> None:
    tab.page.locator(".message.assistant .text", has_text=text).wait_for()


def test_a_reply_streams_and_becomes_safe_html(chromium: Any, address: str, model: ScriptedModel) -> None:
    model.script = slow_words
    tab = Tab(chromium, address)
    _consented(tab)
    _say(tab, "a list, please <img src=x onerror=alert(1)>")
    _reads(tab, "item 2")
    assert "item 11" not in tab.page.locator(".message.assistant .text").inner_text()
    assert tab.page.get_by_role("button", name="Stop").is_visible()
    _done(tab)
    assert tab.page.locator(".message.assistant li").count() == 12
    assert tab.page.locator(".message.assistant strong").inner_text() == "Here"
    assert tab.page.locator(".messages img").count() == 0
    assert tab.problems == []
    tab.close()


def test_a_page_loaded_in_the_middle_of_a_reply_goes_on_with_it(
    chromium: Any, address: str, model: ScriptedModel
) -> None:
    model.script = slow_words
    tab = Tab(chromium, address)
    _consented(tab)
    _say(tab, "go")
    _reads(tab, "item 1")
    conversation = tab.page.evaluate("document.querySelector('[data-chat]').dataset.conversation")
    tab.page.goto(f"{address}/chat/{conversation}")
    _done(tab)
    assert tab.page.locator(".message.assistant li").count() == 12
    assert len(model.asked) == 1
    tab.close()


def test_stop_ends_a_reply_and_says_so(chromium: Any, address: str, model: ScriptedModel) -> None:
    model.script = slow_words
    tab = Tab(chromium, address)
    _consented(tab)
    _say(tab, "go")
    _reads(tab, "item 1")
    tab.page.get_by_role("button", name="Stop").click()
    _done(tab)
    tab.page.get_by_text("Stopped by you").wait_for()
    tab.close()


def test_answering_again_makes_a_branch_that_can_be_walked(chromium: Any, address: str) -> None:
    tab = Tab(chromium, address)
    _consented(tab)
    _say(tab, "hello")
    _done(tab)
    first = tab.page.url
    tab.page.get_by_role("button", name="Answer again").click()
    tab.page.wait_for_url(lambda url: url != first)
    assert tab.page.locator(".siblings").inner_text().split() == ["‹", "2/2"]
    tab.page.get_by_role("link", name="Previous version").click()
    assert tab.page.locator(".siblings").inner_text().split() == ["1/2", "›"]
    tab.page.get_by_role("button", name="Good").click()
    assert tab.page.get_by_role("button", name="Good").get_attribute("aria-pressed") == "true"
    tab.close()


def test_declining_closes_the_chat(chromium: Any, address: str) -> None:
    tab = Tab(chromium, address)
    page = tab.page
    page.get_by_role("link", name="Read the terms").click()
    page.get_by_label("at least 18 years").check()
    page.get_by_label("I have read this").check()
    page.get_by_role("button", name="Agree and go on").click()
    page.get_by_role("button", name="No", exact=True).click()
    assert page.get_by_role("heading", name="You said no").is_visible()
    page.goto(f"{address}/chat")
    assert page.url.endswith("/consent")
    tab.close()


def test_a_receipt_erases_everything(chromium: Any, address: str) -> None:
    tab = Tab(chromium, address)
    receipt = _consented(tab)
    _say(tab, "forget me")
    _done(tab)
    tab.page.get_by_role("link", name="Your data").click()
    tab.page.get_by_label("Receipt", exact=True).fill(receipt.lower())
    tab.page.get_by_label("Erase everything").check()
    tab.page.get_by_role("button", name="Erase").click()
    assert tab.page.get_by_text("Conversations erased: 1").is_visible()
    assert tab.problems == []
    tab.close()


def test_the_keyboard_is_enough(chromium: Any, address: str) -> None:
    tab = Tab(chromium, address)
    page = tab.page
    press = page.keyboard.press

    def go_to(name: str) -> None:
        for _ in range(40):
            press("Tab")
            shown = page.evaluate(
                "(e => e.matches('a, button, input, textarea') && (e.labels?.[0] ?? e).textContent)"
                "(document.activeElement)"
            )
            if name in (shown or ""):
                return
        raise AssertionError(f"the keyboard does not reach {name!r}")

    go_to("Read the terms")
    press("Enter")
    page.wait_for_url("**/consent")
    go_to("at least 18 years")
    press("Space")
    go_to("I have read this")
    press("Space")
    go_to("Agree and go on")
    press("Enter")
    page.wait_for_selector("text=Step 2 of 2")
    go_to("Yes, they may be published")
    press("Enter")
    page.wait_for_selector("#receipt")
    go_to("To the chat")
    press("Enter")
    page.wait_for_url("**/chat")
    go_to("Write a message")
    page.keyboard.type("typed by keyboard")
    press("Enter")
    _done(tab)
    assert "You said: typed by keyboard" in page.locator(".message.assistant .text").inner_text()
    tab.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_is_too_wide_or_has_a_fault_that_axe_finds(
    chromium: Any, address: str, scheme: str, width: int, model: ScriptedModel
) -> None:
    tab = Tab(chromium, address, viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True)
    page = tab.page
    faults = [tab.faults()]
    page.goto(f"{address}/consent")
    faults.append(tab.faults())
    page.get_by_label("at least 18 years").check()
    page.get_by_label("I have read this").check()
    page.get_by_role("button", name="Agree and go on").click()
    faults.append(tab.faults())
    page.get_by_role("button", name="Yes, they may be published").click()
    faults.append(tab.faults())
    page.goto(f"{address}/chat")
    faults.append(tab.faults())
    _say(tab, "hello " + "longword" * 30)
    _done(tab)
    faults.append(tab.faults())
    assert tab.too_wide() == 0
    for path in ("/receipt", "/nothing"):
        page.goto(address + path)
        assert tab.too_wide() == 0
        faults.append(tab.faults())
    assert faults == [[]] * 8
    tab.close()
