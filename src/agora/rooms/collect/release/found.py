"""What annotations say of messages, as a release reads them: language, place, toxicity, spans.

A million conversations have twenty million annotations, so this is written for speed: a finding has an attribute only
where there is something to say, and a moderation result is parsed when it is first asked for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import orjson
from sqlalchemy import ColumnElement, Connection, and_, case, func, not_, or_, select

from agora.core.errors import UsageError
from agora.curate.toxicity.rule import detoxify_of, is_any_toxic
from agora.rooms.collect.enrich.annotations import KINDS
from agora.rooms.collect.statistics.told import Verdicts, verdicts
from agora.rooms.collect.tables import ANNOTATIONS, MESSAGES

#: How versions of annotations begin that an operator made on one message; they come beside those of the pipeline.
BY_HAND = "person:"
#: A kind and the version of it that a release uses.
Wanted = frozenset[tuple[str, str]]
Result = Mapping[str, Any]
#: How much of moderation is read: that it was asked and what it says of minors; its verdicts; or its scores too.
Moderation = Literal["asked", "verdicts", "scores"]
_BIT = {kind: 1 << i for i, kind in enumerate(KINDS)}
_NOTHING: Result = {}
_NOT_FLAGGED: Result = {"flagged": False}
_MINORS = ('minors":true', 'minors": true')
_FIELD, _ENTRY = "\x1f", "\x1e"  # control characters, of which JSON holds none
_TOX = f"{_ENTRY}tox{_FIELD}"
_MOST_KNOWN = 20_000
_NUMBERS = re.compile(r"(.*:)?v?\d{1,6}(\.\d{1,6})*")


def wanted_versions(connection: Connection, pinned: Mapping[str, str]) -> Wanted:
    """The version to use of each kind, and of ``tox`` of each provider: the pinned one, or the newest.

    Of the versions of one method (what stands before the colon) the newest is the one with the largest numbers: a
    message that an old pipeline looked at late does not take a release back to it. Where versions are no numbers (the
    digest of a model), and between methods, it is the one that was stored last.

    Args:
        connection: to the store.
        pinned: version by kind, or by ``tox:PROVIDER``.

    Raises:
        UsageError: no annotation has a pinned version.
    """
    known: dict[str, dict[str, int]] = {}  # versions of a kind, each with when it was stored last
    a = ANNOTATIONS.c
    found = connection.execute(select(a.kind, a.pipeline_version).distinct()).all()
    kinds = Counter(kind for kind, version in found if not version.startswith(BY_HAND))
    several = [kind for kind, n in kinds.items() if n > 1]  # asking for times takes five times as long
    times = select(a.kind, a.pipeline_version, func.max(a.created_us)).where(a.kind.in_(several))
    by_time = times.group_by(a.kind, a.pipeline_version)
    last = {(kind, version): at_us for kind, version, at_us in connection.execute(by_time)} if several else {}
    for kind, version in found:
        if not version.startswith(BY_HAND):
            name = f"tox:{version.partition(':')[0]}" if kind == "tox" else kind
            known.setdefault(name, {})[version] = last.get((kind, version), 0)
    chosen = {name: newest_version(versions) for name, versions in known.items()}
    for name, version in pinned.items():
        if version not in known.get(name, ()):
            have = ", ".join(sorted(known.get(name, ()))) or "none"
            raise UsageError(f"no annotation of {name} has version {version!r}", hint=f"there are: {have}")
        chosen[name] = version
    return frozenset((name.partition(":")[0], version) for name, version in chosen.items())


def newest_version(stored: Mapping[str, int]) -> str:
    """The newest of some versions, each with when it was stored last."""
    last = max(stored, key=lambda version: (stored[version], version))
    of_method = [version for version in stored if _method(version) == _method(last)]
    if all(_NUMBERS.fullmatch(version) for version in of_method):
        return max(of_method, key=lambda version: [int(n) for n in re.findall(r"\d+", version.rpartition(":")[2])])
    return last


def _method(version: str) -> str:
    return version.rpartition(":")[0]


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
    telling: bool = False  # some moderation result says more than that its provider did not flag the message
    _tox: Mapping[str, Result | str] = _NOTHING
    _verdicts: tuple[float, Verdicts] | None = None

    def add(self, kind: str, version: str, result_json: str, wanted: Wanted) -> None:
        """Take in an annotation."""
        if kind == "tox":
            if _MINORS[0] in result_json or _MINORS[1] in result_json:
                self.minors = self.minors or is_of_minors(orjson.loads(result_json))
            if (kind, version) in wanted:
                provider = _provider(version)
                self.kinds |= _BIT[kind]
                self.telling = self.telling or provider == "openai" or not _plainly_not(result_json)
                self._tox = {**self._tox, provider: result_json}
        else:
            self._take(*_read(kind, version, result_json, wanted))

    def _take(self, bit: int, name: str, value: Any) -> None:
        """Take in what was read of an annotation: which kind is known by it, and what it says."""
        self.kinds |= bit
        if name == "by_hand":
            self.by_hand = (*self.by_hand, *value)
        elif name:
            setattr(self, name, value)

    def bring(self, kind: str, result: Result, provider: str = "") -> None:
        """Take in what an import knows, unless there is an annotation of our own."""
        if kind == "tox":
            if provider not in self._tox:
                self._tox, self.telling = {**self._tox, provider: result}, True
                self.minors = self.minors or is_of_minors(result)
        elif not self.kinds & _BIT[kind]:
            setattr(self, kind, result)
        self.kinds |= _BIT[kind]

    @property
    def tox(self) -> dict[str, Result]:
        """Moderation results by provider."""
        return {name: orjson.loads(r) if isinstance(r, str) else r for name, r in self._tox.items()}

    def verdicts(self, threshold: float) -> Verdicts:
        """What the classifiers say, as statistics count it; a score of Detoxify's above the threshold is toxic."""
        if self._verdicts is None or self._verdicts[0] != threshold:
            told = self.tox if self.telling else dict.fromkeys(self._tox, _NOT_FLAGGED)
            self._verdicts = threshold, verdicts(told, threshold)
        return self._verdicts[1]

    @property
    def openai(self) -> Result | None:
        """What OpenAI's moderation said, if it was asked."""
        result = self._tox.get("openai")
        return orjson.loads(result) if isinstance(result, str) else result

    @property
    def detoxify(self) -> Result | None:
        """Detoxify's seven scores, if it was asked."""
        if self.telling:
            for result in self.tox.values():
                if scores := detoxify_of(result):
                    return scores
        return None

    def is_toxic(self, threshold: float) -> bool:
        """Whether moderation flagged the message, or Detoxify scored it above the threshold."""
        return self.telling and bool(is_any_toxic(self.tox.values(), threshold))

    @property
    def spans(self) -> list[Result]:
        """All that is to be replaced; a span that two name is there once."""
        if not (self.pii or self.secret or self.by_hand):
            return []
        return list({(s["start"], s["end"], s["type"]): s for s in (*self.pii, *self.secret, *self.by_hand)}.values())


