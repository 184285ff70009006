"""What a build was asked for: all that decides which conversations come in and how they look."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path

from sqlalchemy import Engine

from agora.curate.personal.published_rules import REPLACED
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
    texts_on_site: bool = False  # the store keeps what rows say, for those who read them there

    @property
    def linear(self) -> bool:
        """Whether a row holds one thread and not a tree."""
        return self.settings.profile != "native"

    @property
    def strict(self) -> bool:
        """Whether a row must go user, assistant, user, ..."""
        return self.settings.profile.startswith("compat")

    @property
    def by_published_rules(self) -> bool:
        """Whether only what the published sets replace is replaced."""
        return self.settings.redaction.rules == "published"

    def subjects_that_make_public(self, kind: str) -> int | None:
        """How many distinct subjects must have written a value of some type of span so that it stays; None: never."""
        if kind == "PERSON":
            return self.settings.redaction.public_person_subjects
        public = self.by_published_rules and kind in REPLACED
        return self.settings.redaction.public_value_subjects if public else None


@cache
def engine_of(url: str) -> Engine:
    """One engine a process, of a database that whoever builds has open."""
    from agora.store.database import open_database

    return open_database(url)


def value_key(kind: str, value: str) -> bytes:
    """What a value of some type of span is counted by: 16 bytes, equal for equal values but for case and spaces."""
    return blake2b(" ".join(value.lower().split()).encode(), digest_size=16, person=kind.encode()[:16]).digest()
