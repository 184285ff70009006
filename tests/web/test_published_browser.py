"""Published conversations in a real Chromium: for everyone, without scripts, on a phone, and attacks that stay text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chromium import Tab, browser, needs_browser
from tests.web.hostile import PAYLOADS, live_attacks
from tests.web.published import released_site

pytestmark = needs_browser()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("released")
    with released_site(folder, conversations=40, prompts=PAYLOADS) as (visitor, _):
        yield str(visitor.base_url).rstrip("/")


@pytest.mark.parametrize("width", [360, 1280])
def test_each_page_is_whole_for_those_who_do_not_see_it_and_on_a_phone(chromium: Any, address: str, width: int) -> None:
    tab = Tab(chromium, address, viewport={"width": width, "height": 800})
    for path in ("/explore", "/explore/published", "/explore/published?words=alert", "/explore/published?words=-x"):
        tab.open(path)
        assert tab.faults() == [] and tab.too_wide() == 0, path
    tab.open("/explore/published")
    with tab.page.expect_navigation():
        tab.page.locator(".hits a").first.click()
    assert tab.faults() == [] and tab.too_wide() == 0
    assert tab.problems == []
    tab.close()


def test_a_visitor_searches_pages_and_reads_without_scripts(chromium: Any, address: str) -> None:
    tab = Tab(chromium, address, "/explore", java_script_enabled=False)
    page = tab.page
    with page.expect_navigation():
        page.get_by_role("link", name="Read published conversations").click()
    assert page.locator(".hits li").count() == 30
    with page.expect_navigation():
        page.get_by_role("link", name="Next page").click()
    assert page.locator(".hits li").count() == 10
    page.get_by_role("searchbox").fill("alert")
    with page.expect_navigation():
        page.get_by_role("button", name="Search").click()
    assert page.locator(".hits mark").first.inner_text() == "alert"
    with page.expect_navigation():
        page.locator(".hits a").first.click()
    assert page.locator(".said .typed").count() >= 2
    with page.expect_navigation():
        page.get_by_role("link", name="All published conversations").click()
    assert tab.problems == []
    tab.close()


def test_thirty_attacks_that_were_published_stay_text(chromium: Any, address: str) -> None:
    tab = Tab(chromium, address, "/explore/published?words=alert")
    page, seen = tab.page, set()
    page.on("dialog", lambda dialog: (tab.problems.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    links: list[str] = []
    for path in ("/explore/published", "/explore/published?words=alert", "/explore/published?words=%22%3E%3Cscript%3E"):
        tab.open(path)
        assert live_attacks(page) == [], path
    tab.open("/explore/published")
    while True:
        links += page.locator(".hits a").evaluate_all("every => every.map(a => a.getAttribute('href'))")
        if not page.get_by_role("link", name="Next page").count():
            break
        with page.expect_navigation():
            page.get_by_role("link", name="Next page").click()
    for link in links:
        tab.open(link)
        assert live_attacks(page) == [], link
        seen.add(page.locator(".said .typed").first.inner_text())
    assert len(links) == 40 and {" ".join(p.split()) for p in PAYLOADS} <= {" ".join(s.split()) for s in seen}
    assert tab.problems == []
    tab.close()
