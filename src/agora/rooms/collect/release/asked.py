"""What a build was asked for: all that decides which conversations come in and how they look."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path

from sqlalchemy import Engine

from agora.rooms.collect.release.found import Wanted
from agora.rooms.collect.release.pseudonyms import ReleaseKey
from agora.rooms.collect.release.settings import ReleaseSettings

DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Asked:
    """All that decides what the files hold. Sent to every process that helps."""

    name: str
    url: str
    folder: Path
    key: ReleaseKey
    settings: ReleaseSettings
    license: str
    quarantine_us: int
    as_of_us: int
    wanted: Wanted

    @property
    def linear(self) -> bool:
        """Whether a row holds one thread and not a tree."""
        return self.settings.profile != "native"

    @property
    def strict(self) -> bool:
        """Whether a row must go user, assistant, user, ..."""
        return self.settings.profile.startswith("compat")


@cache
def engine_of(url: str) -> Engine:
    """One engine a process."""
    from agora.store.database import open_database

    return open_database(url)


def name_key(name: str) -> bytes:
    """What a name is counted by: 16 bytes that are equal for equal names but for case and spaces."""
    return blake2b(" ".join(name.lower().split()).encode(), digest_size=16).digest()
