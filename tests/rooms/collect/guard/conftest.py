"""Every test of the guard runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from tests.store.conftest import postgres, store, store_url

__all__ = ["postgres", "store", "store_url"]
