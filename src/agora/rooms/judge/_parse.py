"""Read a judge's reply, from strict to tolerant, and never guess.

A reply gives a value only when it says one, and says it once: what is unreadable, out of range or contradictory has no
value. With a ``token`` (what our own prompts ask for) the value must stand in one object with ``"verdict_id": token``,
so that a verdict written by a candidate and repeated by the judge is never taken for the judge's own. Replies to other
people's prompts are read without one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

Status = str  # ok | no_value | no_verdict_id | out_of_range | contradictory

CHOICES = ("A++", "A+", "A=B", "B+", "B++")
_MET = {"yes": 1.0, "partly": 0.5, "no": 0.0}
_MAX_CHARS = 200_000  # a reply is a few thousand characters; more is noise that must not cost time
_MAX_OBJECTS = 200
_MAX_REPAIR_CHARS = 10_000
_MAX_REPAIR_BRACES = 50  # the repair takes quadratic time in the depth
_SCORE = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+)?)\s*(?:(?:/|out of)\s*10(?:\.0+)?)?", re.IGNORECASE)
_LOOSE_CHOICE = re.compile(r"\[\[\s*([AB](?:\+\+?|\s*=\s*[AB]))\s*\]\]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a reply says: a value (float 1..10, or one of the five choices) only with status ``ok``."""

    status: Status
    value: Any = None
    fields: dict[str, Any] = field(default_factory=dict)


