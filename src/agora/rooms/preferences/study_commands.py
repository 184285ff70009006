"""``agora preferences study``: parse, call one function, print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from agora.rooms.preferences.study.dry_run import DryRun
    from agora.rooms.preferences.study.recipe import Recipe
    from agora.rooms.preferences.study.result import StudyReport


def study(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A YAML file, or a recipe of the package.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Run folder; the same folder resumes. Default: runs/study-RECIPE.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the recipe and plan it; train nothing.")] = False,
    set_: Annotated[list[str] | None, typer.Option("--set", help="One setting, such as seeds=[0].")] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="VALUE", help="This value (or study) and its baseline.")
    ] = None,
    store: Annotated[
        Path | None, typer.Option("--store", help="Folder of finished stages that several studies share.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, help="Processes. Default: one a core for the microcosm, else 1.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Run studies in which more than one aspect differs; labeled confounded.")
    ] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Hash the large files of finished stages too.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Vary one of four aspects, everything else fixed: data, algorithm, reward model or prompts."""
    from agora.rooms.preferences.study.recipe import load_recipe

    asked = load_recipe(recipe, set_ or [])
    if dry_run:
        _plan(asked, only or [], json)
        return
    from agora.rooms.preferences.study.plan import all_arms
    from agora.rooms.preferences.study.proof import require_clean
    from agora.rooms.preferences.study.study import proofs_of

    # refused before a folder is made
    require_clean([p for found in proofs_of(all_arms(asked)).values() for p in found], force=force)
    folder = out or Path("runs") / f"study-{Path(recipe).stem}"
    command = " ".join(
        ["agora preferences study", recipe, *(f"--set {s}" for s in set_ or []), *(["--force"] if force else [])]
    )
    _print(_run(asked, folder, command, only or [], store, jobs, force, verify), json)


def _run(
    recipe: Recipe,
    folder: Path,
    command: str,
    only: list[str],
    store: Path | None,
    jobs: int | None,
    force: bool,
    verify: bool,
) -> StudyReport:
    from agora.core.runs import RunDir
    from agora.rooms.preferences.study.execute import default_jobs, threads_for
    from agora.rooms.preferences.study.study import run_study
    from agora.rooms.preferences.study.work import Workshop

    jobs = jobs or default_jobs(recipe.fixed.model)
    workshop = Workshop(threads=threads_for(jobs))
    with RunDir.open(folder, command=command, config=recipe.model_dump(mode="json"), seed=recipe.seeds[0]) as run:
        return run_study(recipe, run, store=store, only=only, force=force, jobs=jobs, workshop=workshop, verify=verify)


def _plan(recipe: Recipe, only: list[str], as_json: bool) -> None:
    from agora.rooms.preferences.study.dry_run import dry_run as plan

    found = plan(recipe, only=only)
    if as_json:
        _print_json(found.as_json())
    else:
        _print_plan(found)


def _print_plan(found: DryRun) -> None:
    from rich.table import Table

    console = _console()
    console.print(
        f"{found.title}\nstart model: {found.start}\nseeds: {', '.join(map(str, found.seeds))}", highlight=False
    )
    arms = Table("study", "value", "algorithm", "pairs", "RM updates", "rollouts", "policy updates", "new stages")
    for arm in found.arms:
        arms.add_row(
            arm.study, arm.value, arm.algorithm, f"{arm.pairs:,}", _count(arm.reward_updates), _count(arm.rollouts),
            _count(arm.policy_updates), str(arm.own_stages),
        )  # fmt: skip
    console.print(arms)
    stages = Table("stage", "distinct", "if nothing were shared")
    for kind, (distinct, alone) in found.stages.items():
        stages.add_row(kind, f"{distinct:,}", f"{alone:,}")
    console.print(stages)
    for note in (*found.notes, *(f"confounded, needs --force: {name}" for name in found.confounded)):
        console.print(f"note: {note}", markup=False, highlight=False)


def _print(found: StudyReport, as_json: bool) -> None:
    if as_json:
        _print_json(found.as_json())
        return
    from rich.table import Table

    from agora.rooms.preferences.study.advice import points
    from agora.rooms.preferences.study.report import categories_table

    console = _console()
    table = Table("study", "value", *found.categories, "average", "against the baseline", title=found.title)
    for *names_and_figures, difference in categories_table(found):
        study_name, value, *figures = names_and_figures
        shown = ["-" if f is None else f"{f:.1f}" for f in figures]
        table.add_row(study_name, value, *shown, points(difference) if difference else "")
    console.print(table)
    for sentence in found.recommendation:
        console.print(sentence, markup=False, highlight=False)
    typer.echo(f"Report: {found.report}")


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"


def _console() -> Any:
    from rich.console import Console

    return Console(width=None if Console().is_terminal else 140)


def _print_json(value: Any) -> None:
    from agora.core.json_text import dumps

    typer.echo(dumps(value).decode())
