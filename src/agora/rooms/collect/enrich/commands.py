"""``agora collect enrich``: parse, call one function, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def enrich_command(
    db: Annotated[str, typer.Option("--db", help="Database: a file, or postgresql://USER@HOST/NAME.")] = "agora.db",
    kinds: Annotated[
        str, typer.Option("--kinds", help="What to find out, with commas between; all finds out everything.")
    ] = "all",
    on: Annotated[str, typer.Option("--on", help="Where: local, ray or ray://HOST:PORT.")] = "local",
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes that annotate texts.")] = 1,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Messages a worker takes at once.")] = 256,
    retry_dead: Annotated[bool, typer.Option("--retry-dead", help="Try again what failed five times.")] = False,
    keys: Annotated[
        Path | None, typer.Option("--keys", help="File of secret keys; default: beside the database.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Find out language, personal data, secrets, toxicity, place, repeats, topic, category of messages that lack it."""
    from agora.core.json_text import dumps
    from agora.rooms.collect.enrich.annotations import KINDS, check_kinds
    from agora.rooms.collect.enrich.pipeline import enrich
    from agora.store import Store, keys_beside

    chosen = KINDS if kinds == "all" else tuple(dict.fromkeys(k.strip() for k in kinds.split(",") if k.strip()))
    check_kinds(chosen)
    file = (keys or keys_beside(db)).absolute()
    shared = db if "://" in db else str(Path(db).absolute())
    store = Store.open(db, keys=file, make=False)
    try:
        found = enrich(
            store, chosen, elsewhere=(shared, file), on=on, workers=workers, batch=batch, retry_dead=retry_dead
        )
    finally:
        store.close()
    if json:
        typer.echo(dumps({"kinds": [report.as_json() for report in found]}).decode())
        return
    for one in found:
        if one.unavailable:
            typer.echo(f"{one.kind}: unavailable, {one.unavailable}")
            continue
        line = (
            f"{f'{one.kind} {one.version}'.strip()}: {one.messages} messages annotated, {one.computed} texts looked at"
        )
        left = [f"{one.missing} missing"] * bool(one.missing) + [f"{one.dead} dead ({one.error})"] * bool(one.dead)
        typer.echo("; ".join([line, *left]))
