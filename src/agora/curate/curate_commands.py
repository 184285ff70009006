"""``agora curate``: make a data set better, one verb at a time, and see what became of every row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agora.curate.curation import CurateReport

app = typer.Typer(no_args_is_help=True, help="Label, de-duplicate, filter, sample and look at instruction data.")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
File = Annotated[Path, typer.Argument(metavar="FILE", help="Samples, conversations or any format that agora reads.")]
Out = Annotated[Path, typer.Option(help="File to write: .jsonl, .json, .parquet; lines also .gz, .zst.")]
On = Annotated[str, typer.Option(help="Where long steps run: local, ray or ray://HOST:PORT.")]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Processes of long steps; default: one for rows, one per CPU for vectors. Same result."),
]
FormatName = Annotated[str, typer.Option(help="Name of the input's format, or auto.")]


@app.callback()
def curate() -> None:
    """Label, de-duplicate, filter, sample and look at instruction data."""


def print_report(report: CurateReport, *, json: bool, then: str = "") -> None:
    """Tell what a verb did: the funnel, the losses, and where everything lies.

    Args:
        then: a command to go on with.
    """
    if json:
        from agora.core.json_text import dumps

        typer.echo(dumps(report.as_json()).decode())
        return
    typer.echo(f"{report.n_out:,} of {report.n_in:,} rows stay ({report.seconds:.1f} s)")
    for reason, n in report.reasons.items():
        typer.echo(f"  {n:,}: {reason}")
    for name, fact in (report.facts.get("shortfall") or {}).items():
        typer.echo(f"warning: {name}: only {fact['found']:,} of {fact['asked']:,} rows", err=True)
    if report.rejects:
        typer.echo(f"the others, with reasons: {report.rejects}")
    typer.echo(f"written: {report.out}; see how it came about: agora curate funnel {report.out}")
    if then:
        typer.echo(f"go on: {then}")
