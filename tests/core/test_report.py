"""Reports: what a page shows, that it is inert, accessible and loads nothing."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.errors import AgoraError, DataError
from agora.core.report import Example, Report
from agora.core.report_assets.page import script_json
from agora.core.stats import Interval, wilson
from tests.examples import examples

HOSTILE = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "{{7*7}}",
    "{% for %}",
    "<!-- ",
    "]]>\u2028",
]
VOID = {"meta", "img", "line", "circle", "br"}


class Page(HTMLParser):
    """Tags, attributes and text of a page, script and style left out of the text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text = ""
        self.scripts: list[tuple[dict[str, str], str]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append((tag, given))
        if tag == "script":
            self.scripts.append((given, ""))
        if tag not in VOID and not self.get_starttag_text().endswith("/>"):  # type: ignore[union-attr]
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            attrs, text = self.scripts[-1]
            self.scripts[-1] = (attrs, text + data)
        elif not self.open or self.open[-1] != "style":
            self.text += data

    def all(self, name: str) -> list[dict[str, str]]:
        return [attrs for tag, attrs in self.tags if tag == name]


def bars(text: str = "x", rows: int = 3) -> alt.Chart:
    values = [{"name": f"{text} {i}", "score": i} for i in range(rows)]
    return alt.Chart(alt.Data(values=values), title=text).mark_bar().encode(x="name:N", y="score:Q")


def everything(text: str) -> Report:
    """A report with `text` wherever a caller can put some."""
    report = Report(text, text).facts({text: text}).command(text).highlights({text: wilson(3, 10)})
    report.section(text).text(text).text(text, tone="warning")
    report.table([text, "share"], [[text, wilson(3, 10)], [text, None]], caption=text, note=text)
    report.section("more").funnel([(text, 10, {}), (text, 5, {text: 3})], caption=text)
    report.examples([Example(text, {text: text, "user": text}, text)], caption=text)
    return report.section(text)


def policy(html: str) -> str:
    return next(attrs["content"] for attrs in Page(html).all("meta") if attrs.get("http-equiv"))


def shown(report: Report) -> str:
    return re.sub(r"\s+", " ", Page(report.html()).text)


def test_hostile_text_is_shown_and_does_nothing() -> None:
    text = " ".join(HOSTILE)
    page = Page(everything(text).chart(bars(text), caption=text, alt=text).html())
    assert page.text.count(text) > 12
    assert len(page.scripts) == 4  # chart data, themes, the library, ours
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert [attrs["src"][:19] for attrs in page.all("img")] == ["data:image/svg+xml;"]
    data = json.loads(next(body for attrs, body in page.scripts if attrs and "id" not in attrs))
    assert data["title"] == data["description"] == text
    assert f"{text} 0" in json.dumps(data, ensure_ascii=False)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
@settings(max_examples=examples(60), deadline=None)
def test_no_text_changes_the_structure_of_the_page(text: str) -> None:
    line = "x" + " ".join(text.split())  # blank lines make paragraphs on purpose
    plain, page = Page(everything("x").html()), Page(everything(line).html())
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in plain.tags]
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)


@given(
    st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.dictionaries(st.text(), inner), max_leaves=5)
)
@settings(max_examples=examples(50))
def test_script_json_cannot_end_its_element_and_reads_back(value: Any) -> None:
    text = script_json(value)
    assert not re.search("[<>&\u2028\u2029]", text)
    assert json.loads(text) == value


def test_still_picture_of_a_hostile_chart_holds_no_script() -> None:
    page = Page(Report("r").chart(bars(HOSTILE[0]), caption="c", alt="a").html())
    svg = base64.b64decode(page.all("img")[0]["src"].split(",")[1]).decode()
    assert "&lt;script&gt;" in svg
    assert "<script" not in svg


