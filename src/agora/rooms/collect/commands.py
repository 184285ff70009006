"""Commands of the collection room: parse, call one function, print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agora.rooms.collect.enrich.commands import enrich_command
from agora.rooms.collect.explore.commands import search_command
from agora.rooms.collect.linking.commands import import_command
from agora.rooms.collect.release.commands import app as release_app
from agora.rooms.collect.statistics.commands import stats_command
from agora.rooms.collect.terminal import Db, Json, KeyFile, opened, show

if TYPE_CHECKING:
    from agora.store import Store

app = typer.Typer(
    help="Collect conversations with consent: their store, import, export, visitors.", no_args_is_help=True
)

app.add_typer(release_app, name="release")


@app.callback()
def collect() -> None:
    """Collect conversations with consent: their store, import, export, visitors."""


app.command("import")(import_command)
app.command("stats")(stats_command)
app.command("enrich")(enrich_command)
app.command("search")(search_command)


@app.command("visitors")
def visitors_command(
    url: Annotated[str, typer.Option("--url", help="Where `agora serve` listens.")] = "http://127.0.0.1:8080",
    n: Annotated[int, typer.Option("--n", min=1, help="How many visitors come.")] = 20,
    seed: Annotated[int, typer.Option("--seed", help="Decides who they are.")] = 0,
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, help="How many are there at once.")] = 8,
    json: Json = False,
) -> None:
    """Let the microcosm's visitors chat with a running service, through real HTTP and both steps of consent."""
    from agora.microcosm.world import World
    from agora.rooms.collect.visitors import send_visitors

    drawn = list(World().visitors(n, seed))
    show(send_visitors(url, drawn, concurrency=concurrency, seed=seed).as_json(), json)


@app.command("export")
def export_command(
    out: Annotated[Path, typer.Option("--out", help="File of conversation records: .jsonl or .parquet.")],
    db: Db = "agora.db",
    to: Annotated[str, typer.Option("--to", help="agora, wildchat-1m, wildchat-4.8m or lmsys-chat-1m.")] = "agora",
    everything: Annotated[bool, typer.Option("--all", help="Also of people who declined or withdrew.")] = False,
    keys: KeyFile = None,
    json: Json = False,
) -> None:
    """Write the store's conversations as records or in a published layout. This is no release: nothing is redacted."""
    from agora.rooms.collect.records import export_store

    with opened(db, keys) as store:
        show(export_store(store, out, to, only_published=not everything), json)


@app.command("verify")
def verify_command(db: Db = "agora.db", keys: KeyFile = None, json: Json = False) -> None:
    """Recompute every hash of the event log; exit 1 and name the first event that does not fit."""
    from agora.store.events import verify

    with opened(db, keys) as store, store.reading() as connection:
        report = verify(connection)
    show({"events": report.events, "head": report.head}, json)


@app.command("delete")
def delete_command(
    receipt: Annotated[str | None, typer.Option("--receipt", help="The receipt of a person: all of theirs.")] = None,
    conversation: Annotated[list[str] | None, typer.Option("--conversation", help="Id of a conversation.")] = None,
    query: Annotated[str | None, typer.Option("--query", help="Words: every conversation they stand in.")] = None,
    pseudonym: Annotated[str | None, typer.Option("--pseudonym", help="A person's pseudonym in a release.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Erase what --query or --pseudonym found.")] = False,
    db: Db = "agora.db",
    keys: KeyFile = None,
    json: Json = False,
) -> None:
    """Erase what a person wrote, for who hands over their receipt, or conversations that an operator names."""
    from agora.core.errors import UsageError

    given = [way for way in (receipt, conversation, query, pseudonym) if way]
    if len(given) > 1:
        raise UsageError("one of --receipt, --conversation, --query and --pseudonym at a time")
    with opened(db, keys) as store:
        if not given or receipt:
            show({"erased": _erase_by_receipt(store, receipt or typer.prompt("Receipt"))}, json)
        else:
            show(_erase_by_operator(store, conversation or [], query, pseudonym, yes), json)


def _erase_by_receipt(store: Store, receipt: str) -> int:
    from agora.core.errors import DataError
    from agora.rooms.collect.erase import erase_subject, scrub
    from agora.store.consent import subject_of_receipt

    with store.reading() as connection:
        subject = subject_of_receipt(connection, store.keys, receipt)
    if subject is None:
        raise DataError("no one has this receipt", hint="check its letters; the keys must be those it was made with")
    erased = store.write(lambda c: erase_subject(c, subject.id))
    scrub(store.engine)
    return erased


def _erase_by_operator(
    store: Store, ids: list[str], query: str | None, pseudonym: str | None, yes: bool
) -> dict[str, Any]:
    from agora.rooms.collect.removal import delete_conversations, find_pseudonym, find_words

    if not ids:
        with store.reading() as connection:
            ids = find_words(connection, query) if query else find_pseudonym(connection, pseudonym or "")
        if not yes:
            return {"found": len(ids), "conversations": ids, "erased": 0, "to erase them": "add --yes"}
    return {"erased": delete_conversations(store, ids)}


@app.command("expire")
def expire_command(
    db: Db = "agora.db",
    config: Annotated[
        Path | None, typer.Option("--config", help="YAML file of settings, as for `agora serve`.")
    ] = None,
    hours: Annotated[int | None, typer.Option("--hours", min=1, help="Instead of the settings' hours.")] = None,
    keys: KeyFile = None,
    json: Json = False,
) -> None:
    """Erase conversations of people who declined publication, once their time is over; the service does it hourly."""
    from agora.core.config import load_config
    from agora.rooms.collect.removal import expire_unpublished
    from agora.rooms.collect.settings import ServeSettings

    kept = hours or load_config(ServeSettings, config).collect.retention_unpublished_h
    with opened(db, keys) as store:
        show({"erased": expire_unpublished(store, kept), "hours": kept}, json)
