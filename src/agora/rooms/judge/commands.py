"""Commands of the judge room: parse, call one function, print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agora.rooms.judge.board import Leaderboard

app = typer.Typer(help="Judge models' answers: WB-Score, WB-Reward, leaderboards.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the bootstrap.")]


@app.callback()
def judge() -> None:
    """Judge models' answers: WB-Score, WB-Reward, leaderboards."""


@app.command("leaderboard")
def leaderboard_command(
    files: Annotated[list[Path], typer.Argument(help="Files of verdicts, or folders of them.", show_default=False)],
    margin: Annotated[
        int | None, typer.Option("--margin", metavar="K", help="Slight wins by over K more characters are ties.")
    ] = None,
    tasks: Annotated[Path | None, typer.Option("--tasks", help="The benchmark: its groups and its size.")] = None,
    judge: Annotated[str | None, typer.Option("--judge", help="The judge, where a file does not say.")] = None,
    baseline: Annotated[str | None, typer.Option("--baseline", help="The baseline of a pair file.")] = None,
    allow_partial: Annotated[bool, typer.Option("--allow-partial", help="Rank models under 95 % coverage.")] = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Make a leaderboard from stored verdicts: one table a judge, with coverage and intervals."""
    from agora.rooms.judge.board import leaderboard
    from agora.rooms.judge.types import TaskSet

    board = leaderboard(
        files,
        tasks=TaskSet.read(tasks) if tasks else None,
        judge=judge,
        baseline=baseline,
        margin=margin,
        allow_partial=allow_partial,
        seed=seed,
    )
    if json:
        from agora.core.json_text import dumps

        typer.echo(dumps(board.to_json()).decode())
    else:
        _print(board)


def _print(board: Leaderboard) -> None:
    from rich.console import Console

    from agora.rooms.judge.show import tables

    console = Console(width=None if Console().is_terminal else 120)
    for table in tables(board):
        console.print(table)
    for note in board.notes:
        console.print(f"note: {note}", markup=False, highlight=False)
