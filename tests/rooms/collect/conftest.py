"""Visitors of a test close their connections when it ends."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rooms.collect.live import Person


@pytest.fixture(autouse=True)
def _visitors_leave() -> Iterator[None]:
    yield
    for person in Person.all:
        person.http.close()
    Person.all.clear()
