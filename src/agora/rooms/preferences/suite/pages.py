"""The suite's report as one HTML page, and as lines for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agora.core.report import Example, Report
from agora.core.stats import Interval
from agora.rooms.preferences.suite.figures import Figure, TestFigure

if TYPE_CHECKING:
    from agora.rooms.preferences.suite.run import SuiteReport
    from agora.rooms.preferences.types import EvalItem, EvalResult

_METHOD = "bootstrap 95 %, 2,000 resamples of examples within each test"
_EXAMPLES_A_TEST, _MAX_EXAMPLES, _SHOWN_CHARS = 2, 24, 600


def html_report(report: SuiteReport, items: Sequence[EvalItem] = ()) -> Report:
    """The page: categories and average, tests, what is missing, answers to read."""
    page = Report("Evaluation", report.model)
    page.facts({"model": report.model, "folder": str(report.out), "seconds": report.seconds})
    page.command(report.command)
    for note in report.notes:
        page.text(note, tone="warning")
    page.section("Categories")
    named = {**report.categories, "average": report.average}
    rows: list[list[Any]] = [[name, _cell(figure), figure.n, figure.missing] for name, figure in named.items()]
    page.table(
        ["category", "value", "n", "missing"],
        rows,
        caption="Scale 0 to 100. A category is the unweighted mean of its tests, the average that of the categories.",
    )
    page.section("Tests")
    page.table(
        ["category", "test", "value", "unit", "n", "missing", "tokens", "ended by itself, %", "also"],
        [_row(test) for test in report.by_test.values()],
        caption="Each test with the length of its answers.",
    )
    reasons: list[list[Any]] = [
        [t.name, why, count] for t in report.by_test.values() for why, count in t.reasons.items()
    ]
    if reasons:
        page.section("Missing").table(["test", "reason", "examples"], reasons, caption="Examples without a score")
    return _with_examples(page, report.results(), {(item.test, item.id): item for item in items})


def _with_examples(page: Report, results: Sequence[EvalResult], items: Mapping[tuple[str, str], EvalItem]) -> Report:
    shown: list[Example] = []
    counts: dict[tuple[str, bool], int] = {}
    for result in results:
        kind = (result.test, bool(result.score))
        if result.status != "ok" or result.generation is None or counts.get(kind, 0) >= _EXAMPLES_A_TEST:
            continue
        counts[kind] = counts.get(kind, 0) + 1
        item = items.get(result.key)
        fields = {"answer": result.generation, "read as": result.prediction or "nothing"}
        if item is not None:
            asked = item.messages[-1].content
            cut = f"… {asked[-_SHOWN_CHARS:]}" if len(asked) > _SHOWN_CHARS else asked
            fields = {"asked": cut, **fields} | ({"right answer": item.target} if item.target else {})
        tone: Any = "good" if result.score else "bad"
        title = f"{result.test}/{result.example_id}"
        shown.append(Example(title, fields, badge=f"{result.score:g}", tone=tone))
    if shown:
        page.section("Answers to read").examples(shown[:_MAX_EXAMPLES], caption="The first right and wrong ones")
    return page


def _cell(figure: Figure) -> Any:
    if figure.value is None or figure.low is None or figure.high is None:
        return figure.value
    return Interval(figure.value, figure.low, figure.high, figure.n, _METHOD, figure.missing)


def _row(test: TestFigure) -> list[Any]:
    figure, more = test.figure, ", ".join(f"{name} {shown(value)}" for name, value in test.more.items())
    length = None if test.mean_tokens is None else round(test.mean_tokens, 1)
    ended = None if test.stopped is None else round(test.stopped, 1)
    cells = [test.category, test.name, _cell(figure), test.unit, figure.n, figure.missing]
    return [*cells, length, ended, more or None]


def shown(value: float | None) -> str:
    """One decimal, or a dash."""
    return "-" if value is None else f"{value:.1f}"


def interval(figure: Figure) -> str:
    """``12.3 [10.1, 14.5]``, without bounds where they are not known."""
    if figure.low is None or figure.high is None:
        return shown(figure.value)
    return f"{shown(figure.value)} [{figure.low:.1f}, {figure.high:.1f}]"
