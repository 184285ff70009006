"""New stores for tests. The migrations run once in a process for each kind of database; what they made is copied."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import uuid
from functools import cache
from pathlib import Path

from agora.store import Store
from agora.store.database import open_database
from tests.postgres import fresh_database

_TEMPLATE = "migrated"


def store_in(folder: Path, db: str = "store.db", keys: str = "keys.json") -> Store:
    """The open store of a folder; where there is none, a new one, as ``Store.open`` would make it."""
    return Store.open(migrated_file(folder / db), keys=folder / keys)


def migrated_file(path: Path) -> str:
    """The URL of a database file, made if new: migrated and empty."""
    if not path.exists():
        shutil.copyfile(_migrated_file(), path)
    return str(path)


def migrated_database(server: str) -> str:
    """The URL of a new database of a PostgreSQL server: migrated and empty."""
    return fresh_database(server, f"t{uuid.uuid4().hex}", template=_migrated_database(server))


@cache
def _migrated_file() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="agora-store-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    open_database(str(folder / "store.db")).dispose()
    (file,) = folder.iterdir()  # all of it is in the file itself, nothing in a journal beside it
    return file


@cache
def _migrated_database(server: str) -> str:
    open_database(fresh_database(server, _TEMPLATE)).dispose()
    return _TEMPLATE
