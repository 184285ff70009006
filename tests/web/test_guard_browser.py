"""The puzzle solved by the page's own script, and the admins' page, in a real Chromium."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agora.rooms.collect.guard.tables import PROOFS
from agora.store import Store, accounts
from tests.chromium import Tab, browser, needs_browser
from tests.rooms.collect.live import Person, ScriptedModel, live_app, settings
from tests.web.operators import PASSWORD, add_operators

pytestmark = needs_browser()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Store]]:
    monkeypatch.setattr(accounts, "_COSTS", (8, 8, 1))
    with live_app(tmp_path, ScriptedModel(), settings(abuse={"proof_bits": 12})) as (address, store):
        add_operators(store)
        yield address, store


def test_the_page_solves_the_puzzle_and_the_first_message_goes_out(chromium: Any, served: tuple[str, Store]) -> None:
    address, store = served
    tab = Tab(chromium, address, locale="en-US")
    page = tab.page
    page.get_by_role("link", name="Read the terms").click()
    page.get_by_label("at least 18 years").check()
    page.get_by_label("I have read this").check()
    page.get_by_role("button", name="Agree and go on").click()
    page.get_by_role("button", name="Yes, they may be published").click()
    page.get_by_role("link", name="To the chat").click()
    page.get_by_text("Ready.").wait_for()
    page.get_by_label("Write a message").fill("hello")
    page.get_by_role("button", name="Send").click()
    page.get_by_text("You said: hello").wait_for()
    with store.reading() as connection:
        (row,) = connection.execute(PROOFS.select()).all()
    assert row.bits == 12
    assert tab.problems == []
    tab.close()


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1280, "light")])
def test_an_admin_blocks_and_unblocks_an_address(
    chromium: Any, served: tuple[str, Store], width: int, scheme: str
) -> None:
    address, _ = served
    person = Person(address).consent()
    conversation = person.conversation()
    tab = Tab(chromium, address, viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True)
    page = tab.page
    page.goto(f"{address}/moderate/{conversation}")
    page.get_by_label("Name").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="Block the address").click()
    assert page.get_by_label("Code of an address").input_value() == conversation
    page.get_by_role("button", name="Block", exact=True).click()
    page.get_by_role("button", name="Show the address").click()
    page.get_by_text("The address is 127.0.0.1").wait_for()
    assert tab.too_wide() == 0
    assert tab.faults() == []
    page.get_by_role("button", name="Unblock").click()
    page.get_by_text("Nobody is blocked").wait_for()
    assert "operator.unblocked" in page.locator("table").last.inner_text()
    assert tab.problems == []
    tab.close()
