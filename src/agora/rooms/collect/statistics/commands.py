"""``agora collect stats``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from agora.rooms.collect.terminal import Db, Json, KeyFile, opened, show


def stats_command(
    file: Annotated[Path | None, typer.Argument(help="A file of conversations; without it the database.")] = None,
    db: Db = "agora.db",
    out: Annotated[Path | None, typer.Option("--out", help="HTML page to write.")] = None,
    beside: Annotated[
        Path | None, typer.Option("--beside", help="Statistics of this layout to show beside ours on the page.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="Conversations: how many first prompts are in them too?")
    ] = None,
    tokenizer: Annotated[str, typer.Option(help="Folder or hf:NAME: count its tokens as well.")] = "",
    threshold: Annotated[float, typer.Option(min=0, max=1, help="A Detoxify score above it is toxic.")] = 0.1,
    languages_from: Annotated[int, typer.Option(min=0, help="A language counts above this many prompts.")] = 100,
    long_chars: Annotated[int, typer.Option(min=1, help="Length from which repeated prompts are looked for.")] = 500,
    format: Annotated[str, typer.Option("--format", help="Format of the file; auto finds it.")] = "auto",
    seed: Annotated[int, typer.Option("--seed", help="Of the sample of first prompts.")] = 0,
    keys: KeyFile = None,
    json: Json = False,
) -> None:
    """The tables of the WildChat paper for a store or a file: sizes, languages, models, countries, toxicity."""
    from agora.core.tables import Rejects
    from agora.rooms.collect.records import store_numbers
    from agora.rooms.collect.statistics.told import told_by_file, told_by_store

    choices = _choices(file, db, tokenizer, threshold, languages_from, long_chars, seed)
    if file is not None:
        rejects = Rejects()
        told = told_by_file(file, format=format, rejects=rejects, threshold=threshold)
        found = _tables(told, choices, against)
        found["unreadable_rows"] = rejects.count
    else:
        with opened(db, keys) as store:
            found = _tables(told_by_store(store, threshold=threshold), choices, against)
            found["store"] = store_numbers(store)
    if out is not None:
        from agora.core.jsonl import read_json
        from agora.rooms.collect.statistics.page import statistics_report

        other: Any = read_json(beside) if beside else None
        command = shlex.join(["agora", *sys.argv[1:]])
        statistics_report(found, beside=other, command=command).write(out)
    if json:
        show(found, json=True)
        return
    _print(found)
    if out is not None:
        typer.echo(f"written: {out}; open it in a browser")


def _choices(
    file: Path | None, db: str, tokenizer: str, threshold: float, least: int, long_chars: int, seed: int
) -> Any:
    from agora.rooms.collect.statistics.tally import Choices

    tokens = None
    if tokenizer:
        from agora.engines._load import load_tokenizer

        tool = load_tokenizer(tokenizer.removeprefix("hf:"))

        def tokens(text: str) -> int:
            return len(tool.encode(text, add_special_tokens=False))

    name = file.name if file else db.rsplit("/", 1)[-1]
    return Choices(name, tokens, tokenizer, threshold, least, long_chars, seed=seed)


def _tables(told: Any, choices: Any, against: Path | None) -> dict[str, Any]:
    from agora.core.tables import Rejects
    from agora.curate.importers.read import import_conversations
    from agora.rooms.collect.statistics.numbers import numbers
    from agora.rooms.collect.statistics.overlap import overlap
    from agora.rooms.collect.statistics.tally import count

    tally = count(told, choices)
    found = numbers(tally)
    if against is not None:
        firsts = (
            next((m.content for m in conversation.messages if m.role == "user"), "")
            for conversation in import_conversations(against, rejects=Rejects())
        )
        found["overlap"] = {"other": against.name, **overlap(tally.sample.texts, firsts)}
    return found


def _print(found: dict[str, Any]) -> None:
    held, turns, name = found["collection"], found["turns"], found["source"]
    typer.echo(f"conversations: {held['conversations_released']:,}")
    typer.echo(f"people: {_shown(held['unique_ips'])}")
    typer.echo(f"turns: {held['turns_released']:,}")
    for key, value in turns.items():
        typer.echo(f"{key.replace('_', ' ')}: {_shown(value)}")
    for title in [t for t in found if t.startswith("table1_")]:
        row = dict(zip(found[title]["columns"], found[title][name], strict=True))
        unit = title.removeprefix("table1_")
        for part in ("user", "chatbot"):
            mean, sd = row[f"{part}_tokens_mean"], row[f"{part}_tokens_sd"]
            typer.echo(f"{unit} of a {part} turn: {_shown(mean)} ± {_shown(sd)}")
    for key in ("models", "countries", "languages"):
        if found[key]:
            top = ", ".join(f"{value} {share:.1%}" for value, share in list(found[key].items())[:5])
            typer.echo(f"{key}: {top}")
    toxic = found["table6_toxic_turns"]
    for part in ("user", "chatbot"):
        shares = [
            f"{c} {share:.2%}" for c, share in zip(toxic["columns"], toxic[part], strict=True) if share is not None
        ]
        if shares:
            typer.echo(f"toxic {part} turns: {', '.join(shares)}")
    if "overlap" in found:
        typer.echo(f"overlap: {', '.join(f'{k} {_shown(v)}' for k, v in found['overlap'].items())}")
    if "store" in found:
        show({k: v for k, v in found["store"].items() if k in ("erased", "subjects", "replies_by_status")}, json=False)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}"
    return "unknown" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
