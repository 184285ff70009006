"""Commands of the collection room: parse, call one function, print."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from agora.store import Store

app = typer.Typer(
    help="Collect conversations with consent: their store, import, export, visitors.", no_args_is_help=True
)

Db = Annotated[str, typer.Option("--db", help="Database: a file, or postgresql://USER@HOST/NAME.")]
KeyFile = Annotated[Path | None, typer.Option("--keys", help="File of secret keys; default: beside the database.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


@app.callback()
def collect() -> None:
    """Collect conversations with consent: their store, import, export, visitors."""


@contextmanager
def _opened(db: str, keys: Path | None) -> Iterator[Store]:
    from agora.store import Store, keys_beside

    store = Store.open(db, keys=keys or keys_beside(db))
    try:
        yield store
    finally:
        store.close()


def _show(found: dict[str, Any], json: bool) -> None:
    from agora.core.json_text import dumps

    if json:
        typer.echo(dumps(found).decode())
        return
    for name, value in found.items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        typer.echo(f"{name.replace('_', ' ')}: {shown}")


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
    _show(send_visitors(url, drawn, concurrency=concurrency, seed=seed).as_json(), json)


@app.command("import")
def import_command(
    files: Annotated[list[Path], typer.Argument(help="Files of conversations, in any known format.")],
    db: Db = "agora.db",
    format: Annotated[str, typer.Option("--format", help="Format of the files; auto finds it.")] = "auto",
    rejects: Annotated[Path, typer.Option("--rejects", help="Where refused rows go.")] = Path("rejects.jsonl"),
    keys: KeyFile = None,
    json: Json = False,
) -> None:
    """Put conversations of other sources into the store; doing it twice adds nothing."""
    from agora.core.tables import Rejects
    from agora.curate.importers.read import import_conversations
    from agora.rooms.collect.records import store_conversations

    total: dict[str, int] = {"new": 0, "known": 0, "messages": 0, "rejected": 0}
    with _opened(db, keys) as store, Rejects(rejects) as refused:
        for file in files:
            report = store_conversations(store, import_conversations(file, format=format, rejects=refused))
            for name, count in report.as_json().items():
                total[name] += count
        total["rejected"] = refused.count
    _show({"db": db, **total}, json)


@app.command("export")
def export_command(
    out: Annotated[Path, typer.Option("--out", help="File of conversation records: .jsonl or .parquet.")],
    db: Db = "agora.db",
    everything: Annotated[bool, typer.Option("--all", help="Also of people who declined or withdrew.")] = False,
    keys: KeyFile = None,
    json: Json = False,
) -> None:
    """Write the store's conversations as records for the other rooms. This is no release: nothing is redacted."""
    from agora.core.records import Conversation
    from agora.curate.write import write_records
    from agora.rooms.collect.records import stored_conversations

    with _opened(db, keys) as store:
        count = write_records(stored_conversations(store, only_published=not everything), out, Conversation)
    _show({"conversations": count, "out": str(out)}, json)


@app.command("stats")
def stats_command(db: Db = "agora.db", keys: KeyFile = None, json: Json = False) -> None:
    """Count what is in the store."""
    from agora.rooms.collect.records import store_numbers

    with _opened(db, keys) as store:
        _show(store_numbers(store), json)


@app.command("verify")
def verify_command(db: Db = "agora.db", keys: KeyFile = None, json: Json = False) -> None:
    """Recompute every hash of the event log; exit 1 and name the first event that does not fit."""
    from agora.store.events import verify

    with _opened(db, keys) as store, store.reading() as connection:
        report = verify(connection)
    _show({"events": report.events, "head": report.head}, json)


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

    with _opened(db, keys) as store:
        with store.reading() as connection:
            subject = subject_of_receipt(connection, store.keys, receipt)
        if subject is None:
            raise DataError(
                "no one has this receipt", hint="check its letters; the keys must be those it was made with"
            )
        erased = store.write(lambda c: erase_subject(c, subject.id))
        scrub(store.engine)
    _show({"erased": erased}, json)
