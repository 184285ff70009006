"""``agora judge report`` and ``agora judge export``: parse, call one function, print."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from agora.rooms.judge.asking.options import Family

Files = Annotated[list[Path], typer.Argument(help="Files of verdicts, or folders of them.", show_default=False)]
Tasks = Annotated[Path | None, typer.Option("--tasks", help="The benchmark: conversations, checklists, categories.")]
Answers = Annotated[
    list[Path] | None, typer.Option("--answers", help="File or folder of answers; may be given more than once.")
]
JudgeName = Annotated[str | None, typer.Option("--judge", help="The judge, where a file does not say.")]
Baseline = Annotated[str | None, typer.Option("--baseline", help="The baseline of a pair file.")]
Private = Annotated[bool, typer.Option("--include-private", help="Put the texts of private tasks in, too.")]


def report(
    files: Files,
    out: Annotated[Path, typer.Option("--out", metavar="FILE.html", help="Where the page goes.")],
    tasks: Tasks = None,
    answers: Answers = None,
    margin: Annotated[
        int | None, typer.Option("--margin", metavar="K", min=0, help="Length margin that the page opens with.")
    ] = None,
    title: Annotated[str, typer.Option("--title", help="Heading of the page.")] = "",
    judge: JudgeName = None,
    baseline: Baseline = None,
    family: Family = None,
    allow_partial: Annotated[bool, typer.Option("--allow-partial", help="Rank models under 95 % coverage.")] = False,
    no_texts: Annotated[bool, typer.Option("--no-texts", help="Numbers only: no answers, no reasons.")] = False,
    include_private: Private = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Make a leaderboard one can look into: one HTML file with every task, answer and reason behind its numbers."""
    from agora.core.files import write_bytes
    from agora.core.json_text import dumps
    from agora.rooms.judge.asking.answer_files import read_answer_files
    from agora.rooms.judge.look.data import page_data
    from agora.rooms.judge.look.page import render_page
    from agora.rooms.judge.trust.judge_agreement import read_families
    from agora.rooms.judge.types import TaskSet

    task_set = TaskSet.read(tasks) if tasks else None
    data = page_data(
        files,
        tasks=task_set,
        answers=read_answer_files(answers or (), task_set),
        judge=judge,
        baseline=baseline,
        margin=margin,
        allow_partial=allow_partial,
        families=read_families(family or []),
        title=title,
        command=_command("report", files, tasks=tasks, answers=answers, margin=margin, family=family, out=out),
        texts=not no_texts,
        include_private=include_private,
    )
    page = render_page(data).encode("utf-8", "replace")
    write_bytes(out, page)
    if json:
        shown = {"page": str(out), "bytes": len(page), "models": len(data.models), "tasks": len(data.task_ids)}
        typer.echo(dumps({**shown, "notes": data.notes}).decode())
        return
    typer.echo(f"{out}: {len(data.models):,} models, {len(data.task_ids):,} tasks, {len(page) / 1e6:.1f} MB")
    typer.echo("open it in a browser; --no-texts makes it small" if len(page) > 5e7 else "open it in a browser")


class Target(StrEnum):
    """What an export is for."""

    lm_eval = "lm-eval"
    inspect = "inspect"
    wildbench = "wildbench"
    csv = "csv"


def export(
    to: Annotated[Target, typer.Option("--to", help="Whose files to write.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write to.")],
    files: Annotated[
        list[Path] | None, typer.Argument(help="Files of verdicts, or folders of them.", show_default=False)
    ] = None,
    tasks: Tasks = None,
    answers: Answers = None,
    judge: Annotated[
        str | None, typer.Option("--judge", help="Who grades (lm-eval, inspect), or the judge a file does not name.")
    ] = None,
    baseline: Baseline = None,
    name: Annotated[str, typer.Option("--name", help="Name of the task in lm-eval or inspect.")] = "",
    include_private: Private = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Write the benchmark and its verdicts for other tools: WildBench's files, CSV, lm-eval, inspect_ai."""
    from agora.core.json_text import dumps
    from agora.rooms.judge.asking.answer_files import read_answer_files
    from agora.rooms.judge.export import export as write
    from agora.rooms.judge.types import TaskSet

    task_set = TaskSet.read(tasks) if tasks else None
    done = write(
        to.value,
        out,
        files or (),
        tasks=task_set,
        answers=read_answer_files(answers or (), task_set),
        judge=judge,
        baseline=baseline,
        name=name,
        include_private=include_private,
    )
    if json:
        typer.echo(dumps({"files": [str(path) for path in done.files], "notes": done.notes}).decode())
        return
    typer.echo(f"{out}: {len(done.files):,} files")
    for note in done.notes:
        typer.echo(f"note: {note}")


def _command(verb: str, files: list[Path], **options: object) -> str:
    """The command line that made a page, as a user would type it."""
    words = ["agora", "judge", verb, *map(str, files)]
    for name, value in options.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                words += [f"--{name}", str(one)]
    return shlex.join(words)
