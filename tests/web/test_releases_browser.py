"""The page of releases in a real Chromium: on a phone, in the dark, by the rules of accessibility."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agora.store import accounts
from tests.chromium import Tab, browser, needs_browser
from tests.rooms.collect.live import ScriptedModel, live_app
from tests.web.operators import PASSWORD, add_operators
from tests.web.test_releases import put_releases

pytestmark = needs_browser()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone_and_has_no_faults(
    chromium: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setattr(accounts, "_COSTS", (8, 8, 1))
    with live_app(tmp_path, ScriptedModel()) as (address, store):
        add_operators(store)
        put_releases(store)
        tab = Tab(chromium, address, color_scheme=scheme, viewport={"width": 360, "height": 740})
        page = tab.page
        page.goto(f"{address}/releases")
        page.get_by_label("Name").fill("ada")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url("**/releases")
        page.locator("summary", has_text="withdrew").click()
        assert not tab.too_wide()
        assert tab.faults() == []
        page.screenshot(path=str(tmp_path / f"releases-{scheme}.png"), full_page=True)
        page.set_viewport_size({"width": 1100, "height": 900})
        page.screenshot(path=str(tmp_path / f"releases-{scheme}-wide.png"), full_page=True)
        assert tab.problems == []
        tab.close()
