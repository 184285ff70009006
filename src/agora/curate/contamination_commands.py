"""``agora curate decontaminate``: parse, call one function, print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agora.curate.curate_commands import File, FormatName, Json, On, Out, Workers, app, print_report
from agora.curate.neighbor_commands import Work

if TYPE_CHECKING:
    from agora.core.records import JsonMap
    from agora.curate.curation import CurateReport


@app.command("decontaminate")
def decontaminate(
    file: File,
    out: Out,
    against: Annotated[list[Path], typer.Option(metavar="TASKS", help="File or folder of a test; may be repeated.")],
    judge: Annotated[
        str | None, typer.Option(metavar="URI", help="Model that says if two texts are one problem.")
    ] = None,
    words: Annotated[int, typer.Option(help="Length of a run of words: 13, 10 or 8.")] = 13,
    part: Annotated[str, typer.Option(help="What is compared: instruction, answer or both.")] = "instruction",
    top: Annotated[int, typer.Option(min=0, help="Rows retrieved for each test item; 0: none.")] = 5,
    retrieve: Annotated[str, typer.Option(help="chars, words, minilm, st:NAME or an engine's URI.")] = "chars",
    kind: Annotated[str, typer.Option(help="What the judge is asked: knowledge, numbers or code.")] = "knowledge",
    drop_undecided: Annotated[
        bool, typer.Option("--drop-undecided", help="Remove rows without a readable verdict too.")
    ] = False,
    work: Work = None,
    format: FormatName = "auto",
    on: On = "local",
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Remove rows that tests ask: copies by shared words, paraphrases by retrieval and a judge."""
    from agora.curate.contamination.decontaminate import DecontaminateSettings, decontaminate_file
    from agora.curate.contamination.verdicts import open_judge
    from agora.curate.write import beside

    settings = DecontaminateSettings(words, part, top, retrieve, kind, drop_undecided)
    folder = work or beside(out, "work")
    with open_judge(judge, kind, folder / "judge.sqlite") as opinion:
        report = decontaminate_file(
            file,
            out,
            against,
            settings,
            judge=opinion,
            judge_name=judge or "",
            format=format,
            work=folder,
            on=on,
            workers=workers,
        )
    print_report(report, json=json)
    if not json:
        _print_layers(report)


def _print_layers(report: CurateReport) -> None:
    facts: JsonMap = report.facts
    for name, test in facts["tests"].items():
        by = ", ".join(f"{layer} {n:,}" for layer, n in test["by"].items())
        typer.echo(
            f"{name}: {test['met']:,} of {test['items']:,} items met ({test['share']:.1%}){': ' if by else ''}{by}"
        )
    typer.echo(f"layers: {', '.join(facts['layers'])}")
    for layer, shares in facts["recall"].items():
        found = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
        typer.echo(f"  of published tests in other words, {layer} finds: {found}")
    if not facts["recall"]:
        typer.echo("  what these settings find of tests in other words was not measured")
    if facts["undecided"]:
        without = "" if facts["judged"] else "; no judge was given (--judge URI)"
        typer.echo(f"undecided: {facts['undecided']:,} pairs of an item and a row{without}")
    typer.echo(f"hits with their lines: {facts['hits']}")
    for warning in facts["warnings"]:
        typer.echo(f"warning: {warning}", err=True)
