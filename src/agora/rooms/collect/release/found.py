"""What annotations say of messages, as a release reads them: language, place, toxicity, spans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import Connection, func, select

from agora.core.errors import UsageError
from agora.rooms.collect.tables import ANNOTATIONS

#: How versions of annotations begin that an operator made on one message; they come beside those of the pipeline.
BY_HAND = "person:"
#: A kind and the version of it that a release uses.
Wanted = frozenset[tuple[str, str]]


def wanted_versions(connection: Connection, pinned: Mapping[str, str]) -> Wanted:
    """The version to use of each kind, and of ``tox`` of each provider: the pinned one, or the one stored last.

    Args:
        connection: to the store.
        pinned: version by kind, or by ``tox:PROVIDER``.

    Raises:
        UsageError: no annotation has a pinned version.
    """
    newest: dict[str, tuple[int, str]] = {}
    known: dict[str, set[str]] = {}
    a = ANNOTATIONS.c
    found = select(a.kind, a.pipeline_version, func.max(a.created_us)).group_by(a.kind, a.pipeline_version)
    for kind, version, at_us in connection.execute(found):
        if version.startswith(BY_HAND):
            continue
        name = f"tox:{version.partition(':')[0]}" if kind == "tox" else kind
        newest[name] = max(newest.get(name, (0, "")), (at_us, version))
        known.setdefault(name, set()).add(version)
    for name, version in pinned.items():
        if version not in known.get(name, ()):
            have = ", ".join(sorted(known.get(name, ()))) or "none"
            raise UsageError(f"no annotation of {name} has version {version!r}", hint=f"there are: {have}")
        newest[name] = (0, version)
    return frozenset((name.partition(":")[0], version) for name, (_, version) in newest.items())


class Findings:
    """What is known of one message at the wanted versions."""

    __slots__ = ("by_hand", "geo", "kinds", "lang", "minors", "pii", "secret", "topic", "tox")

    def __init__(self) -> None:
        self.kinds: set[str] = set()
        self.lang: Mapping[str, Any] = {}
        self.geo: Mapping[str, Any] = {}
        self.topic: Mapping[str, Any] = {}
        self.pii: Sequence[Mapping[str, Any]] = ()
        self.secret: Sequence[Mapping[str, Any]] = ()
        self.by_hand: list[Mapping[str, Any]] = []
        self.tox: dict[str, Mapping[str, Any]] = {}
        self.minors = False  # any provider at any version: what was once said is not forgotten by a newer model

    def add(self, kind: str, version: str, result_json: str, wanted: Wanted) -> None:
        """Take in an annotation."""
        result = parsed(result_json)
        if kind == "tox" and is_of_minors(result):
            self.minors = True
        if version.startswith(BY_HAND) and kind == "pii":
            self.by_hand += result.get("spans", ())
        if (kind, version) not in wanted:
            return
        self.kinds.add(kind)
        if kind == "tox":
            self.tox[str(result.get("provider") or version.partition(":")[0])] = result
        elif kind in ("pii", "secret"):
            setattr(self, kind, result.get("spans", ()))
        elif kind in ("lang", "geo", "topic"):
            setattr(self, kind, result)

    def is_toxic(self, threshold: float) -> bool:
        """Whether a provider flagged the message, or Detoxify scored it above the threshold."""
        return any(
            result.get("flagged") or _detoxify(result).get("toxicity", 0.0) > threshold for result in self.tox.values()
        )

    @property
    def spans(self) -> list[Mapping[str, Any]]:
        """All that is to be replaced; a span that two name is there once."""
        if not (self.pii or self.secret or self.by_hand):
            return []
        return list({(s["start"], s["end"], s["type"]): s for s in (*self.pii, *self.secret, *self.by_hand)}.values())

    @property
    def openai(self) -> Mapping[str, Any] | None:
        """The result of OpenAI's moderation, if it was asked."""
        return self.tox.get("openai")

    @property
    def detoxify(self) -> Mapping[str, Any] | None:
        """Detoxify's seven scores, if it was asked."""
        return next((scores for result in self.tox.values() if (scores := _detoxify(result))), None)


NOTHING = Findings()


def _detoxify(result: Mapping[str, Any]) -> Mapping[str, Any]:
    return result.get("detoxify") or (result.get("scores") if result.get("provider") == "detoxify" else None) or {}


@lru_cache(maxsize=4096)
def parsed(result_json: str) -> Mapping[str, Any]:
    """A result; equal ones, such as a common language's, are read once."""
    found: Mapping[str, Any] = orjson.loads(result_json)
    return found


def is_of_minors(result: Mapping[str, Any]) -> bool:
    """Whether a moderation result says sexual content about minors, in either spelling."""
    categories = result.get("categories") or {}
    return bool(categories.get("sexual/minors") or categories.get("sexual_minors"))


def most_frequent(values: Iterable[str | None]) -> str | None:
    """The value that stands most often, the first of equals; None is no value."""
    counts = Counter(value for value in values if value is not None)
    return max(counts, key=lambda value: counts[value]) if counts else None
