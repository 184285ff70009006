"""How long a leaderboard's page of 12 models on 1,024 tasks takes to make and to use, in a real Chromium.

Reads the judged files of `AGORA_SHARED` (46 MB of answers and reasons). No peer has such a page to compare with: the
published leaderboard is a server, and its task browser loads each task over the network. Run with

    python benchmarks/leaderboard_page.py [--repeats 5]
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from agora.rooms.judge.look.data import page_data
from agora.rooms.judge.look.page import render_page

FIRST_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
MOVE = """() => { const s = document.getElementById('margin') ?? document.getElementById('group');
  const t = performance.now();
  s.dispatchEvent(new Event(s.id === 'margin' ? 'input' : 'change')); return performance.now() - t; }"""


def timed(do: Callable[[], Any]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    do()
    return time.perf_counter() - start


def measure(file: Path) -> dict[str, float]:
    """Milliseconds of what a reader waits for, each in a fresh page."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        page.goto(file.as_uri(), wait_until="load")
        page.wait_for_timeout(300)
        out = {"first paint": float(page.evaluate(FIRST_PAINT))}
        out["whole file read"] = float(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
        out["tables computed again"] = float(page.evaluate(MOVE))

        def to(fragment: str, wait_for: str) -> Callable[[], None]:
            def go() -> None:
                page.evaluate(f"location.hash = {fragment!r}")
                page.wait_for_selector(wait_for)

            return go

        out["list of tasks"] = 1000 * timed(to("#tasks", "table.tasks"))
        first = page.get_attribute("table.tasks tbody tr:nth-child(40) a", "href") or ""
        out["a task opened"] = 1000 * timed(to(first, "#view-task article"))
        out["search in all texts"] = 1000 * timed(to("#tasks?q=photosynthesis&texts=1", "#task-list caption"))
        browser.close()
    return out


def main() -> None:
    """Print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    judged = Path(os.environ.get("AGORA_SHARED", "../shared")) / "data" / "wildbench" / "judged"
    files = [judged / "gpt-4-turbo-2024-04-09.v2.0522"]
    with tempfile.TemporaryDirectory() as folder:
        path, seconds = Path(folder) / "board.html", []
        for _ in range(min(repeats, 3)):
            seconds.append(timed(lambda: path.write_text(render_page(page_data(files)), encoding="utf-8")))
        small = len(render_page(page_data(files, texts=False)).encode())
        print(
            f"made in {median(seconds):.1f} s: {path.stat().st_size / 1e6:.1f} MB, {small / 1e3:.0f} kB without texts"
        )
        found = [measure(path) for _ in range(repeats)]
    for name in found[0]:
        print(f"{name:24} {median(one[name] for one in found):8.0f} ms")


if __name__ == "__main__":
    main()
