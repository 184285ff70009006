"""The chat page asks before personal data is sent; the person decides; without scripts the message goes its way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chromium import Tab, browser, needs_browser
from tests.rooms.collect.live import ScriptedModel, live_app
from tests.web.test_chat_browser import _consented, _reads, _say

pytestmark = needs_browser()


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


def test_a_warning_comes_before_the_message_goes(
    chromium: Any, address: str, model: ScriptedModel, tmp_path: Path
) -> None:
    tab = Tab(chromium, address, viewport={"width": 360, "height": 740})
    _consented(tab)
    _say(tab, "My phone: 467 3395, write to ada@lovelace.org")
    warning = tab.page.locator("#personal")
    warning.wait_for()
    assert "a telephone number, an e-mail address" in warning.inner_text()
    assert tab.page.evaluate("document.activeElement.id") == "personal" and model.asked == []
    tab.page.screenshot(path=tmp_path / "warning.png")
    assert tab.too_wide() == 0 and tab.faults() == []
    tab.page.get_by_role("button", name="Change the message").click()
    assert warning.is_hidden()
    _say(tab, "Never mind, tell me of cats")
    _reads(tab, "You said: Never mind")
    assert [turns[-1]["content"] for turns in model.asked] == ["Never mind, tell me of cats"]
    assert tab.problems == []


def test_a_person_may_send_it_as_it_is(chromium: Any, address: str, model: ScriptedModel) -> None:
    tab = Tab(chromium, address)
    _consented(tab)
    _say(tab, "I am at ada@lovelace.org")
    tab.page.get_by_role("button", name="Send it as it is").click()
    _reads(tab, "You said: I am at ada@lovelace.org")
    assert len(model.asked) == 1 and tab.problems == []


def test_without_scripts_the_message_goes_its_way(chromium: Any, address: str, model: ScriptedModel) -> None:
    tab = Tab(chromium, address, java_script_enabled=False)
    _consented(tab)
    _say(tab, "I am at ada@lovelace.org")
    _reads(tab, "You said: I am at ada@lovelace.org")
    assert tab.page.locator("#personal").is_hidden()