Reader = Callable[[object], Parsed]


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with its duplicate keys kept."""


def parse_score(text: str, token: str | None = None) -> Parsed:
    """Read a score from 1 to 10 out of a reply with the key ``score``."""
    return _parse(text, "score", read_score, token)


def parse_choice(text: str, token: str | None = None) -> Parsed:
    """Read one of ``A++ A+ A=B B+ B++`` out of a reply with the key ``choice``."""
    parsed = _parse(text, "choice", read_choice, token)
    if parsed.status == "no_value" and token is None:
        loose = [read_choice(found) for found in _LOOSE_CHOICE.findall(str(text)[-_MAX_CHARS:])]
        if loose:
            return loose[-1]
    return parsed


def parse_checklist(text: str, token: str | None = None, *, num_items: int) -> Parsed:
    """Read which of ``num_items`` questions are met out of a reply with the key ``items``.

    Every question must be settled, and settled once. The value is the share met, in 0..1, with "partly" as a half.
    """
    found = _from_objects(_objects(text[-_MAX_CHARS:]), "items", lambda value: _read_items(value, num_items), token)
    if found is None:
        return Parsed("no_value" if token is None or token in text else "no_verdict_id")
    return found


def _read_items(value: object, num_items: int) -> Parsed:
    entries = _plain(value)
    met: dict[int, str] = {}
    for entry in entries if isinstance(entries, list) else ():
        number, said = (entry.get("item"), entry.get("met")) if isinstance(entry, dict) else (None, None)
        said = "yes" if said is True else "no" if said is False else said
        if isinstance(number, str) and number.strip().isdecimal():
            number = int(number)
        if not isinstance(said, str) or isinstance(number, bool) or not isinstance(number, int):
            return Parsed("no_value")
        said = said.strip().strip("*[]'\".").lower()
        if said not in _MET or number in met or not 1 <= number <= num_items:
            return Parsed("contradictory" if number in met else "no_value")
        met[number] = said
    if len(met) != num_items or not num_items:
        return Parsed("no_value")
    return Parsed("ok", sum(_MET[said] for said in met.values()) / num_items)


def read_score(value: object) -> Parsed:
    """A score from a JSON value: a number, "7.5", "8/10" or "8 out of 10"; nothing else is one."""
    if isinstance(value, str):
        return _read_score_text(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return Parsed("no_value")
    return Parsed("ok", float(value)) if 1 <= value <= 10 else Parsed("out_of_range")


@lru_cache(maxsize=256)
def _read_score_text(text: str) -> Parsed:
    found = _SCORE.fullmatch(text.strip().strip("*[]'\".").strip())
    return read_score(float(found[1])) if found else Parsed("no_value")


def read_choice(value: object) -> Parsed:
    """A choice from a JSON value: one of the five, in any case, bare or in square brackets."""
    if not isinstance(value, str):
        return Parsed("no_value")
    choice = re.sub(r"[\s\[\]\"'*]", "", value).upper()
    return Parsed("ok", choice) if choice in CHOICES else Parsed("no_value")


def _parse(text: str, key: str, read: Reader, token: str | None) -> Parsed:
    """Try JSON, then the bare key, then a repaired object; the first stage that says something decides."""
    if not isinstance(text, str) or not text.strip():
        return Parsed("no_value")
    text = text[-_MAX_CHARS:]
    found = _from_objects(_objects(text), key, read, token) or _from_text(text, key, read, token)
    if found is None and token is None:
        # Not with a token: in a cut-off reply the repair could make a quoted verdict part of the judge's own object.
        found = _from_objects(_repaired(text), key, read, None)
    return found or Parsed("no_value" if token is None or token in text else "no_verdict_id")


def _from_objects(objects: Iterable[_Pairs], key: str, read: Reader, token: str | None) -> Parsed | None:
    """The one verdict that the objects hold; None when none of them has the key (and the token)."""
    holders = [holder for obj in objects if (holder := _holder(obj, key, token)) is not None]
    readings = [read(value) for obj in holders for name, value in obj if name == key]
    if not readings:
        return None
    return _agree(readings, {name: _plain(value) for name, value in holders[-1] if name != "verdict_id"})


def _holder(value: object, key: str, token: str | None, depth: int = 0) -> _Pairs | None:
    """The outermost object that has the key (and the token)."""
    if depth > 8 or not isinstance(value, list):
        return None
    if isinstance(value, _Pairs):
        has_token = token is None or [v for k, v in value if k == "verdict_id"] == [token]
        if has_token and any(name == key for name, _ in value):
            return value
        value = [inner for _, inner in value]
    return next((found for inner in value if (found := _holder(inner, key, token, depth + 1)) is not None), None)


def _from_text(text: str, key: str, read: Reader, token: str | None) -> Parsed | None:
    """The key's value out of text that is no JSON.

    Without a token every mention counts and all must agree. With one, only a value directly before the token is the
    judge's: mentions elsewhere may be quotes of the candidate.
    """
    # every repetition is bounded: a reply may be hostile, and must not cost more than its length
    space = r"\s{0,20}"
    value = r"(\"[^\"\n]{0,40}\"|'[^'\n]{0,40}'|[^,}\n]{0,40})"
    mention = rf"\b{key}[\"']?{space}:{space}{value}"
    if token is not None:
        mention += rf"{space},{space}[\"']?verdict_id[\"']?{space}:{space}[\"']?{re.escape(token)}\b"
    found = re.findall(mention, text, re.IGNORECASE)
    return _agree([read(value.strip().strip("\"'")) for value in found], {}) if found else None


def _agree(readings: list[Parsed], fields: dict[str, Any]) -> Parsed:
    """One value when all readings say the same."""
    first = readings[0]
    if any((r.status, r.value) != (first.status, first.value) for r in readings):
        return Parsed("contradictory", None, fields)
    return Parsed(first.status, first.value, fields)


def _objects(text: str) -> Iterator[_Pairs]:
    """The JSON objects that stand in a text, fenced or amid prose, outermost only."""
    decoder = json.JSONDecoder(object_pairs_hook=_Pairs, strict=False)
    at, tried = text.find("{"), 0
    while at >= 0 and tried < _MAX_OBJECTS:
        tried += 1
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            at = text.find("{", at + 1)
            continue
        yield value
        at = text.find("{", end)


def _plain(value: object) -> Any:
    """A decoded value with objects as dicts."""
    if isinstance(value, _Pairs):
        return {name: _plain(inner) for name, inner in value}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value


def _repaired(text: str) -> list[_Pairs]:
    """The object between the outermost braces, repaired where it is broken; empty when there is none."""
    import json_repair

    start, end = text.find("{"), text.rfind("}")
    whole = text[start : end + 1] if end > start else text[start:]
    if start < 0 or len(whole) > _MAX_REPAIR_CHARS or sum(map(whole.count, "{[")) > _MAX_REPAIR_BRACES:
        return []
    try:
        value = json_repair.loads(whole, skip_json_loads=True)
    except (ValueError, RecursionError, IndexError, TypeError):
        return []
    return [_Pairs(value.items())] if isinstance(value, dict) else []
