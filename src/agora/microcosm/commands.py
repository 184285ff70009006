"""``agora microcosm``: build the models, read their card, look at the world."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="The embedded world whose truth is known, and its two small models.", no_args_is_help=True)


@app.command()
def build(
    out: Annotated[Path | None, typer.Option(help="Folder for base/ and chat/; default: the package's own.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of data order and initial weights.")] = 0,
    scale: Annotated[float, typer.Option(min=0.001, help="Share of the usual training tokens.")] = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the card as one JSON object.")] = False,
) -> None:
    """Train base and chat from the seed, then measure their card. Uses a GPU where there is one."""
    from agora.core.progress import progress
    from agora.core.tables import write_json
    from agora.microcosm.build import BuildConfig, build_models, describe
    from agora.microcosm.card import MODELS, measure_card

    config = BuildConfig(seed=seed).scaled(scale)
    folder = out or MODELS
    with progress(config.total_tokens, "training base and chat", unit="token") as bar:
        seconds = build_models(folder, config, on_progress=lambda name, step: bar.advance(step.tokens))
    card = measure_card(models=folder, build={"config": describe(config), "seconds": seconds})
    write_json(folder / "card.json", card)
    typer.echo(json.dumps(card) if as_json else f"Models and card: {folder}")


@app.command()
def card(
    measure: Annotated[bool, typer.Option(help="Measure again instead of reading the stored card.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what the shipped models can do, with intervals."""
    from agora.microcosm.card import measure_card, read_card

    content = measure_card(build=read_card().get("build")) if measure else read_card()
    if as_json:
        typer.echo(json.dumps(content))
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    world = content["world"]
    console.print(
        f"World: {world['families']} families, {len(world['categories'])} categories in {len(world['groups'])} groups, "
        f"at least {world['distinct_instructions_at_least']:,} instructions."
    )
    table = Table("held-out tasks", "base", "chat", title="Answered correctly (95 % interval)")
    base, chat = (content["models"][name]["held_out"] for name in ("base", "chat"))
    table.add_row("all", _cell(base["overall"]), _cell(chat["overall"]))
    for field in ("difficulty", "group", "family"):
        for name in chat[field]:
            table.add_row(f"{field}: {name}", _cell(base[field].get(name)), _cell(chat[field][name]))
    console.print(table)
    drawn = content["models"]["chat"]["drawn_from_prefix"]
    console.print(
        f"Drawn from chat with its prefix alone (n={drawn['n']}): valid {_cell(drawn['valid'])}, "
        f"distinct {drawn['distinct']:.1%}."
    )
    for name, facts in content["models"].items():
        speed = facts["tokens_per_second_batch_32"]
        console.print(f"{name}: loads in {facts['load_seconds']} s, {speed:,} tokens/s in a batch of 32.")


@app.command()
def sample(
    what: Annotated[str, typer.Argument(help="exercises or documents")] = "exercises",
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 5,
    seed: Annotated[int, typer.Option(help="Seed.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Look at the world: exercises with their answers and checklists, or documents."""
    import random
    from dataclasses import asdict

    from agora.core.errors import UsageError
    from agora.microcosm.world import World

    if what not in ("exercises", "documents"):
        raise UsageError(f"nothing called {what!r} to sample", hint="say exercises or documents")
    world, rng = World(), random.Random(seed)
    drawn = world.exercises(rng, limit) if what == "exercises" else world.documents(rng, limit)
    items = [asdict(item) for item in drawn]
    if as_json:
        typer.echo(json.dumps({what: items}))
        return
    for item in items:
        if what == "documents":
            typer.echo(f"{item['text']}\n")
            continue
        typer.echo(f"[{item['category']}, {item['difficulty']}] {item['instruction']}\n  -> {item['reference']}")
        typer.echo("".join(f"     - {check['question']}\n" for check in item["checklist"]))


def _cell(share: Mapping[str, Any] | None) -> str:
    if not share or share["share"] is None:
        return "-"
    low, high = share["ci"]
    return f"{share['share']:.1%} [{low:.1%}, {high:.1%}]"
