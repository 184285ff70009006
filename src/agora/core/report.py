"""Reports: one self-contained HTML file with tables, charts, the funnel and examples to read.

Everything a caller hands over is text and is escaped. The page loads nothing: style and scripts are inlined, and its
content security policy runs only the scripts it was written with.

Example:
    >>> report = Report("Alignment loop", "Seed 0").facts({"seed": 0}).command("agora loop --seed 0")
    >>> report = report.section("Scores").table(["model", "score"], [["base", 12.5], ["dpo", 31.0]], caption="WB-Score")
    >>> page = report.html()
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self

from agora.core.errors import AgoraError, DataError
from agora.core.report_assets import page, views
from agora.core.report_assets.page import Chart
from agora.core.report_assets.views import Cell, FunnelStep, Row

Tone = Literal["neutral", "good", "bad", "warning"]


@dataclass(frozen=True, slots=True)
class Example:
    """One thing to read: named texts in order (the name is a role, "chosen", "score", ...)."""

    title: str
    fields: Mapping[str, Cell]
    badge: str = ""
    tone: Tone = "neutral"


@dataclass(slots=True)
class _Section:
    title: str
    anchor: str
    blocks: list[dict[str, Any]] = field(default_factory=list)


class Report:
    """Builds a report part by part; every method returns the report.

    What comes before the first section stands in the header of the page.
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title = title
        self.subtitle = subtitle
        self._sections = [_Section("", "")]
        self._num_parts = 0

    def section(self, title: str) -> Self:
        """Start a section; the parts that follow belong to it."""
        slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "section"
        self._sections.append(_Section(title, f"{slug}-{len(self._sections)}"))
        return self

    def text(self, text: str, *, tone: Tone | None = None) -> Self:
        """Plain paragraphs, split at blank lines; with a tone they stand in a box of that color."""
        return self._add("text", paragraphs=[p for p in re.split(r"\n\s*\n", text.strip()) if p], tone=tone)

    def facts(self, facts: Mapping[str, Cell | Path]) -> Self:
        """Names and values: seed, date, duration, versions, paths."""
        return self._add("facts", facts=[(name, views.value_text(value)) for name, value in facts.items()])

    def highlights(self, numbers: Mapping[str, Cell], *, formats: Mapping[str, str] | None = None) -> Self:
        """The few numbers to see first, large. `formats` as in :meth:`table`, by name."""
        spec = formats or {}
        shown = [(name, views.value_view(value, spec.get(name, ""))) for name, value in numbers.items()]
        return self._add("highlights", numbers=shown)

    def command(self, text: str) -> Self:
        """A command line to copy."""
        return self._add("command", text=text.strip())

    def link(self, text: str, target: str) -> Self:
        """A link to a file beside the report.

        Args:
            text: what it leads to.
            target: the file's relative name, such as ``leaderboard.html``.

        Raises:
            DataError: the target is no plain relative name.
        """
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", target):
            raise DataError(f"a report links to files beside it, not to {target!r}", hint="give a relative file name")
        return self._add("link", text=text, target=target)

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Row],
        *,
        caption: str,
        note: str = "",
        formats: Mapping[str, str] | None = None,
        align: Mapping[str, Literal["left", "right"]] | None = None,
        bars: Sequence[str] | None = None,
    ) -> Self:
        """A table. Numbers stand right with equal decimals a column, intervals as ``12.3 [10.1, 14.5]``.

        Args:
            columns: unique headings.
            rows: cells in the order of `columns`, or mappings from column to cell (an absent key is missing).
            caption: what the table shows, with the unit.
            note: small print below it. How intervals were found and from how many values is added by itself.
            formats: Python number format by column, such as ``{"share": ".1%"}``; default: decimals by magnitude.
            align: alignment by column; default: numbers right, text left.
            bars: columns whose intervals are also drawn, on one axis a column; default: all if at most two have any.

        Raises:
            DataError: a row of the wrong length, an unknown or repeated column, a bad format.
        """
        view = views.table_view(list(columns), list(rows), formats or {}, align or {}, bars)
        return self._add("table", caption=caption, note=note, **view)

    def chart(self, chart: Chart | Mapping[str, Any], *, caption: str, alt: str) -> Self:
        """An altair chart, or a Vega-Lite specification, that carries its data; it follows the page's width and theme.

        Args:
            chart: a single view or layers without a width of their own fill the page.
            caption: what it shows.
            alt: what a reader who cannot see it should know: the finding, not the axes.

        Raises:
            DataError: `alt` is empty, the chart would load data from a file or address, or cannot be drawn.
        """
        if not alt.strip():
            raise DataError(f"chart {caption!r} has no alt text", hint="say in `alt` what the chart shows")
        spec = page.read_spec(chart, caption) | {"description": alt}
        return self._add("chart", caption=caption, alt=alt, spec=spec, still=page.still(spec, caption))

    def funnel(self, steps: Sequence[FunnelStep], *, caption: str = "What was kept, and why the rest was not") -> Self:
        """What was kept at each step. A step is (label, rows left after it, rows lost in it by reason).

        Losses that no reason explains are shown as such.
        """
        return self._add("funnel", caption=caption, steps=views.funnel_view(steps))

    def examples(self, items: Iterable[Example | Mapping[str, Any]], *, caption: str = "") -> Self:
        """Cards to read, one an :class:`Example` (or a mapping with its fields). Long texts fold.

        Raises:
            DataError: a mapping lacks `title` or `fields`, or has an unknown key.
        """
        cards = [_example(item) for item in items]
        texts = [[views.text_view(name, value) for name, value in card.fields.items()] for card in cards]
        return self._add("examples", caption=caption, cards=list(zip(cards, texts, strict=True)))

    def html(self) -> str:
        """The page as text."""
        return page.render(self.title, self.subtitle, self._sections)

    def write(self, path: Path | str) -> Path:
        """Write the page in one step (never half a file) and return its path.

        Raises:
            AgoraError: the file cannot be written.
        """
        target, text = Path(path), self.html()
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("w", encoding="utf-8", errors="replace", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise AgoraError(f"the report was not written: {error.strerror}", where=str(target)) from error
        return target

    def _add(self, kind: str, **view: Any) -> Self:
        self._num_parts += 1
        self._sections[-1].blocks.append({"kind": kind, "id": f"part-{self._num_parts}", **view})
        return self


def _example(item: Example | Mapping[str, Any]) -> Example:
    if isinstance(item, Example):
        return item
    names = [f.name for f in fields(Example)]
    wrong = sorted(set(item) - set(names)) + sorted({"title", "fields"} - set(item))
    if wrong:
        raise DataError(f"an example has unknown or missing keys {wrong}", hint=f"it takes {names}")
    return Example(**item)
