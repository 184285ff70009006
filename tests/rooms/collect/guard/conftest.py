"""Every test of the guard runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from tests.store.conftest import store, store_url

__all__ = ["store", "store_url"]
