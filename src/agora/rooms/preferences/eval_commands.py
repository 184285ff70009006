"""``agora preferences eval``: parse, call one function, print."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from agora.engines.types import Engine
    from agora.rooms.preferences.suite.catalog import SuiteSettings
    from agora.rooms.preferences.suite.run import SuiteReport


def evaluate(
    model: Annotated[str | None, typer.Option("--model", metavar="URI", help="Whom to test.")] = None,
    suite: Annotated[
        str, typer.Option("--suite", metavar="NAME,...", help="microcosm, offline, judged, or names of tests.")
    ] = "microcosm",
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR-or-FILE", help="The tests' files; none are shipped.")
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Most items a test.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Run folder; the same folder resumes.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of drawn items, sampling and the bootstrap.")] = 0,
    judge: Annotated[
        str | None, typer.Option("--judge", metavar="URI", help="Engine that judges, or microcosm:checker.")
    ] = None,
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Run programs that the model writes, in a sandbox.")
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="Show all tests and what each needs; test nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Test a model: categories, tests, an average, with intervals and a result for every example."""
    from agora.core.errors import UsageError
    from agora.rooms.preferences.suite.catalog import SuiteSettings
    from agora.rooms.preferences.suite.judges import CHECKER

    if list_:
        _print_tests(SuiteSettings(data, judge if judge == CHECKER else None, allow_code), json)
        return
    if model is None:
        raise UsageError("no model is named", hint="give --model URI, such as microcosm:chat; or --list")
    given = {"model": model, "suite": suite, "data": data, "limit": limit, "seed": seed, "judge": judge}
    folder = out or Path("runs") / f"eval-{_slug(model, given, allow_code)}"
    command = _command({**given, "out": folder}, allow_code)
    opened = _open(judge, folder / "judge.sqlite") if judge not in (None, CHECKER) else None
    settings = SuiteSettings(data, opened or judge, allow_code)
    try:
        report = _run(model, suite, folder, settings, limit, seed, command)
    finally:
        if opened is not None:
            opened.close()
    _print(report, json)


def _run(
    model: str, suite: str, folder: Path, settings: SuiteSettings, limit: int | None, seed: int, command: str
) -> SuiteReport:
    from agora.rooms.preferences.suite.catalog import choose_tests
    from agora.rooms.preferences.suite.run import run_suite

    chosen = choose_tests([name.strip() for name in suite.split(",") if name.strip()], settings)
    notes = [f"{test.name} is not taken: {test.reason}" for test in chosen.unavailable]
    engine = _open(model, folder / "answers.sqlite")
    try:
        return run_suite(engine, chosen.tests, folder, limit=limit, seed=seed, notes=notes, command=command)
    finally:
        engine.close()


def _command(options: Mapping[str, object], allow_code: bool) -> str:
    """What a user would type to do this again."""
    words = [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
    return shlex.join(["agora", "preferences", "eval", *words, *(["--allow-code"] if allow_code else [])])


def _open(uri: str | None, cache: Path) -> Engine:
    from agora.engines.registry import open_engine

    assert uri is not None
    return open_engine(uri, cache=cache)


def _slug(uri: str, *settings: object) -> str:
    """A folder's name: the same for the same question, so that the same command resumes."""
    from agora.core.records import stable_id

    name = "".join(c if c.isalnum() else "-" for c in uri.rpartition("/")[2].rpartition("#")[2]).strip("-")
    return f"{name or 'model'}-{stable_id(uri, *settings, size=3)}"


def _print(report: SuiteReport, json: bool) -> None:
    if json:
        _print_json(report.to_json())
        return
    from rich.console import Console
    from rich.table import Table

    from agora.rooms.preferences.suite.pages import interval, shown

    table = Table("category", "test", "value", "n", "missing", "tokens", "ended %", "also", title=report.model)
    for test in report.by_test.values():
        figure, more = test.figure, ", ".join(f"{name} {shown(value)}" for name, value in test.more.items())
        counts = (str(figure.n), str(figure.missing), shown(test.mean_tokens), shown(test.stopped))
        table.add_row(test.category, test.name, interval(figure), *counts, more)
    table.add_section()
    for name, figure in [*report.categories.items(), ("average", report.average)]:
        table.add_row(name, "", interval(figure), str(figure.n), str(figure.missing))
    console = Console(width=None if Console().is_terminal else 150)
    console.print(table)
    for note in report.notes:
        console.print(f"note: {note}", markup=False, highlight=False)
    for test in report.by_test.values():
        for reason, count in test.reasons.items():
            console.print(f"missing: {test.name}: {count} examples: {reason}", markup=False, highlight=False)
    typer.echo(f"{report.answered} examples asked in {report.seconds:.1f} s; results: {report.out / 'results.jsonl'}")
    typer.echo(f"Report: {report.out / 'report.html'}")


def _print_tests(settings: SuiteSettings, json: bool) -> None:
    from agora.rooms.preferences.suite.catalog import catalog, status

    rows: list[dict[str, Any]] = [
        {
            "test": entry.name,
            "category": entry.category,
            "suites": list(entry.suites),
            "needs": entry.needs,
            "status": status(entry, settings),
        }
        for entry in catalog()
    ]
    if json:
        _print_json({"tests": rows})
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("test", "category", "suite", "needs", "status")
    for row in rows:
        table.add_row(row["test"], row["category"], ", ".join(row["suites"]), row["needs"], row["status"])
    Console(width=None if Console().is_terminal else 160).print(table)


def _print_json(value: dict[str, Any]) -> None:
    from agora.core.json_text import dumps

    typer.echo(dumps(value).decode())
