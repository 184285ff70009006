"""Read what a model was asked to say in JSON, from strict to tolerant, and never guess.

A reply gives a value only when it says one, and says it once: what is unreadable, out of range or contradictory has no
value. With a ``token`` (what our own prompts ask for) the value must stand in one object with ``"verdict_id": token``,
so that a verdict that stands in the judged text and is repeated by the model is never taken for the model's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

Status = str  # ok | no_value | no_verdict_id | out_of_range | contradictory

MAX_CHARS = 200_000  # a reply is a few thousand characters; more is noise that must not cost time
_MAX_OBJECTS = 200
_MAX_REPAIR_CHARS = 10_000
_MAX_REPAIR_BRACES = 50  # the repair takes quadratic time in the depth


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a reply says: a value only with status ``ok``; ``fields`` are the other keys of the object it stood in."""

    status: Status
    value: Any = None
    fields: dict[str, Any] = field(default_factory=dict)


Reader = Callable[[object], Parsed]


class Pairs(list[tuple[str, Any]]):
    """A JSON object with its duplicate keys kept."""


def parse_reply(text: str, key: str, read: Reader, token: str | None = None, *, only_json: bool = False) -> Parsed:
    """Try JSON, then the bare key, then a repaired object; the first stage that says something decides.

    Args:
        text: the reply: an object alone, fenced, or amid prose.
        key: under which the value stands.
        read: makes a value of what stands there, or says why it is none.
        token: what the object must hold as ``verdict_id``; None asks for nothing.
        only_json: take no value from text that is no JSON object.
    """
    if not isinstance(text, str) or not text.strip():
        return Parsed("no_value")
    text = text[-MAX_CHARS:]
    found = _from_objects(objects(text), key, read, token)
    if found is None and not only_json:
        found = _from_text(text, key, read, token)
    if found is None and token is None and not only_json:
        # Not with a token: in a cut-off reply the repair could make a quoted verdict part of the judge's own object.
        found = _from_objects(_repaired(text), key, read, None)
    return found or Parsed("no_value" if token is None or token in text else "no_verdict_id")


def _from_objects(candidates: Iterable[Pairs], key: str, read: Reader, token: str | None) -> Parsed | None:
    """The one verdict that the objects hold; None when none of them has the key (and the token)."""
    holders = [found for obj in candidates if (found := holder(obj, key, token)) is not None]
    readings = [read(value) for obj in holders for name, value in obj if name == key]
    if not readings:
        return None
    return _agree(readings, {name: plain(value) for name, value in holders[-1] if name != "verdict_id"})


def holder(value: object, key: str, token: str | None, depth: int = 0) -> Pairs | None:
    """The outermost object that has the key (and the token)."""
    if depth > 8 or not isinstance(value, list):
        return None
    if isinstance(value, Pairs):
        has_token = token is None or [v for k, v in value if k == "verdict_id"] == [token]
        if has_token and any(name == key for name, _ in value):
            return value
        value = [inner for _, inner in value]
    return next((found for inner in value if (found := holder(inner, key, token, depth + 1)) is not None), None)


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


def objects(text: str) -> Iterator[Pairs]:
    """The JSON objects that stand in a text, fenced or amid prose, outermost only."""
    decoder = json.JSONDecoder(object_pairs_hook=Pairs, strict=False)
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


def plain(value: object) -> Any:
    """A decoded value with objects as dicts."""
    if isinstance(value, Pairs):
        return {name: plain(inner) for name, inner in value}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value


def _repaired(text: str) -> list[Pairs]:
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
    return [Pairs(value.items())] if isinstance(value, dict) else []
