"""``agora curate personal`` and ``agora curate personal-recall``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agora.curate.curate_commands import File, FormatName, Json, Out, app, print_report

if TYPE_CHECKING:
    from agora.core.records import JsonMap

Engine = Annotated[
    str,
    typer.Option(help="Who looks: patterns, spacy:MODEL (names too; a model on disk), presidio (needs its package)."),
]


@app.command("personal")
def personal(
    file: File,
    out: Out,
    redact: Annotated[
        str, typer.Option(help="numbered (<EMAIL_1>), compat (WildChat's tokens), none (only mark).")
    ] = "numbered",
    engine: Engine = "patterns",
    threshold: Annotated[float, typer.Option(help="Least score of what is redacted, above 0 and up to 1.")] = 0.4,
    format: FormatName = "auto",
    json: Json = False,
) -> None:
    """Find e-mail, telephone, card and account numbers, keys, told names; put tokens in their place; count them."""
    from typing import cast

    from agora.curate.personal.personal_file import How, personal_file

    report = personal_file(file, out, how=cast(How, redact), engine=engine, threshold=threshold, format=format)
    if not json:
        _print_facts(report.facts)
    print_report(report, json=json)


def _print_facts(facts: JsonMap) -> None:
    typer.echo(f"rows with personal data: {facts['rows_with_personal_data']:,}")
    below = facts["below_threshold"]
    for name in dict.fromkeys([*facts["types"], *below]):
        more = f"  ({below[name]:,} more look like it)" if name in below else ""
        typer.echo(f"  {name:16} {facts['types'].get(name, 0):>8,}{more}")


@app.command("personal-recall")
def personal_recall(file: File, engine: Engine = "patterns", json: Json = False) -> None:
    """Compare what is found with what a labeled file marks (layout of presidio-research)."""
    from agora.curate.personal.engines import find_engine
    from agora.curate.personal.find import NO_HINTS
    from agora.curate.personal.recall import read_labeled, recall_of

    finder = find_engine(engine)
    found = recall_of(read_labeled(file), lambda text: finder(text, NO_HINTS))
    if json:
        from agora.core.json_text import dumps

        typer.echo(dumps([row.as_json() for row in found]).decode())
        return
    typer.echo(f"{'type':18} {'found':>6} {'of':>6} {'exact':>6} {'false':>6}")
    for row in found:
        typer.echo(f"{row.type:18} {row.found:>6} {row.n:>6} {row.exact:>6} {row.false:>6}")
