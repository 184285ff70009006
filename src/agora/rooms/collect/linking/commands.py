"""``agora collect import``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agora.rooms.collect.terminal import Db, Json, KeyFile, opened


def import_command(
    files: Annotated[list[Path], typer.Argument(help="Files of conversations, in any known format.")],
    db: Db = "agora.db",
    format: Annotated[str, typer.Option("--format", help="Format of the files; auto finds it.")] = "auto",
    link: Annotated[
        str, typer.Option("--link", help="Log rows without state: tree keeps all, reference as published.")
    ] = "",
    max_gap: Annotated[
        float | None, typer.Option("--max-gap", min=0, help="With --link tree: hours after which a conversation ends.")
    ] = None,
    max_bad: Annotated[int, typer.Option("--max-bad", min=0, help="Exit 1 if more rows than this are bad.")] = 0,
    rejects: Annotated[
        Path | None, typer.Option("--rejects", help="Where bad rows go; default: FILE.rejects.jsonl, here.")
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes that convert a Parquet file.")] = 1,
    keys: KeyFile = None,
    json: Json = False,
) -> None:
    """Put conversations of other sources into the store; twice adds nothing, a killed import goes on where it was."""
    from agora.rooms.collect.linking.rows import log_kind

    if link or (format == "auto" and files[0].is_file() and log_kind(files[0])):
        bad = _import_log(files, db, link or "tree", max_gap, rejects, keys, json)
    else:
        bad = _import_files(files, db, format, rejects, keys, json, workers)
    if bad > max_bad:
        from agora.core.errors import DataError

        raise DataError(
            f"{bad:,} bad rows, more than the {max_bad:,} of --max-bad; the others are in the store",
            hint="read the reasons in the reject file, or raise --max-bad",
        )


def _import_files(
    files: list[Path], db: str, format: str, rejects: Path | None, keys: Path | None, json: bool, workers: int
) -> int:
    from agora.core.errors import UsageError
    from agora.core.json_text import dumps
    from agora.rooms.collect.importing import import_into_store

    if rejects is not None and len(files) > 1:
        raise UsageError("--rejects names one file, but several are imported", hint="leave it out, or import one file")
    done = []
    with opened(db, keys, make=True) as store:
        for file in files:
            bad_rows = rejects or Path(f"{file.name}.rejects.jsonl")
            done.append(import_into_store(store, file, format=format, rejects=bad_rows, workers=workers))
            if not json:
                typer.echo(done[-1].line())
    if json:
        total = {name: sum(getattr(one, name) for one in done) for name in ("read", "new", "duplicate", "bad")}
        typer.echo(dumps({"db": db, **total, "files": [one.as_json() for one in done]}).decode())
    return sum(one.bad for one in done)


def _import_log(
    files: list[Path], db: str, link: str, max_gap: float | None, rejects: Path | None, keys: Path | None, json: bool
) -> int:
    from agora.core.json_text import dumps
    from agora.rooms.collect.linking.link import import_log
    from agora.rooms.collect.linking.tree import LinkRules

    rules = LinkRules(max_gap_s=None if max_gap is None else max_gap * 3600)
    with opened(db, keys, make=True) as store:
        bad_rows = rejects or Path(f"{files[0].name}.rejects.jsonl")
        done = import_log(store, files, link=link, rules=rules, rejects=bad_rows)
    typer.echo(dumps({"db": db, **done.as_json()}).decode() if json else "\n".join(done.lines()))
    return done.bad
