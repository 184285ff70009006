"""What the commands of this room share: options, an open store, and how a result is shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from agora.store import Store

Db = Annotated[str, typer.Option("--db", help="Database: a file, or postgresql://USER@HOST/NAME.")]
KeyFile = Annotated[Path | None, typer.Option("--keys", help="File of secret keys; default: beside the database.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


@contextmanager
def opened(db: str, keys: Path | None, *, make: bool = False) -> Iterator[Store]:
    """The store of a database, closed at the end of the block; it must be there, unless ``make`` lets it be made."""
    from agora.store import Store, keys_beside

    store = Store.open(db, keys=keys or keys_beside(db), make=make)
    try:
        yield store
    finally:
        store.close()


def show(found: dict[str, Any], json: bool) -> None:
    """Print a result: one JSON object for programs, a line a name for people."""
    from agora.core.json_text import dumps

    if json:
        typer.echo(dumps(found).decode())
        return
    for name, value in found.items():
        shown = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        typer.echo(f"{name.replace('_', ' ')}: {shown}")
