"""The one command. It mounts the rooms' commands and turns errors into one line and an exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Annotated

import typer

from agora import __version__
from agora.core.commands import app as runs_app
from agora.core.errors import AgoraError
from agora.curate import providers
from agora.curate.commands import app as data_app
from agora.curate.verbs import app as curate_app
from agora.engines.commands import app as engines_app
from agora.engines.commands import generate
from agora.loop.commands import loop
from agora.loop.compare.commands import compare
from agora.loop.pair_commands import pairs
from agora.microcosm.commands import app as microcosm_app
from agora.rooms.collect.commands import app as collect_app
from agora.rooms.judge.commands import app as judge_app
from agora.rooms.preferences.commands import app as preferences_app
from agora.rooms.preferences.plan_commands import RECIPES, plan
from agora.rooms.preferences.train_commands import app as train_app
from agora.rooms.synthesize.commands import app as synthesize_app
from agora.site.commands import app as accounts_app
from agora.web.commands import serve

if TYPE_CHECKING:
    from agora.train.planning import Work

_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)

app = typer.Typer(
    name="agora",
    help="An open workbench for aligning language models with the people who use them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("loop")(loop)
app.command("generate")(generate)
app.command("serve")(serve)
app.command("plan")(plan)
app.add_typer(runs_app, name="runs")
app.add_typer(engines_app, name="engines")
app.add_typer(data_app, name="data")
app.add_typer(curate_app, name="curate")
app.add_typer(microcosm_app, name="microcosm")
synthesize_app.command("pairs")(pairs)
synthesize_app.command("compare")(compare)
app.add_typer(synthesize_app, name="synthesize")
app.add_typer(collect_app, name="collect")
app.add_typer(accounts_app, name="accounts")
app.add_typer(judge_app, name="judge")
app.add_typer(train_app, name="train")
app.add_typer(preferences_app, name="preferences")


def _data_set_plan(name: str, overrides: Sequence[str], only: Sequence[str]) -> tuple[list[Work], list[str]]:
    found: tuple[list[Work], list[str]] = import_module("agora.rooms.synthesize.plan").works_of_recipe(
        name, overrides, only
    )
    return found


def _introduce() -> None:
    """Tell the packages below of what only the packages above can do."""
    providers.LABELERS["microcosm:world"] = lambda: import_module("agora.microcosm.world_labels").WorldLabeler()
    for name in ("air", "pro"):
        RECIPES[name] = partial(_data_set_plan, name)
    providers.SCORERS.append(lambda uri: import_module("agora.rooms.preferences.scorers").open_scorer(uri))


_introduce()


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_print_version, is_eager=True)] = False,
) -> None:
    """An open workbench for aligning language models with the people who use them."""


def main() -> None:
    """Run the command line: exit 0 done, 1 failed, 2 wrong use, 3 something missing, 130 interrupted."""
    debug = "--debug" in sys.argv
    # `--debug` may stand anywhere, as users type it after the command that failed.
    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    try:
        app(args=arguments, prog_name="agora")
    except AgoraError as error:
        _stop(str(error), error.exit_code, debug)
    except SystemExit as end:
        if end.code == 130:  # typer has taken the interrupt and says nothing
            typer.echo("agora: interrupted; run the same command again to go on", err=True)
        raise
    except BrokenPipeError:
        os._exit(0)  # the reader of our output has left, as `head` does
    except Exception as error:
        line = _about_files(error)
        if line is None:
            raise
        _stop(line, 1, debug)


def _about_files(error: Exception) -> str | None:
    """The line for a folder or disk that a library could not write to; None for any other error."""
    from agora.core.files import is_full_disk

    where = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
    if is_full_disk(error):
        return f"{where}the disk is full; free some space and run the same command again to go on"
    if isinstance(error, OSError) and error.errno in _NOT_WRITABLE:
        return f"{where}{(error.strerror or 'cannot write').lower()}; choose another --out, or check the folder's mode"
    return None


def _stop(line: str, code: int, debug: bool) -> None:
    if debug:
        raise
    typer.echo(f"agora: {line}", err=True)
    sys.exit(code)


if __name__ == "__main__":
    main()
