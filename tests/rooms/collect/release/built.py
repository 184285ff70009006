"""Build a release in a test, and read what came of it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from agora.core.config import load_config
from agora.rooms.collect.release.build import Built, build_release
from agora.rooms.collect.settings import ServeSettings
from agora.store import Store
from tests.rooms.collect.release.synthetic import NOW


def build(store: Store, out: Path, *sets: str, k: int = 1, as_of_us: int | None = NOW, **more: Any) -> Built:
    """A release with the default settings but for those named; k is 1 where the ladder is not what a test is about."""
    settings = load_config(ServeSettings, None, [f"release.k={k}", *sets])
    url = store.engine.url.set(drivername=store.engine.url.get_backend_name()).render_as_string(False)
    return build_release(store, url, out, settings, as_of_us=as_of_us, **more)


def table(out: Path) -> pa.Table:
    """All rows of a release."""
    return pa.concat_tables([pq.read_table(file) for file in sorted((out / "data").glob("*.parquet"))])


def rows(out: Path) -> list[dict[str, Any]]:
    """All rows of a release, as Python values."""
    found: list[dict[str, Any]] = table(out).to_pylist(maps_as_pydicts="strict")
    return found


def texts(out: Path) -> str:
    """Everything that was said in a compat release."""
    return "\n".join(turn["content"] for row in rows(out) for turn in row["conversation"])


def hashes(out: Path) -> dict[str, str]:
    """SHA-256 of every file."""
    files = [file for file in out.rglob("*") if file.is_file() and file.name != ".lock"]
    return {str(file.relative_to(out)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