def test_page_loads_nothing() -> None:
    html = everything("x").chart(bars(), caption="c", alt="a").html()
    page = Page(html)
    for tag, attrs in page.tags:
        assert not {"srcset", "poster", "data", "action", "background", "ping"} & set(attrs)
        assert attrs.get("src", "data:").startswith("data:")
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
    assert all(attrs["href"].startswith("#") for attrs in page.all("a"))
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style is not None
    assert not re.search(r"@import|url\(", style[1])
    rules = policy(html).split("; ")
    assert rules[0] == "default-src 'none'"
    assert rules[1].startswith("script-src 'sha256-")
    assert "'unsafe-inline'" not in rules[1]
    assert not [rule for rule in rules if rule.startswith(("connect-src", "frame-src", "font-src"))]


def test_without_a_chart_there_is_no_script_and_the_page_is_small() -> None:
    html = everything("x").html()
    assert not Page(html).scripts
    assert policy(html).startswith("default-src 'none'; script-src 'none'; ")
    assert len(html) < 40_000


def test_the_library_is_inlined_once_and_the_page_stays_under_two_megabytes(tmp_path: Path) -> None:
    report = Report("r")
    for _ in range(3):
        report.chart(bars(), caption="c", alt="a")
    path = report.write(tmp_path / "deep" / "report.html")
    assert path.stat().st_size < 2_000_000
    assert len([body for _, body in Page(path.read_text()).scripts if len(body) > 100_000]) == 1
    assert list(path.parent.iterdir()) == [path]


def test_the_same_report_is_the_same_bytes() -> None:
    def make() -> str:
        return everything("x").chart(bars(), caption="c", alt="a").html()

    assert make() == make()


def test_page_is_accessible() -> None:
    report = (
        everything("x").table(["a"], [[1]], caption="numbers").chart(bars(), caption="c", alt="The last is highest.")
    )
    page = Page(report.html())
    names = [tag for tag, _ in page.tags]
    assert all(names.count(landmark) == 1 for landmark in ("main", "nav", "footer", "h1"))
    assert page.tags[names.index("body") + 1][1]["href"] == "#main"
    levels = [int(tag[1]) for tag in names if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert names.count("caption") == names.count("table") == 2
    assert all("scope" in attrs for attrs in page.all("th"))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    pointed = {attrs[key] for _, attrs in page.tags for key in ("aria-labelledby",) if key in attrs}
    assert pointed | {attrs["href"][1:] for attrs in page.all("a")} <= set(ids)
    assert page.all("html")[0]["lang"] == "en"
    assert page.all("img")[0]["alt"] == "The last is highest."


def test_cards_before_the_first_section_skip_no_heading_level() -> None:
    page = Page(Report("r").examples([Example("e", {"user": "hi"})]).html())
    assert [tag for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)] == ["h1", "h2"]


