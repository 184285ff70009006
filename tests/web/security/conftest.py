"""One site for all tests of a module: they look for what a request breaks, and leave nothing that others need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agora.store import accounts
from tests.rooms.collect.live import ScriptedModel
from tests.web.security.routes import whole_site


@pytest.fixture(autouse=True, scope="session")
def _cheap_hashes() -> Iterator[None]:
    before, accounts._COSTS = accounts._COSTS, (8, 8, 1)
    yield
    accounts._COSTS = before


@pytest.fixture(scope="module")
def model() -> ScriptedModel:
    return ScriptedModel()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, model: ScriptedModel) -> Iterator[Any]:
    folder: Path = tmp_path_factory.mktemp("site")
    with whole_site(folder, model) as found:
        yield found
