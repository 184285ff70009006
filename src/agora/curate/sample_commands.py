"""``agora curate sample``."""

from __future__ import annotations

from typing import Annotated

import typer

from agora.curate.curate_commands import File, FormatName, Json, On, Out, Workers, app, print_report


@app.command("sample")
def sample(
    file: File,
    out: Out,
    n: Annotated[
        int | None, typer.Option("--n", min=1, help="Rows to draw; all that the mix allows by default.")
    ] = None,
    mix: Annotated[str, typer.Option(help="Shares of a field's values: category: Math=0.3, Planning=0.1, *=0.6")] = "",
    split: Annotated[str, typer.Option(help="Shares to hold out in files of their own: test=0.02, valid=0.02")] = "",
    fill: Annotated[bool, typer.Option("--fill", help="Draw from other values what one lacks.")] = False,
    seed: Annotated[int, typer.Option(help="Of the draw and the split.")] = 0,
    format: FormatName = "auto",
    on: On = "local",
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Draw rows at random, to a target mix; the same seed draws the same rows."""
    from agora.curate.sample_file import parse_mix, parse_splits, sample_file

    report = sample_file(
        file,
        out,
        n,
        mix=parse_mix(mix) if mix else None,
        splits=parse_splits(split) if split else None,
        fill=fill,
        seed=seed,
        format=format,
        on=on,
        workers=workers,
    )
    if not json:
        for name, count in report.facts["drawn"].items() if mix else ():
            typer.echo(f"{name}: {count:,}")
        for name, found in (report.facts.get("splits") or {}).items():
            typer.echo(f"held out for {name}: {found['rows']:,} rows in {found['file']}")
    print_report(report, json=json)
