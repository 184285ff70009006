from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from agora.store import Store
from tests.rooms.collect.release.synthetic import fill
from tests.stores import migrated_database, store_in

DB, KEYS = "agora.db", "agora.db.keys.json"


def _filled(folder: Path, conversations: int, subjects: int) -> Path:
    opened = store_in(folder, DB, KEYS)
    fill(opened, conversations, subjects=subjects, planted=0.05 if conversations > 1000 else 0.3)
    opened.close()
    return folder


def _copied(folder: Path, to: Path) -> Iterator[Store]:
    for file in folder.iterdir():
        shutil.copy2(file, to / file.name)
    opened = Store.open(str(to / DB), keys=to / KEYS)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def large_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of 2,000 conversations of 40 people, something personal planted in one of twenty."""
    return _filled(tmp_path_factory.mktemp("large"), 2000, 40)


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with 120 conversations of 12 people."""
    return _filled(tmp_path_factory.mktemp("small"), 120, 12)


@pytest.fixture
def large(large_folder: Path, tmp_path: Path) -> Iterator[Store]:
    yield from _copied(large_folder, tmp_path)


@pytest.fixture
def store(small_folder: Path, tmp_path: Path) -> Iterator[Store]:
    yield from _copied(small_folder, tmp_path)


@pytest.fixture
def on_postgres(postgres: str, tmp_path: Path) -> Iterator[Store]:
    """120 conversations in PostgreSQL."""
    opened = Store.open(migrated_database(postgres), keys=tmp_path / KEYS)
    fill(opened, 120, subjects=12, planted=0.05)
    yield opened
    opened.close()