def _luminance(color: str) -> float:
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def _contrast(a: str, b: str) -> float:
    low, high = sorted((_luminance(a), _luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_meets_wcag_aa_in_every_theme() -> None:
    assets = files("agora.core") / "report_assets"
    blocks = re.findall(r":root \{(.*?)\}", (assets / "report.css").read_text(), re.DOTALL)
    themes = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in blocks]
    assert len(themes) == 3  # light, dark, print
    for theme in themes:
        texts = [
            (ink, paper) for ink in ("ink", "muted", "accent", "good", "bad", "warning") for paper in ("page", "card")
        ]
        texts += [(tone, f"{tone}-soft") for tone in ("good", "bad", "warning")] + [("ink", "track")]
        texts += [("ink", f"{tone}-soft") for tone in ("good", "bad", "warning", "accent")]
        for ink, paper in texts:
            assert _contrast(theme[ink], theme[paper]) >= 4.5, (ink, paper)
        assert _contrast(theme["fill"], theme["card"]) >= 3
        assert _contrast(theme["fill"], theme["track"]) >= 3
    charts = json.loads((assets / "chart_themes.json").read_text())
    for name, theme in zip(("light", "dark"), themes, strict=False):
        assert all(_contrast(color, theme["card"]) >= 3 for color in charts[name]["range"]["category"])
        assert _contrast(charts[name]["axis"]["labelColor"], theme["card"]) >= 4.5


def test_numbers_share_decimals_within_a_column() -> None:
    rows = [["a", 12.345, 1234], ["b", -0.04, 5], ["c", None, math.nan]]
    text = shown(Report("r").table(["name", "score", "count"], rows, caption="t"))
    for cell in ("12.3", "0.0", "1,234", "5", "–"):
        assert cell in text
    assert "-0.0" not in text  # what rounds to nothing has no sign
    assert "nan" not in text.lower()


def test_formats_and_alignment_are_as_asked() -> None:
    html = Report("r").table(["a", "b"], [[0.251, "x"]], caption="t", formats={"a": ".1%"}, align={"b": "right"}).html()
    assert '<td class="right">x</td>' in html
    assert "25.1%" in html


def test_numpy_values_read_like_python_ones() -> None:
    rows = [[np.str_("a"), np.float64(1.5), np.int64(2000), np.bool_(True)]]
    text = shown(Report("r").table(["a", "b", "c", "d"], rows, caption="t"))
    assert "a1.502,000yes" in text


def test_intervals_show_bounds_a_bar_and_how_they_were_found() -> None:
    intervals = [Interval(12.34, 10.06, 14.51, 200, "bootstrap 95 %", 3), Interval(-1, -2, 0.5, 180, "bootstrap 95 %")]
    html = Report("r").table(["m", "score"], [["a", intervals[0]], ["b", intervals[1]]], caption="t").html()
    text = re.sub(r"\s+", " ", Page(html).text)
    assert "12.3 [10.1, 14.5]" in text
    assert "Intervals: bootstrap 95 % (n = 180 to 200). Missing values left out: 3." in text
    places = [float(x) for x in re.findall(r'<circle cx="([\d.]+)%"', html)]
    assert 3 < places[1] < places[0] < 97
    assert len(re.findall('class="zero"', html)) == 2


def test_bar_of_an_interval_holds_its_estimate() -> None:
    html = Report("r").table(["p"], [[wilson(k, 20)] for k in (0, 3, 20)], caption="t").html()
    for low, high, x in re.findall(r'x1="([\d.]+)%" x2="([\d.]+)%" y1="50%" y2="50%"/><circle cx="([\d.]+)%"', html):
        assert float(low) <= float(x) <= float(high)


def test_bars_are_drawn_where_asked_and_not_in_crowded_tables() -> None:
    row = [wilson(k, 20) for k in (3, 5, 9)]
    assert "<circle" not in Report("r").table(["a", "b", "c"], [row], caption="t").html()
    assert Report("r").table(["a", "b", "c"], [row], caption="t", bars=["b"]).html().count("<circle") == 1


def test_interval_without_known_bounds_shows_the_estimate_alone() -> None:
    html = Report("r").table(["a"], [[Interval(2.0, math.nan, math.nan, 1, "bootstrap")]], caption="t").html()
    assert "2.00" in html
    assert "<circle" not in html


def test_rows_may_be_mappings_and_may_be_none() -> None:
    text = shown(Report("r").table(["a", "b"], [{"b": 1}], caption="t").table(["a"], [], caption="u"))
    assert "–1" in text
    assert "No rows" in text


def test_a_seed_has_no_thousands_separator() -> None:
    assert "seed12345" in shown(Report("r").facts({"seed": 12345}))


def test_funnel_shows_reasons_and_admits_losses_without_one() -> None:
    text = shown(Report("r").funnel([("read", 100, {"malformed": 4}), ("kept", 60, {"short": 25, "copy": 5})]))
    assert "4 left out: malformed" in text
    assert "40 left out: short, copy, no reason recorded" in text
    assert re.search(r"no reason recorded\s*10", text)
    assert "60.0%" in text


def test_funnel_of_nothing_does_not_fail() -> None:
    assert "–" in shown(Report("r").funnel([("read", 0, {}), ("kept", 0, {})]))


def test_long_texts_fold_and_lose_nothing() -> None:
    story = "The fox is quick. " * 200
    html = Report("r").examples([{"title": "t", "fields": {"assistant": story}, "badge": "9", "tone": "good"}]).html()
    assert "Show the other" in html
    head, rest = re.search(
        r'<div class="words" dir="auto">(.*?)<details><summary>.*?</summary>(.*?)</details>', html
    ).groups()  # type: ignore[union-attr]
    assert head + rest == story


def test_charts_follow_the_page_unless_they_have_a_width_or_several_views() -> None:
    def specs(*charts: Any) -> list[dict[str, Any]]:
        report = Report("r")
        for chart in charts:
            report.chart(chart, caption="c", alt="a")
        scripts = Page(report.html()).scripts
        return [json.loads(body) for attrs, body in scripts if attrs and "id" not in attrs]

    plain, wide, pair, faceted = specs(
        bars(), bars().properties(width=500), bars() | bars(), bars().encode(row="name:N")
    )
    assert plain["width"] == "container"
    assert wide["width"] == 500
    assert "width" not in pair
    assert faceted.get("width") != "container"


def test_chart_of_many_rows_is_not_refused() -> None:
    chart = bars(rows=5_001).mark_line().encode(x="score:Q")
    assert len(Report("r").chart(chart, caption="c", alt="a").html()) > 5_001 * len('{"name":"x 1","score":1}')


def test_a_plain_specification_is_a_chart_and_is_not_changed() -> None:
    spec = {"data": {"values": [{"a": 1}]}, "mark": "point", "encoding": {"x": {"field": "a", "type": "quantitative"}}}
    before = json.dumps(spec)
    Report("r").chart(spec, caption="c", alt="a")
    assert json.dumps(spec) == before


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Report("r").table(["a", "b"], [[1]], caption="t"),
        lambda: Report("r").table(["a"], [{"b": 1}], caption="t"),
        lambda: Report("r").table(["a", "a"], [], caption="t"),
        lambda: Report("r").table([], [], caption="t"),
        lambda: Report("r").table(["a"], [], caption="t", formats={"b": ".1f"}),
        lambda: Report("r").table(["a"], [[1.0]], caption="t", formats={"a": "much"}),
        lambda: Report("r").examples([{"title": "t"}]),
        lambda: Report("r").examples([{"title": "t", "fields": {}, "color": "red"}]),
        lambda: Report("r").chart(bars(), caption="c", alt=" "),
        lambda: Report("r").chart(alt.Chart("https://example.com/x.csv").mark_bar(), caption="c", alt="a"),
        lambda: Report("r").chart({"mark": {"type": "image", "url": "x.png"}}, caption="c", alt="a"),
        lambda: Report("r").chart({"data": {"values": []}, "mark": "no such mark"}, caption="c", alt="a"),
    ],
)
def test_wrong_input_is_refused_in_one_line(wrong: Callable[[], object]) -> None:
    with pytest.raises(DataError) as caught:
        wrong()
    assert "\n" not in str(caught.value)


def test_a_report_that_cannot_be_written_leaves_no_half_file(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    with pytest.raises(AgoraError) as caught:
        Report("r").write(tmp_path / "report.html")
    assert "report.html" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_text_that_is_not_valid_unicode_is_still_written(tmp_path: Path) -> None:
    path = Report("r").text("broken \ud800 text").write(tmp_path / "r.html")
    assert "broken ? text" in path.read_text()


def test_a_report_links_only_to_files_beside_it() -> None:
    html = Report("R").section("S").link("All tasks <b>", "leaderboard.html").html()
    assert '<p class="link"><a href="leaderboard.html" dir="auto">All tasks &lt;b&gt;</a></p>' in html
    for target in ("https://example.org", "javascript:alert(1)", "/etc/passwd", "a b.html", "//host/x"):
        with pytest.raises(DataError, match="links to files beside it"):
            Report("R").link("x", target)
