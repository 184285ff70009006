"""Every test of the store runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agora.store import Store
from tests.stores import migrated_database, migrated_file


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that is migrated and empty."""
    if request.param == "sqlite":
        return migrated_file(tmp_path / "store.db")
    return migrated_database(request.getfixturevalue("postgres"))


@pytest.fixture
def store(store_url: str, tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(store_url, keys=tmp_path / "keys.json")
    yield opened
    opened.close()
