"""The dataset page in a real Chromium: nothing fails, nothing is asked of a network, it fits a narrow screen."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from agora.curate.filter_file import filter_file
from agora.curate.verbs import app
from tests.chromium import Tab, browser, needs_browser
from tests.curate.labeled import write
from tests.curate.test_filter_file import tagged

pytestmark = needs_browser()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_shows_its_charts_and_fits(scheme: str, width: int, tmp_path: Path) -> None:
    kept = filter_file(write(tmp_path / "a.jsonl", tagged(150)), tmp_path / "kept.jsonl", "quality >= average")
    other = write(tmp_path / "b.jsonl", tagged(60, seed=1))
    page = tmp_path / "page.html"
    arguments = ["report", str(kept.out), "--against", str(other), "--out", str(page)]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    with browser() as chromium:
        tab = Tab(chromium, page, viewport={"width": width, "height": 900}, color_scheme=scheme)
        tab.page.wait_for_selector(".vega-embed svg, .vega-embed canvas")
        drawn = tab.page.locator(".vega-embed svg, .vega-embed canvas").count()
        assert drawn >= 8  # two lengths, four labels, rewards, distances, the map
        assert tab.page.locator("text=What was left out").count() >= 1
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.problems == []
