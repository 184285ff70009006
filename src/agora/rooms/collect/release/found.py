"""What annotations say of messages, as a release reads them: language, place, toxicity, spans.

A million conversations have twenty million annotations, so this is written for speed: a finding has an attribute only
where there is something to say, and a moderation result is parsed when it is first asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import Connection, func, select

from agora.core.errors import UsageError
from agora.rooms.collect.enrich.annotations import KINDS
from agora.rooms.collect.tables import ANNOTATIONS

#: How versions of annotations begin that an operator made on one message; they come beside those of the pipeline.
BY_HAND = "person:"
#: A kind and the version of it that a release uses.
Wanted = frozenset[tuple[str, str]]
Result = Mapping[str, Any]
_BIT = {kind: 1 << i for i, kind in enumerate(KINDS)}
_NOTHING: Result = {}
_MINORS = ('minors":true', 'minors": true')


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


def kinds_mask(kinds: Iterable[str]) -> int:
    """Kinds as one number, to be compared with :attr:`Findings.kinds`."""
    return sum(_BIT[kind] for kind in set(kinds))


class Findings:
    """What is known of one message at the wanted versions.

    The defaults belong to the class and are never changed in place.
    """

    kinds: int = 0
    lang: Result = _NOTHING
    geo: Result = _NOTHING
    topic: Result = _NOTHING
    pii: Sequence[Result] = ()
    secret: Sequence[Result] = ()
    by_hand: Sequence[Result] = ()
    minors: bool = False  # any provider at any version: what was once said is not forgotten by a newer model
    _tox: Mapping[str, Result | str] = _NOTHING

    def add(self, kind: str, version: str, result_json: str, wanted: Wanted) -> None:
        """Take in an annotation."""
        if kind == "tox" and (_MINORS[0] in result_json or _MINORS[1] in result_json):
            self.minors = self.minors or is_of_minors(orjson.loads(result_json))
        if (kind, version) in wanted:
            self.kinds |= _BIT[kind]
            if kind == "tox":
                self._tox = {**self._tox, _provider(version): result_json}
            elif kind in ("pii", "secret"):
                if len(result_json) > 14:  # longer than {"spans": []}
                    setattr(self, kind, orjson.loads(result_json).get("spans", ()))
            elif kind in ("lang", "geo", "topic"):
                setattr(self, kind, parsed(result_json))
        elif kind == "pii" and version.startswith(BY_HAND):
            self.by_hand = (*self.by_hand, *orjson.loads(result_json).get("spans", ()))

    def bring(self, kind: str, result: Result, provider: str = "") -> None:
        """Take in what an import knows, unless there is an annotation of our own."""
        if kind == "tox":
            if provider not in self._tox:
                self._tox = {**self._tox, provider: result}
                self.minors = self.minors or is_of_minors(result)
        elif not self.kinds & _BIT[kind]:
            setattr(self, kind, result)
        self.kinds |= _BIT[kind]

    @property
    def tox(self) -> dict[str, Result]:
        """Moderation results by provider."""
        return {name: orjson.loads(r) if isinstance(r, str) else r for name, r in self._tox.items()}

    def is_toxic(self, threshold: float) -> bool:
        """Whether a provider flagged the message, or Detoxify scored it above the threshold."""
        return any_toxic(self.tox, threshold)

    @property
    def spans(self) -> list[Result]:
        """All that is to be replaced; a span that two name is there once."""
        if not (self.pii or self.secret or self.by_hand):
            return []
        return list({(s["start"], s["end"], s["type"]): s for s in (*self.pii, *self.secret, *self.by_hand)}.values())


NOTHING = Findings()


def collect(rows: Iterable[Sequence[Any]], wanted: Wanted) -> dict[str, Findings]:
    """Findings by message, from rows of message, kind, version and result."""
    found: dict[str, Findings] = {}
    for message, kind, version, result_json in rows:
        held = found.get(message)
        if held is None:
            held = found[message] = Findings()
        held.add(kind, version, result_json, wanted)
    return found


def any_toxic(tox: Mapping[str, Result], threshold: float) -> bool:
    """Whether a provider flagged, or Detoxify scored above the threshold."""
    return any(r.get("flagged") or detoxify_of(r).get("toxicity", 0.0) > threshold for r in tox.values())


def detoxify_of(result: Result) -> Result:
    """Detoxify's seven scores of a result, if it has them."""
    return (
        result.get("detoxify") or (result.get("scores") if result.get("provider") == "detoxify" else None) or _NOTHING
    )


@lru_cache(maxsize=65_536)
def parsed(result_json: str) -> Result:
    """A result; equal ones, such as a common language's, are read once."""
    found: Result = orjson.loads(result_json)
    return found


@lru_cache(maxsize=1024)
def _provider(version: str) -> str:
    return version.partition(":")[0]


def is_of_minors(result: Result) -> bool:
    """Whether a moderation result says sexual content about minors, in either spelling."""
    categories = result.get("categories") or _NOTHING
    return bool(categories.get("sexual/minors") or categories.get("sexual_minors"))


def most_frequent(values: Sequence[str | None]) -> str | None:
    """The value that stands most often, the first of equals; None is no value."""
    present = [value for value in values if value is not None]
    if len(set(present)) < 2:
        return present[0] if present else None
    counts = Counter(present)
    return max(counts, key=lambda value: counts[value])