NOTHING = Findings()


def annotations_column(moderation: Moderation, without: Sequence[str]) -> ColumnElement[str | None]:
    """The annotations of a message as one text, for a query over ``messages``; :class:`Reader` takes it apart.

    A row a message is half the work of a row an annotation, for the database and for its reader.

    Args:
        moderation: ``asked`` leaves out what it said, but for what it says of minors.
        without: kinds that are not needed; what differs from message to message costs most (``topic``).
    """
    a = ANNOTATIONS.c
    result: ColumnElement[str] = a.result_json
    if moderation == "asked":
        of_minors = or_(*(a.result_json.like(f"%{sign}%") for sign in _MINORS))
        result = case((and_(a.kind == "tox", not_(of_minors)), ""), else_=a.result_json)
    entry = a.kind + _FIELD + a.pipeline_version + _FIELD + result
    return (
        select(func.aggregate_strings(entry, _ENTRY))
        .where(a.message_id == MESSAGES.c.message_id, a.kind.not_in(without))
        .correlate(MESSAGES)
        .scalar_subquery()
    )


class Reader:
    """Reads :func:`annotations_column`. Equal texts give the same findings, so nobody may change them.

    Args:
        wanted: the versions that count.
        moderation: how much of it the column holds and is kept.
    """

    def __init__(self, wanted: Wanted, moderation: Moderation) -> None:
        self._wanted, self._moderation = wanted, moderation
        self._known: dict[str | tuple[str, str], Findings] = {}
        self._entries: dict[str, tuple[int, str, Any]] = {}

    def read(self, told: str | None) -> Findings:
        """The findings of one message."""
        if not told:
            return NOTHING
        key = told if self._moderation == "asked" else self._key(told)
        if key is None:
            return self.read_anew(told)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            found = self._known[key] = self.read_anew(told)
        return found

    def _key(self, told: str) -> str | tuple[str, str] | None:
        """What messages with the same findings have in common; None where hardly any two are the same.

        Nearly every result of moderation has scores of its own. One that flags nothing tells of its provider alone.
        """
        rest, tox, tail = told.partition(_TOX)
        if not tox:
            return None if told.startswith(_TOX[1:]) else told
        version, _, result = tail.partition(_FIELD)
        if (
            self._moderation == "scores"
            or not _plainly_not(result)
            or _ENTRY in result
            or _provider(version) == "openai"
        ):
            return None
        return None if _MINORS[0] in result or _MINORS[1] in result else (rest, version)

    def read_anew(self, told: str | None) -> Findings:
        """Findings that nobody else has."""
        found = Findings()
        entries = told.split(_ENTRY) if told else []
        if told and BY_HAND in told:
            entries.sort()  # no database promises an order, and marks of several hands come one after another
        for entry in entries:
            known = self._entries.get(entry)
            if known is None:
                kind, version, result_json = entry.split(_FIELD)
                if kind == "tox":  # hardly ever twice the same
                    found.add(kind, version, result_json, self._wanted)
                    continue
                if len(self._entries) >= _MOST_KNOWN:
                    self._entries.clear()
                known = self._entries[entry] = _read(kind, version, result_json, self._wanted)
            found._take(*known)
        return found


def _read(kind: str, version: str, result_json: str, wanted: Wanted) -> tuple[int, str, Any]:
    """What an annotation other than of toxicity says: the kind's bit, the attribute of findings, its value."""
    if (kind, version) in wanted:
        if kind in ("lang", "geo", "topic"):
            return _BIT[kind], kind, parsed(result_json)
        spans = kind in ("pii", "secret") and len(result_json) > 14  # longer than {"spans": []}
        return (_BIT[kind], kind, orjson.loads(result_json).get("spans", ())) if spans else (_BIT[kind], "", None)
    if kind == "pii" and version.startswith(BY_HAND):
        return 0, "by_hand", orjson.loads(result_json).get("spans", ())
    return 0, "", None


def _plainly_not(result_json: str) -> bool:
    """Whether the text alone tells that a result is not toxic; most of them are not, and reading one takes longer."""
    return '"flagged":false' in result_json and "detoxify" not in result_json and result_json.count('"flagged"') == 1


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
