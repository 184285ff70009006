"""``agora curate filter`` and ``agora curate funnel``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agora.curate.curate_commands import File, FormatName, Json, On, Out, Workers, app, print_report

if TYPE_CHECKING:
    from agora.curate.funnel import Funnel


@app.command("filter")
def filter_(
    file: File,
    out: Out,
    where: Annotated[
        str, typer.Option(help="Such as: quality >= good and dup.keeper then top 300000 by len(answer)")
    ] = "",
    preset: Annotated[str, typer.Option(help="basics, air, pro, pro-2 to pro-6, qwen2-pro, zh, ...")] = "",
    unknown: Annotated[str, typer.Option(help="What to do with rows that lack a field: drop or keep.")] = "drop",
    format: FormatName = "auto",
    on: On = "local",
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Keep the rows that an expression describes; each of the others gets the first clause that it fails."""
    from typing import cast

    from agora.core.errors import UsageError
    from agora.curate.filter_file import Unknown, filter_file

    if unknown not in ("drop", "keep"):
        raise UsageError(f"--unknown is drop or keep, got {unknown!r}")
    report = filter_file(
        file, out, where, preset=preset, unknown=cast(Unknown, unknown), format=format, on=on, workers=workers
    )
    print_report(report, json=json, then=f"agora curate report {out} --out {out.with_suffix('.html')}")


@app.command("fields")
def fields(json: Json = False) -> None:
    """List what an expression can look at: fields, functions and presets."""
    from agora.curate.expressions.fields import FIELDS, FREE, FUNCTIONS
    from agora.curate.expressions.presets import PRESETS

    if json:
        from agora.core.json_text import dumps

        told = {
            "fields": {name: spec.means for name, spec in FIELDS.items()},
            "functions": {name: function.means for name, function in FUNCTIONS.items()},
            "presets": {name: preset.expression for name, preset in PRESETS.items()},
        }
        typer.echo(dumps(told).decode())
        return
    for name, spec in FIELDS.items():
        typer.echo(f"{name:14} {spec.means}" + (f"   (from: {spec.made_by})" if spec.made_by else ""))
    typer.echo(f"{'free':14} {', '.join(FREE)}")
    for name, function in FUNCTIONS.items():
        typer.echo(f"{name + '(' + ', '.join(function.takes) + ')':22} {function.means}")
    for name, preset in PRESETS.items():
        typer.echo(f"preset {name:10} {preset.expression}   ({preset.source})")


@app.command("funnel")
def funnel(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A file that agora curate wrote, or a run folder.")],
    json: Json = False,
) -> None:
    """Show how many rows came to each step, how many left it, and why the others did not."""
    from agora.curate.curation import read_funnel

    found = read_funnel(run)
    if json:
        from agora.core.json_text import dumps

        typer.echo(dumps(found.summary()).decode())
        return
    print_funnel(found)


def print_funnel(found: Funnel) -> None:
    """Steps with the rows left, their share of the first, and the losses by reason."""
    width = max(len(step.label) for step in found.steps)
    for step in found.steps:
        share = f"{step.n_out / found.n_in:7.1%}" if found.n_in else ""
        typer.echo(f"{step.label.ljust(width)}  {step.n_out:>12,}  {share}")
        for reason, n in sorted(step.reasons.items(), key=lambda item: (-item[1], item[0])):
            typer.echo(f"{' ' * width}  {-n:>12,}  {reason}")
