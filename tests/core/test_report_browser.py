"""The report in a real browser: nothing fails, loads or runs that should not, and a phone needs no sideways scroll."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import altair as alt
import numpy as np
import pytest

from agora.core.report import Example, Report
from agora.core.stats import paired_bootstrap

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = "</script><script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">{{7*7}}"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (apt-get install chromium)"),
]


class Visit(NamedTuple):
    dom: str
    console: list[str]


@pytest.fixture
def visit(tmp_path: Path) -> Callable[..., Visit]:
    def go(page: Path, *, width: int = 1200) -> Visit:
        """Load the page in a frame of a width; the frame's measures are in the title of the outer page."""
        outer = tmp_path / "outer.html"
        outer.write_text(
            f"""<iframe id="f" src="{page.name}" style="width:{width}px;height:800px;border:0"></iframe><script>
            f.onload = () => setTimeout(() => {{
              const d = f.contentDocument, wide = d.documentElement.scrollWidth - d.documentElement.clientWidth;
              const count = (selector) => d.querySelectorAll(selector).length;
              const counts = [".plot svg.marks", ".plot img", "img.for-print"].map(count);
              document.title = [wide, ...counts, d.title].join("|");
            }}, 3000);</script>"""
        )
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        flags += [
            f"--user-data-dir={tmp_path / 'profile'}",
            "--allow-file-access-from-files",
            "--enable-logging=stderr",
        ]
        flags += ["--virtual-time-budget=15000", "--window-size=1400,900", "--dump-dom"]
        done = subprocess.run(
            [str(CHROMIUM), *flags, outer.as_uri()], capture_output=True, text=True, timeout=120, check=True
        )
        return Visit(done.stdout, [line for line in done.stderr.splitlines() if ":CONSOLE" in line])

    return go


def measures(visit: Visit) -> list[str]:
    title = re.search(r"<title>(.*?)</title>", visit.dom, re.DOTALL)
    assert title is not None, visit.dom[-500:]
    return title[1].split("|", 4)


def sample(text: str) -> Report:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(2, 100))
    rows = [{"step": i, "loss": 4 / (i + 1), "run": text} for i in range(50)]
    line = alt.Chart(alt.Data(values=rows), title=text).mark_line().encode(x="step:Q", y="loss:Q", color="run:N")
    report = Report("Sample", text).facts({"seed": 0, text: text}).command(f"agora loop --out {'x' * 80}")
    report.section("Scores").table(
        ["model", "score", *"abcdefgh"], [[text, paired_bootstrap(*scores), *[1234.5] * 8]], caption=text
    )
    report.section("Charts").chart(line, caption=text, alt=text)
    report.chart(line.properties(width=900) | line, caption="Two views", alt="two")
    report.chart(line.encode(row="run:N"), caption="Rows", alt="rows")
    report.section("Kept").funnel([("read " * 20, 10, {}), ("kept", 4, {text: 6})])
    return report.examples([Example(text, {"user": text, "assistant": "w" * 400, text: text}, "score 9", "good")])


@pytest.mark.parametrize("width", [360, 768, 1400])
def test_hostile_report_is_inert_silent_and_fits_the_window(
    tmp_path: Path, visit: Callable[..., Visit], width: int
) -> None:
    seen = visit(sample(HOSTILE).write(tmp_path / "report.html"), width=width)
    assert seen.console == []
    assert measures(seen) == ["0", "3", "0", "3", "Sample"]


def test_a_chart_that_cannot_be_drawn_is_shown_as_a_picture(tmp_path: Path, visit: Callable[..., Visit]) -> None:
    path = tmp_path / "report.html"
    html = sample("x").html()
    path.write_text(html.replace("window.vegaEmbed=", "window.lost="))  # the policy then refuses the changed library
    seen = visit(path)
    assert any("Content Security Policy" in line for line in seen.console)
    assert measures(seen)[1:4] == ["0", "3", "3"]
