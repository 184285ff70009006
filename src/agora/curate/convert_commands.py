"""``agora curate convert``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agora.curate.curate_commands import File, FormatName, Json, Out, app, print_report

if TYPE_CHECKING:
    from pathlib import Path


@app.command("convert")
def convert(
    file: File,
    out: Out,
    to: Annotated[
        str,
        typer.Option(
            help="agora, sharegpt, openai, alpaca, distilabel, magpie-v1, ..., wildchat-1m; with --pairs: trl, hh, ..."
        ),
    ] = "agora",
    pairs: Annotated[
        bool, typer.Option("--pairs", help="The file holds preferences: two answers to a prompt.")
    ] = False,
    format: FormatName = "auto",
    json: Json = False,
) -> None:
    """Write conversations or preferences in another tool's layout; what does not fit is kept aside."""
    if pairs:
        _convert_pairs(file, out, to, format, json)
        return
    from agora.curate.convert import convert_file

    report = convert_file(file, out, to, format=format)
    print_report(report, json=json)


def _convert_pairs(file: Path, out: Path, to: str, format: str, json: bool) -> None:
    from agora.curate.convert import convert_pairs

    report = convert_pairs(file, out, to, format=format)
    if json:
        from agora.core.json_text import dumps

        typer.echo(dumps(report.to_json()).decode())
        return
    typer.echo(f"{report.written:,} pairs written: {report.path}")
    for reason, n in report.skipped.items():
        typer.echo(f"  {n:,} are not in it: {reason}")
    if report.hint:
        typer.echo(f"use it: {report.hint}")
