"""Records that an earlier stage wrote into the run folder."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from agora.core.tables import read_records

T = TypeVar("T")


def read_stored(path: Path, record_type: type[T]) -> list[T]:
    """All records of a stage's file; none when the stage rightly wrote none, which in a user's file is an error."""
    return list(read_records(path, record_type)) if path.stat().st_size else []
