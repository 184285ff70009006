"""Fixtures that every test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.examples import examples
from tests.postgres import postgres_server
from tests.shared import SHARED

# Nothing is timed: machines are busy, and the first text of a fresh clone makes hypothesis read all of Unicode.
settings.register_profile(
    "agora", max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("agora")

# Progress bars would mix with the output that tests read.
os.environ.setdefault("AGORA_PROGRESS", "0")
# The engine asks MKL for a fixed code path, which MKL reads at its first product: without this line a process whose
# first test trains would round differently from the processes that it starts.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

# The longest files go first, so that none of them is alone at the end while another process has nothing left to do.
LONGEST = ("tests/loop/", "tests/train/", "tests/engines/", "tests/rooms/judge/", "tests/rooms/collect/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the folders of tests; within a folder the order stays."""

    def place(item: pytest.Item) -> int:
        return next((i for i, start in enumerate(LONGEST) if item.nodeid.startswith(start)), len(LONGEST))

    items.sort(key=place)


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of real data (``AGORA_SHARED``, default ``../shared``); skips with a reason where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"real data not found: {SHARED}/data (set AGORA_SHARED)")
    return SHARED


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The URL of a PostgreSQL server, one for all tests of a process; skips with a reason where there is none."""
    with postgres_server() as url:
        yield url


@pytest.fixture
def still_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits' clock stands still, so that a test which counts tries cannot cross from one window into the next."""
    from agora.store import ids, limits

    at = ids.now_us()
    monkeypatch.setattr(limits, "now_us", lambda: at)
