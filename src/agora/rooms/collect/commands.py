"""Commands of the collection room: parse, call one function, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agora.rooms.collect.explore.commands import search_command
from agora.rooms.collect.linking.commands import import_command
from agora.rooms.collect.terminal import Db, Json, KeyFile, opened, show

app = typer.Typer(
    help="Collect conversations with consent: their store, import, export, visitors.", no_args_is_help=True
)


@app.callback()
def collect() -> None:
    """Collect conversations with consent: their store, import, export, visitors."""


app.command("import")(import_command)
app.command("search")(search_command)


@app.command("visitors")
def visitors_command(
    url: Annotated[str, typer.Option("--url", help="Where `agora serve` listens.")] = "http://127.0.0.1:8080",
    n: Annotated[int, typer.Option("--n", min=1, help="How many visitors come.")] = 20,
    seed: Annotated[int, typer.Option("--seed", help="Decides who they are.")] = 0,
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, help="How many are there at once.")] = 16,
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


@app.command("stats")
def stats_command(db: Db = "agora.db", keys: KeyFile = None, json: Json = False) -> None:
    """Count what is in the store."""
    from agora.rooms.collect.records import store_numbers

    with opened(db, keys) as store:
        show(store_numbers(store), json)


@app.command("verify")
def verify_command(db: Db = "agora.db", keys: KeyFile = None, json: Json = False) -> None:
    """Recompute every hash of the event log; exit 1 and name the first event that does not fit."""
    from agora.store.events import verify

    with opened(db, keys) as store, store.reading() as connection:
        report = verify(connection)
    show({"events": report.events, "head": report.head}, json)


@app.command("delete")
def delete_command(
    receipt: Annotated[str, typer.Option("--receipt", help="The receipt of a person.", prompt=True)],
    db: Db = "agora.db",
    keys: KeyFile = None,
    json: Json = False,
) -> None:
    """Erase everything a person wrote, for someone who hands over their receipt."""
    from agora.core.errors import DataError
    from agora.rooms.collect.erase import erase_subject, scrub
    from agora.store.consent import subject_of_receipt

    with opened(db, keys) as store:
        with store.reading() as connection:
            subject = subject_of_receipt(connection, store.keys, receipt)
        if subject is None:
            raise DataError(
                "no one has this receipt", hint="check its letters; the keys must be those it was made with"
            )
        erased = store.write(lambda c: erase_subject(c, subject.id))
        scrub(store.engine)
    show({"erased": erased}, json)
