"""``agora curate run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agora.curate.curate_commands import FormatName, Json, On, Workers, app
from agora.curate.filter_commands import print_funnel


@app.command("run")
def run(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Any readable files, each in its own format.")],
    out: Annotated[Path, typer.Option(help="Run folder, made or resumed.")],
    recipe: Annotated[str, typer.Option(help="label_free, air, pro, or a YAML file of steps.")] = "label_free",
    set_: Annotated[list[str] | None, typer.Option("--set", help="Change a value: steps.1.label.engine=URI")] = None,
    format: FormatName = "auto",
    on: On = "local",
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Bring files together and curate them by a recipe; the default needs no label and no model."""
    from agora.curate.recipe import read_recipe, run_recipe

    report = run_recipe(files, out, read_recipe(recipe, set_ or []), format=format, on=on, workers=workers)
    if json:
        from agora.core.json_text import dumps

        typer.echo(dumps(report.as_json()).decode())
        return
    print_funnel(report.funnel)
    typer.echo(f"kept: {report.kept}; page: {report.page}")
