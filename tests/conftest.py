"""Fixtures that every test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.examples import examples
from tests.shared import SHARED

settings.register_profile("agora", max_examples=examples(100))
settings.load_profile("agora")

# Progress bars would mix with the output that tests read.
os.environ.setdefault("AGORA_PROGRESS", "0")
# The engine asks MKL for a fixed code path, which MKL reads at its first product: without this line a process whose
# first test trains would round differently from the processes that it starts.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of real data (``AGORA_SHARED``, default ``../shared``); skips with a reason where it is absent."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"real data not found: {SHARED}/data (set AGORA_SHARED)")
    return SHARED


@pytest.fixture
def still_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits' clock stands still, so that a test which counts tries cannot cross from one window into the next."""
    from agora.store import limits

    at = limits.now_us()
    monkeypatch.setattr(limits, "now_us", lambda: at)
