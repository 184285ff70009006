"""``agora runs``: list, show and compare run folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from agora.core.run_list import RunInfo

app = typer.Typer(name="runs", help="List, show and compare runs.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Run = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or its name under runs/.")]


@app.command("list")
def list_command(
    root: Annotated[Path, typer.Argument(help="The folder of runs.")] = Path("runs"),
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only the latest so many.")] = None,
    json: Json = False,
) -> None:
    """List the runs in a folder, oldest first."""
    from agora.core.run_list import list_runs

    # before the first run there is no folder, and that is no mistake
    runs = list_runs(root) if root.exists() or root != Path("runs") else []
    runs = runs[-limit:] if limit else runs
    if json:
        _print_json({"root": root, "runs": runs})
    elif not runs:
        typer.echo(f"no runs in {root}")
    else:
        _print_table(["RUN", "STATUS", "SEED", "SECONDS", "CREATED", "COMMAND"], [_list_row(run) for run in runs])


def _list_row(run: RunInfo) -> list[str]:
    seed = "" if run.seed is None else str(run.seed)
    return [run.name, run.status, seed, f"{run.seconds:.1f}", run.created[:19], run.problem or run.command]


@app.command("show")
def show_command(run: Run, json: Json = False) -> None:
    """Show what a run was asked, how far it came and what it measured."""
    from agora.core.run_list import find_run, read_metrics, read_run

    folder = find_run(run)
    state, metrics = read_run(folder), read_metrics(folder)
    if json:
        _print_json(state | {"path": folder, "metrics": metrics})
        return
    from agora.core.differences import flatten

    heads = ("command", "status", "error", "seed", "version", "created", "finished", "licences", "inputs", "machine")
    facts = {key: state[key] for key in heads if state.get(key) not in (None, [], {})}
    _print_section("run", {"path": folder} | flatten(facts))
    _print_section("config", flatten(state["config"]))
    _print_section("stages", {name: _stage(stage) for name, stage in (state.get("stages") or {}).items()})
    _print_section("metrics", metrics)


def _stage(stage: dict[str, Any]) -> str:
    return f"{stage.get('seconds')} s{'' if stage.get('done') else ' (not done)'}"


@app.command("compare")
def compare_command(a: Run, b: Run, json: Json = False) -> None:
    """Show where two runs differ: configuration and last metrics."""
    from agora.core.run_list import compare_runs, find_run

    found = compare_runs(find_run(a), find_run(b))
    if json:
        _print_json(found)
        return
    config = [[key, _value(old), _value(new)] for key, (old, new) in found["config"].items()]
    metrics = [
        [key, *(_value(pair[side]) for side in ("a", "b", "difference"))] for key, pair in found["metrics"].items()
    ]
    typer.echo(f"a: {_plain(found['a'])}\nb: {_plain(found['b'])}")
    _print_table(["CONFIG", "A", "B"], config) if config else typer.echo("the configurations are the same")
    if metrics:
        _print_table(["METRIC", "A", "B", "B - A"], metrics)
    typer.echo(f"{found['same_metrics']} metrics are the same")


def _print_json(value: Any) -> None:
    from agora.core.json_text import dumps

    typer.echo(dumps(value, indent=True).decode())


def _print_section(title: str, facts: dict[str, Any]) -> None:
    if facts:
        _print_table([title.upper(), ""], [[key, _value(value)] for key, value in facts.items()])


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their content; the last one may run on."""
    table = [[_plain(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    for row in table:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _value(value: Any) -> str:
    from agora.core.json_text import dumps

    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else str(value) if isinstance(value, Path) else dumps(value).decode()


def _plain(text: Any) -> str:
    from agora.core.files import printable

    return printable(str(text))
