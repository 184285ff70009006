"""Commands that rank models from stored verdicts: parse, call one function, print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agora.rooms.judge.asking.options import Family

if TYPE_CHECKING:
    from rich.console import Console

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the bootstrap.")]
Files = Annotated[list[Path], typer.Argument(help="Files of verdicts, or folders of them.", show_default=False)]
Tasks = Annotated[Path | None, typer.Option("--tasks", help="The benchmark: its groups and its size.")]
JudgeName = Annotated[str | None, typer.Option("--judge", help="The judge, where a file does not say.")]
Baseline = Annotated[str | None, typer.Option("--baseline", help="The baseline of a pair file.")]


def leaderboard(
    files: Files,
    margin: Annotated[
        int | None, typer.Option("--margin", metavar="K", help="Slight wins by over K more characters are ties.")
    ] = None,
    tasks: Tasks = None,
    judge: JudgeName = None,
    baseline: Baseline = None,
    difficulty: Annotated[
        Path | None, typer.Option("--difficulty", help="CSV of task_id and difficulty, for length control.")
    ] = None,
    gamed: Annotated[
        Path | None, typer.Option("--gamed", help="CSV of gamed baselines that hold the length term in place.")
    ] = None,
    answers: Annotated[
        list[Path] | None, typer.Option("--answers", help="Files of the answers, for ratings at equal style.")
    ] = None,
    legacy: Annotated[
        bool, typer.Option("--legacy", help="Add the reference's figures, faults included, for comparison.")
    ] = False,
    family: Family = None,
    allow_partial: Annotated[bool, typer.Option("--allow-partial", help="Rank models under 95 % coverage.")] = False,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Make a leaderboard from stored verdicts: one table a judge, with coverage and intervals."""
    from agora.rooms.judge.ranking.board import LengthControl
    from agora.rooms.judge.ranking.board import leaderboard as build
    from agora.rooms.judge.ranking.style_control import read_styles
    from agora.rooms.judge.scoring.length_control import read_difficulty, read_gamed
    from agora.rooms.judge.trust.judge_agreement import read_families
    from agora.rooms.judge.types import TaskSet

    known = read_difficulty(difficulty) if difficulty else None
    board = build(
        files,
        tasks=TaskSet.read(tasks) if tasks else None,
        judge=judge,
        baseline=baseline,
        margin=margin,
        allow_partial=allow_partial,
        control=LengthControl(known, read_gamed(gamed, known) if gamed else None),
        styles=read_styles(answers) if answers else None,
        legacy=legacy,
        families=read_families(family or []),
        seed=seed,
    )
    if json:
        print_json(board.to_json())
        return
    from agora.rooms.judge.ranking.show import tables

    screen = console()
    for table in tables(board):
        screen.print(table)
    for note in board.notes:
        screen.print(f"note: {note}", markup=False, highlight=False)


def print_json(value: Any) -> None:
    """One JSON object on stdout."""
    from agora.core.json_text import dumps

    typer.echo(dumps(value).decode())


def console() -> Console:
    """Where tables go: as wide as the terminal, or wide enough to read in a file."""
    from rich.console import Console

    return Console(width=None if Console().is_terminal else 140)
