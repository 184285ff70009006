"""An empty store; and visitors of a test, who close their connections when it ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agora.store import Store
from tests.rooms.collect.live import Person
from tests.stores import store_in


@pytest.fixture(autouse=True)
def _visitors_leave() -> Iterator[None]:
    yield
    for person in Person.all:
        person.http.close()
    Person.all.clear()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store in a file."""
    opened = store_in(tmp_path)
    yield opened
    opened.close()
