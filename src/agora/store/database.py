"""Opening the database: SQLite in a file by default, PostgreSQL by URL, one chain of migrations for both.

SQLite runs in WAL mode with ``synchronous=FULL``: what was acknowledged survives a power cut, and readers never wait.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError

from agora.core.errors import MissingError, UsageError
from agora.core.files import make_folder
from agora.store.events import take_turns

BUSY_MS = 15_000
_WRITE = "agora_write"
_VERSIONS = "alembic_version"
_MAKES = "check --db; `agora serve` and `agora collect import` make a new one"


def open_database(url: str) -> Engine:
    """An engine for ``sqlite:///FILE``, a plain file name, or ``postgresql://...``; tables are brought up to date.

    Raises:
        UsageError: the URL is of another kind, or of a newer version of this program.
        MissingError: the PostgreSQL driver is not installed, or the server cannot be reached.
    """
    parsed = _parse(url)
    engine = _sqlite(parsed) if parsed.get_backend_name() == "sqlite" else _postgres(parsed)
    try:
        if not _is_current(engine):
            migrate(engine)
    except BaseException as err:
        engine.dispose()
        if type(getattr(err, "orig", None)) is sqlite3.DatabaseError:  # the file is something else
            raise UsageError(f"this is no store: {_first_line(err)}", where=parsed.database, hint=_MAKES) from err
        if not isinstance(err, OperationalError):
            raise
        raise MissingError(
            f"the database cannot be opened: {_first_line(err)}",
            where=parsed.render_as_string(hide_password=True),
            hint="check that the server runs and that the file may be written",
        ) from err
    return engine


def require_database(url: str) -> None:
    """See that a store is there, without touching what is.

    Raises:
        UsageError: the URL is of another kind, or what is there is no store.
        MissingError: there is nothing, or the server cannot be reached.
    """
    parsed = _parse(url)
    where = parsed.render_as_string(hide_password=True)
    if parsed.get_backend_name() == "sqlite":
        where = parsed.database or ":memory:"
        if not Path(where).is_file():
            raise MissingError("there is no such store", where=where, hint=_MAKES)
        engine = create_engine(f"sqlite:///file:{quote(str(Path(where).absolute()))}?mode=ro&uri=true")
    else:
        engine = _postgres(parsed)
    try:
        known = inspect(engine).has_table(_VERSIONS)
    except OperationalError as err:
        raise MissingError(
            f"the database cannot be opened: {_first_line(err)}", where=where, hint="check that it may be read"
        ) from err
    except DatabaseError as err:
        raise UsageError(f"this is no store: {_first_line(err)}", where=where, hint=_MAKES) from err
    finally:
        engine.dispose()
    if not known:
        raise UsageError("this database is no store", where=where, hint=_MAKES)


def _parse(url: str) -> URL:
    if "://" not in url:
        url = f"sqlite:///{url}"
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise UsageError(
            f"not a database URL: {url!r}", hint="use a file name or postgresql://USER@HOST/NAME"
        ) from None
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise UsageError(
            f"databases of kind {parsed.get_backend_name()!r} are not supported",
            hint="use a file name or postgresql://USER@HOST/NAME",
        )
    return parsed


def _sqlite(url: URL) -> Engine:
    if url.database and url.database != ":memory:":
        make_folder(Path(url.database).parent)
    engine = create_engine(url, connect_args={"timeout": BUSY_MS / 1000, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def settle(raw: Any, _: Any) -> None:
        raw.isolation_level = None  # this module begins transactions itself, so that a writer says so at once
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_MS}"):
            raw.execute(f"PRAGMA {pragma}")
        raw.execute("PRAGMA secure_delete=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITE, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgres(url: URL) -> Engine:
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise MissingError(
            "PostgreSQL needs the driver psycopg", hint="pip install 'agora[postgres]', or use a file name"
        ) from None
    return create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True)


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes. It is committed at the end of the block and undone by an exception.

    Writers of one database take turns, also those of other processes: SQLite has one writer, and on PostgreSQL a lock
    is held until the end. The event log needs that, and no two writers can wait for each other.
    """
    with engine.connect() as plain, plain.execution_options(**{_WRITE: True}) as connection, connection.begin():
        take_turns(connection)
        yield connection


def _is_current(engine: Engine) -> bool:
    """Whether nothing is to be migrated, found out without Alembic, whose import takes longer than most commands."""
    newest = max(
        file.name[:4] for file in (files("agora.store") / "migrations" / "versions").iterdir() if file.name[0].isdigit()
    )
    with engine.connect() as connection:
        if not inspect(connection).has_table(_VERSIONS):
            return False
        return connection.exec_driver_sql(f"SELECT version_num FROM {_VERSIONS}").scalar() == newest


def migrate(engine: Engine) -> None:
    """Bring the tables up to this version; safe to call by several processes at once.

    Raises:
        UsageError: the database was made by a newer version.
    """
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(files("agora.store") / "migrations"))
    with writing(engine) as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as err:
            known = ScriptDirectory.from_config(config).get_current_head()
            raise UsageError(
                f"the database is of another version than this program (which knows {known}): {err}",
                hint="upgrade agora, or name another database",
            ) from err


def _first_line(err: BaseException) -> str:
    return str(getattr(err, "orig", err)).strip().splitlines()[0]
