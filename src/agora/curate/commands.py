"""``agora data``: bring conversations in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Bring in and look at data.")


@app.callback()
def data() -> None:
    """Bring in and look at data."""


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="Chat log: JSON Lines, JSON or Parquet; plain, .gz or .zst.")],
    out: Annotated[Path, typer.Option(help="Parquet file of conversations to write.")],
    format: Annotated[str, typer.Option(help="Name of the format, or auto.")] = "auto",
    limit: Annotated[int | None, typer.Option(min=1, help="Rows to read at most.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Import a chat log: OpenAI messages, ShareGPT, OpenAssistant trees, WildChat, LMSYS-Chat-1M."""
    from agora.curate.importers import import_file

    report = import_file(file, out, format, limit=limit)
    if json:
        from json import dumps

        typer.echo(dumps(report.as_json(), ensure_ascii=False))
        return
    typer.echo(f"{report.format}: {report.n_imported} of {report.n_read} rows imported, {report.n_messages} messages")
    for reason, n in report.reasons.items():
        typer.echo(f"  rejected {n}: {reason}")
    if report.rejects_path:
        typer.echo(f"rejected rows: {report.rejects_path}")
    typer.echo(f"licence: {report.licence}. {report.licence_note}")
    typer.echo(f"written: {report.out}; use it: agora loop --conversations {report.out}")
