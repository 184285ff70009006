"""``agora curate dedup``, ``neighbors`` and ``map``: parse, call one function, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agora.curate.curate_commands import File, FormatName, Json, On, Out, Workers, app, print_report

Key = Annotated[str, typer.Option(help="What is compared: first user turn, user (all user turns) or all.")]
EmbedderName = Annotated[str, typer.Option(help="tfidf, minilm, st:NAME-OR-PATH or an engine's URI.")]
Work = Annotated[Path | None, typer.Option(help="Folder for vectors and pairs; default OUT.work.")]


@app.command("dedup")
def dedup(
    file: File,
    out: Out,
    by: Annotated[str, typer.Option(help="Layers: exact, surface, semantic; joined by commas.")] = "exact,surface",
    threshold: Annotated[
        list[str] | None,
        typer.Option(metavar="LAYER=VALUE", help="surface=0.6 (least similarity), semantic=0.05 (squared distance)."),
    ] = None,
    key: Key = "first",
    embedder: EmbedderName = "tfidf",
    pairs_from: Annotated[float, typer.Option(help="Keep pairs on disk from this cosine similarity, 0.5 to 1.")] = 0.9,
    exact_up_to: Annotated[
        int, typer.Option(min=1, help="Compare all pairs up to so many rows; above, a graph finds them.")
    ] = 200_000,
    work: Work = None,
    format: FormatName = "auto",
    on: On = "local",
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Remove exact, surface and semantic duplicates; each removed row is kept with its keeper and distance."""
    from agora.curate.dedup import DedupSettings, dedup_file

    settings = DedupSettings(
        by=tuple(name.strip() for name in by.split(",") if name.strip()),
        key=key,
        embedder=embedder,
        pairs_from=pairs_from,
        exact_up_to=exact_up_to,
        **_thresholds(threshold or []),
    )
    report = dedup_file(file, out, settings, format=format, work=work, on=on, workers=workers)
    print_report(report, json=json, then=f"agora curate decontaminate {out} --against TASKS --out FILE")
    if not json and (near := report.facts.get("neighbors")):
        typer.echo(f"neighbors: {near['method']} by {near['embedder']}{_recall(near)}; pairs: {near['folder']}")


@app.command("neighbors")
def neighbors(
    file: File,
    out: Out,
    threshold: Annotated[float, typer.Option(help="Squared distance below which rows repeat each other.")] = 0.05,
    key: Key = "first",
    embedder: EmbedderName = "tfidf",
    exact_up_to: Annotated[
        int, typer.Option(min=1, help="Compare all pairs up to so many rows; above, a graph finds them.")
    ] = 200_000,
    work: Work = None,
    format: FormatName = "auto",
    on: On = "local",
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Tell of each row how far its nearest neighbor is and how many rows repeat it; removes nothing."""
    from agora.curate.neighbor_marks import NeighborSettings, mark_neighbors_file

    settings = NeighborSettings(threshold, key, embedder, exact_up_to)
    report = mark_neighbors_file(file, out, settings, format=format, work=work, on=on, workers=workers)
    print_report(report, json=json, then=f"agora curate filter {out} --where 'dup.distance > 0.05' --out FILE")
    if not json and (near := report.facts.get("neighbors")):
        typer.echo(f"mean distance {near['mean_distance']:.3f}; {near['method']} by {near['embedder']}{_recall(near)}")


def _thresholds(given: list[str]) -> dict[str, float]:
    from agora.core.errors import UsageError

    found: dict[str, float] = {}
    for text in given:
        name, sign, value = text.partition("=")
        try:
            number = float(value)
        except ValueError:
            sign = ""
        if not sign or name not in ("surface", "semantic"):
            raise UsageError(f"{text!r} is no threshold", hint="write surface=0.6 or semantic=0.05")
        found[name] = number
    return found


def _recall(near: dict[str, object]) -> str:
    recall = near.get("recall")
    if not isinstance(recall, dict):
        return ""
    return f" (finds the nearest of {recall['nearest']:.1%} of {recall['rows']:,} rows drawn to measure it)"
