"""Where people's words are kept: one database, a log of events that proves its own past, and keys that live elsewhere.

Every room with people in it stands on this package: subjects and their consent (:mod:`agora.store.consent`), the event
log (:mod:`agora.store.events`), limits, receipts and pseudonyms.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

    from sqlalchemy import Connection, Engine

    from agora.store.keys import Keys
    from agora.store.writer import Writer

T = TypeVar("T")

__all__ = ["Store", "keys_beside"]


def keys_beside(url: str) -> Path:
    """The file of keys beside a database file; the environment's ``AGORA_SECRET`` makes it needless.

    Raises:
        UsageError: a server's database has no place beside it.
    """
    from agora.core.errors import UsageError

    if "://" in url and not url.startswith("sqlite:///") and "AGORA_SECRET" not in os.environ:
        raise UsageError("a PostgreSQL database needs a file of keys", hint="add --keys FILE, or set AGORA_SECRET")
    path = Path(url.removeprefix("sqlite:///"))
    return path.with_name(path.name + ".keys.json")


@dataclass(frozen=True, slots=True)
class Store:
    """An open database with its writer and its keys."""

    engine: Engine
    writer: Writer
    keys: Keys

    @classmethod
    def open(cls, url: str, *, keys: Path, make: bool = True) -> Store:
        """Open a database (a file name or ``postgresql://...``) and the file of keys; both are made if new.

        Args:
            url: which database.
            keys: the file of keys.
            make: False for work on what is there already: a mistyped name is then told, and nothing is made.

        Raises:
            MissingError: there is no store, or there are no keys, and none is to be made.
            AgoraError: database or keys cannot be opened; says what to do.
        """
        from agora.store.database import open_database, require_database
        from agora.store.keys import Keys
        from agora.store.writer import Writer

        if not make:
            require_database(url)
        held = Keys.open(keys, make=make)
        engine = open_database(url)
        return cls(engine, Writer(engine), held)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one moment of the database; it never waits for the writer."""
        with self.engine.connect() as connection, connection.begin():
            yield connection

    def submit(self, job: Callable[[Connection], T]) -> Future[T]:
        """Write in the writer's thread; the future is done when the commit is on disk."""
        return self.writer.submit(job)

    def write(self, job: Callable[[Connection], T]) -> T:
        """Write and wait until it is on disk."""
        return self.writer.run(job)

    def close(self) -> None:
        """Finish what is in line and close all connections."""
        self.writer.close()
        self.engine.dispose()
