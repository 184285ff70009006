"""``agora judge mine|review|freeze|checklist|leak``: parse, call one function, print."""

from __future__ import annotations

import json as json_text
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from agora.rooms.judge.mine import Mined

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


def mine(
    conversations: Annotated[
        Path, typer.Option(help="Chat log: OpenAI messages, ShareGPT, OpenAssistant, WildChat, LMSYS; also Parquet.")
    ],
    out: Annotated[Path, typer.Option(help="Run folder; the same folder resumes.")],
    format: Annotated[str, typer.Option(help="Format of --conversations, or auto.")] = "auto",
    rater: Annotated[
        list[str] | None,
        typer.Option("--rater", "--model", help="Chat model that rates difficulty and category; may be repeated."),
    ] = None,
    embedder: Annotated[str | None, typer.Option(help="Engine that embeds: drops requests close in meaning.")] = None,
    benchmark: Annotated[str, typer.Option(help="Name of the benchmark.")] = "mined",
    benchmark_version: Annotated[str, typer.Option(help="Its version.")] = "1",
    config: Annotated[Path | None, typer.Option(help="YAML file of settings.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="One setting, such as max_tasks=500.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all draws.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that read; default one a CPU.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests in flight to a served rater.")] = 32,
    json: Json = False,
) -> None:
    """Cut benchmark tasks from conversations: rules, duplicates, difficulty, mix; every dropped row keeps a reason."""
    from agora.core.config import load_config
    from agora.core.runs import RunDir
    from agora.engines import find_engine, open_engine
    from agora.rooms.judge.mine import mine_tasks
    from agora.rooms.judge.mining.settings import MineSettings

    overrides = [*(set_ or []), *([f"seed={seed}"] if seed is not None else [])]
    settings = load_config(MineSettings, config, overrides)
    raters = rater or []
    for uri in [*raters, *([embedder] if embedder else [])]:
        find_engine(uri)  # before a folder is made
    asked: dict[str, Any] = {"mine": settings.model_dump(mode="json"), "format": format, "raters": raters}
    asked |= {"embedder": embedder, "benchmark": benchmark, "version": benchmark_version}
    with RunDir.open(
        out,
        command=f"agora judge mine --conversations {conversations}",
        config=asked,
        seed=settings.seed,
        inputs={"conversations": conversations},
    ) as run:
        cache = None if run.done("choose") else run.file("cache/rater.sqlite")
        opened = [open_engine(uri, cache=cache, concurrency=concurrency) for uri in raters]
        embeds = open_engine(embedder, cache=cache) if embedder else None
        try:
            mined = mine_tasks(
                conversations,
                run,
                settings,
                format=format,
                raters=opened,
                embed=embeds.embed if embeds else None,
                benchmark=benchmark,
                version=benchmark_version,
                workers=workers,
            )
        finally:
            for engine in [*opened, *([embeds] if embeds else [])]:
                engine.close()
    _print_mined(mined, json)


def _print_mined(mined: Mined, json: bool) -> None:
    if json:
        typer.echo(json_text.dumps(mined.to_json()))
        return
    for step in mined.funnel.steps:
        typer.echo(f"{step.n_out:>9,}  {step.label}")
        for reason, n in step.reasons.items():
            typer.echo(f"{'':>11}- {n:,} {reason}")
    for cell in mined.mix:
        name = cell["name"] or "(not rated)"
        typer.echo(f"{cell['chosen']:>9,}  {name}: wanted {cell['share']:.1%}, {cell['available']:,} there")
    for note in mined.notes:
        typer.echo(f"note: {note}")
    typer.echo(f"tasks: {mined.tasks} ({mined.num_tasks:,}, of which {mined.num_private:,} private)")
    typer.echo(f"dropped rows, each with its reason: {mined.dropped}")
