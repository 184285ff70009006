"""A real Chromium, driven through Playwright: pages open without a network, and everything that fails is kept."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
AXE = Path(__file__).resolve().parents[1] / ".venv" / "axe" / "package" / "axe.min.js"


def needs_browser() -> list[pytest.MarkDecorator]:
    """Marks of a test module that drives the browser."""
    try:
        import playwright  # noqa: F401
    except ImportError:
        missing = "playwright is not installed (pip install 'agora[browser]')"
    else:
        missing = "" if CHROMIUM else "Chromium is not installed (apt-get install chromium)"
    return [pytest.mark.browser, pytest.mark.slow, pytest.mark.skipif(bool(missing), reason=missing or "installed")]


@contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


class Tab:
    """One page of a file or a server; ``problems`` holds console messages, script errors and requests to others."""

    def __init__(self, chromium: Any, place: Path | str, fragment: str = "", **context: Any) -> None:
        self.problems: list[str] = []
        self.address = place if isinstance(place, str) else place.as_uri()
        self.page = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **context}).new_page()
        self.page.on("console", lambda message: self.problems.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        self.page.on("request", lambda request: self._requested(request.url))
        self.open(fragment)

    def open(self, fragment: str = "") -> None:
        """Go to a view of the page and wait until it is there."""
        self.page.goto(f"{self.address}{fragment}")
        self.page.wait_for_load_state()

    def _requested(self, url: str) -> None:
        if not url.startswith(("file:", "data:", "blob:", self.address)):
            self.problems.append(f"request: {url}")

    def too_wide(self) -> int:
        """By how many pixels the page is wider than its window."""
        found: int = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return found

    def faults(self) -> list[str]:
        """What axe-core finds wrong for people who do not see or use a mouse; skips with a reason without it."""
        if not AXE.is_file():
            pytest.skip(f"axe-core is not installed ({AXE}); make test-browser fetches it")
        self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate("axe.run({resultTypes: ['violations']})")
        return [f"{v['id']}: {v['nodes'][0]['html'][:160]}" for v in found["violations"]]

    def close(self) -> None:
        """Close the page and its context."""
        self.page.context.close()
