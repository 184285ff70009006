"""``agora collect release``: build, show, retract. Without a verb it builds."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from agora.rooms.collect.terminal import Db, Json, KeyFile, opened, show

if TYPE_CHECKING:
    from agora.rooms.collect.settings import ServeSettings


class BuildByDefault(TyperGroup):
    """``release --db X --out Y`` is ``release build --db X --out Y``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the verb in where none was given."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["build", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=BuildByDefault, help="Publish collected conversations behind nine gates.", no_args_is_help=True)


@app.callback()
def release() -> None:
    """Publish collected conversations behind nine gates; without a verb it builds."""


@app.command("build")
def build_command(
    out: Annotated[Path, typer.Option("--out", help="Folder of the release.")],
    db: Db = "agora.db",
    name: Annotated[str | None, typer.Option("--name", help="Name of the release; default: the folder's.")] = None,
    profile: Annotated[
        str | None, typer.Option("--profile", help="compat-1m, compat-4.8m, native, messages or sharegpt.")
    ] = None,
    k: Annotated[int | None, typer.Option("--k", min=1, help="People who must share what a row tells of one.")] = None,
    since: Annotated[str | None, typer.Option("--since", metavar="DATE", help="First day of last messages.")] = None,
    until: Annotated[str | None, typer.Option("--until", metavar="DATE", help="The day after the last one.")] = None,
    source: Annotated[list[str] | None, typer.Option("--source", help="Take in this imported source too.")] = None,
    exclude: Annotated[Path | None, typer.Option("--exclude", help="File of conversation ids to leave out.")] = None,
    redact: Annotated[bool, typer.Option("--redact/--no-redact", help="Replace personal data.")] = True,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Processes.")] = 1,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="TIME", help="Count the quarantine back from here.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="YAML file of settings, as for `agora serve`.")
    ] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting by name.")] = None,
    keys: KeyFile = None,
    json: Json = False,
) -> None:
    """Build and publish a release; exit 3 where a gate fails, and nothing is published."""
    from agora.rooms.collect.release.build import build_release

    chosen = list(sets or [])
    for key, value in (("profile", profile), ("k", k), ("selection.since", since), ("selection.until", until)):
        if value is not None:
            chosen.append(f"release.{key}={value}")
    settings = _settings(config, chosen, source or [], _ids(exclude), redact)
    moment = _micros(as_of) if as_of else None
    with opened(db, keys) as store:
        built = build_release(store, db, out, settings, name=name, workers=workers, as_of_us=moment)
    show(dict(built.numbers), json)


@app.command("show")
def show_command(
    name: Annotated[str | None, typer.Argument(help="Name of a release; all of them by default.")] = None,
    db: Db = "agora.db",
    keys: KeyFile = None,
    json: Json = False,
) -> None:
    """List releases, or tell what the gates of one found."""
    from agora.core.errors import MissingError
    from agora.rooms.collect.release.publish import all_releases

    with opened(db, keys) as store, store.reading() as connection:
        found = all_releases(connection)
    if name is None:
        rows = {r.name: {"state": r.state, "profile": r.profile, "conversations": r.conversations or 0} for r in found}
        show(rows or {"releases": 0}, json)
        return
    one = next((r for r in found if r.name == name), None)
    if one is None:
        known = ", ".join(r.name for r in found) or "none"
        raise MissingError(f"there is no release called {name!r}", hint=f"there are: {known}")
    if json:
        show({"name": one.name, "state": one.state, "profile": one.profile, **one.report}, json)
        return
    show({"name": one.name, "state": one.state, "conversations": one.conversations or 0}, json)
    for gate in one.report.get("gates", []):
        why = ", ".join(f"{reason.replace('_', ' ')} {part['count']:,}" for reason, part in gate["reasons"].items())
        typer.echo(
            f"{gate['number']}. {gate['name']}: {gate['status']}, {gate['dropped']:,} left "
            f"out{f' ({why})' if why else ''}"
        )


@app.command("retract")
def retract_command(
    name: Annotated[str, typer.Argument(help="Name of a published release.")],
    folder: Annotated[Path, typer.Option("--from", help="Folder with the files that were published.")],
    out: Annotated[Path, typer.Option("--out", help="Folder of the version without the removed rows.")],
    db: Db = "agora.db",
    keys: KeyFile = None,
    json: Json = False,
) -> None:
    """Write a published release again, without the rows that people erased or withdrew since."""
    from agora.rooms.collect.release.retract import retract_release

    with opened(db, keys) as store:
        done = retract_release(store, name, folder, out)
    show(done, json)


def _settings(config: Path | None, sets: list[str], sources: list[str], ids: list[str], redact: bool) -> ServeSettings:
    from agora.core.config import load_config
    from agora.rooms.collect.settings import ServeSettings

    settings = load_config(ServeSettings, config, sets)
    selection = settings.release.selection
    more = {"sources": (*selection.sources, *sources), "exclude": (*selection.exclude, *ids)}
    redaction = settings.release.redaction
    changed = settings.release.model_copy(
        update={
            "selection": selection.model_copy(update=more),
            "redaction": redaction if redact else redaction.model_copy(update={"on": False}),
        }
    )
    return settings.model_copy(update={"release": changed})


def _ids(file: Path | None) -> list[str]:
    if file is None:
        return []
    from agora.core.files import require_file

    require_file(file)
    return file.read_text().split()


def _micros(text: str) -> int:
    from agora.core.errors import UsageError

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"not a time: {text!r}", hint="use 2026-11-29 or 2026-11-29T12:00:00+00:00") from None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000_000)
