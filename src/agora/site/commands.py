"""``agora accounts``: who may sign in to moderate and administer."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from agora.store.accounts import Role

PASSWORD = "AGORA_PASSWORD"
T = TypeVar("T")
app = typer.Typer(help="Accounts of those who moderate and administer the web app.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The account's name.")]
Db = Annotated[str, typer.Option("--db", help="Database: a file, or postgresql://USER@HOST/NAME.")]
KeyFile = Annotated[Path | None, typer.Option("--keys", help="File of secret keys; default: beside the database.")]


@app.command("add")
def add_command(
    name: Name,
    role: Annotated[str, typer.Option("--role", help="moderator or admin.")] = "moderator",
    db: Db = "agora.db",
    keys: KeyFile = None,
) -> None:
    """Make an account. The password is asked for, or taken from AGORA_PASSWORD."""
    from agora.store.accounts import add_account

    wanted = _role(role)
    password = _password()
    _in_store(db, keys, lambda c: add_account(c, name, wanted, password), make=True)
    typer.echo(f"account {name} ({role}) in {db}; sign in at /sign-in of `agora serve --db {db}`")


@app.command("list")
def list_command(
    db: Db = "agora.db",
    keys: KeyFile = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """List all accounts."""
    from dataclasses import asdict

    from agora.core.json_text import dumps
    from agora.store.accounts import list_accounts

    accounts = _in_store(db, keys, list_accounts)
    if json:
        typer.echo(dumps({"accounts": [asdict(account) for account in accounts]}).decode())
        return
    for account in accounts:
        typer.echo("\t".join([account.name, account.role, *(["disabled"] if account.disabled_us else [])]))
    if not accounts:
        typer.echo(f"no accounts in {db}; agora accounts add NAME --role admin makes one")


@app.command("disable")
def disable_command(
    name: Name,
    undo: Annotated[bool, typer.Option("--undo", help="Open it again.")] = False,
    db: Db = "agora.db",
    keys: KeyFile = None,
) -> None:
    """Close an account and end its sessions at once."""
    from agora.store.accounts import set_disabled

    _in_store(db, keys, lambda c: set_disabled(c, name, disabled=not undo))
    typer.echo(f"account {name} is {'open again' if undo else 'closed, its sessions are ended'}")


@app.command("role")
def role_command(
    name: Name,
    role: Annotated[str, typer.Argument(metavar="ROLE", help="moderator or admin.")],
    db: Db = "agora.db",
    keys: KeyFile = None,
) -> None:
    """Change what an account may do, from its next request on; the last admin stays one."""
    from agora.store.accounts import set_role

    wanted = _role(role)
    _in_store(db, keys, lambda c: set_role(c, name, wanted))
    typer.echo(f"account {name} is {wanted} now")


@app.command("password")
def password_command(name: Name, db: Db = "agora.db", keys: KeyFile = None) -> None:
    """Change an account's password and end its sessions. It is asked for, or taken from AGORA_PASSWORD."""
    from agora.store.accounts import set_password

    password = _password()
    _in_store(db, keys, lambda c: set_password(c, name, password))
    typer.echo(f"account {name} has a new password, its sessions are ended")


def _role(name: str) -> Role:
    from agora.core.errors import UsageError
    from agora.store.accounts import Role

    if name not in set(Role):
        raise UsageError(f"there is no role {name!r}", hint=f"roles are {', '.join(Role)}")
    return Role(name)


def _password() -> str:
    """From the environment, or typed twice; never from the command line, which others on the machine can read.

    Raises:
        UsageError: there is neither, or the second typing differs.
    """
    from getpass import getpass

    from agora.core.errors import UsageError

    if given := os.environ.get(PASSWORD):
        return given
    if not sys.stdin.isatty():
        raise UsageError("no terminal to ask for the password", hint=f"set {PASSWORD} in the environment")
    first = getpass("Password: ")
    if getpass("Again: ") != first:
        raise UsageError("the two passwords differ")
    return first


def _in_store(db: str, keys: Path | None, job: Callable[[Connection], T], *, make: bool = False) -> T:
    from agora.store import Store, keys_beside

    store = Store.open(db, keys=keys or keys_beside(db), make=make)
    try:
        return store.write(job)
    finally:
        store.close()
