"""What every importer shares: the value of one format, a row's refusal, roles, texts, and the order of turns."""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import orjson

from agora.core.errors import DataError
from agora.core.json_text import clean_text
from agora.core.quick_records import quick
from agora.core.records import Conversation, JsonMap, Message, Provenance, Role, stable_id

_ONLY_JSON = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS
_MAX_DEPTH = 200  # what every JSON reader and writer can take
# What may follow what. Anything else is kept, and the conversation says role_order = false.
_FOLLOWS: dict[str | None, frozenset[str]] = {
    None: frozenset({"system", "user"}),
    "system": frozenset({"user"}),
    "user": frozenset({"assistant"}),
    "assistant": frozenset({"user", "tool"}),
    "tool": frozenset({"tool", "assistant"}),
}


class RowError(DataError):
    """One row cannot be imported.

    Args:
        reason: a short phrase, the same for every row with this fault (it is counted).
        detail: what is wrong in this row.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Origin:
    """The file and the 1-based line (or row) that a conversation comes from.

    ``clean``: the row holds JSON's own values, as :func:`clean_json` would make them.
    """

    path: str
    line: int
    clean: bool = False

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance before it gets its place in the tree."""

    role: Role
    content: str
    meta: JsonMap = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Format:
    """One file format: how to know it, what may be done with its rows, and how to read one.

    ``matches`` gives the reason why a row is of this format, or None. ``convert`` raises :class:`RowError`.
    """

    name: str
    title: str
    shape: str
    licence: str
    note: str
    consent: str
    matches: Callable[[JsonMap], str | None]
    convert: Callable[[JsonMap, Origin], Conversation]


_new_message, _new_conversation = quick(Message), quick(Conversation)


def pick_role(raw: object, spellings: Mapping[str, Role]) -> Role:
    """The role that a spelling stands for.

    Raises:
        RowError: the spelling is unknown; the nearest known one is named.
    """
    if not isinstance(raw, str):
        raise RowError("unknown role", f"{raw!r:.40} is not a name")
    name = raw.strip().lower()
    if name in spellings:
        return spellings[name]
    near = difflib.get_close_matches(name[:40], list(spellings), n=1, cutoff=0.0)
    raise RowError("unknown role", f"{raw[:40]!r}, nearest known {near[0]!r}")


def clean_json(value: Any) -> Any:
    """The value as JSON holds it: times as ISO 8601, no lone surrogates, no NaN or infinity (None).

    A value that is so already is given back itself.

    Raises:
        RowError: nested too deeply to be stored.
    """
    try:
        raw = orjson.dumps(value, option=_ONLY_JSON)
        # a NaN would be written as null
        return value if b"null" not in raw else orjson.loads(raw)
    except TypeError:
        pass
    try:
        return orjson.loads(orjson.dumps(value))
    except TypeError:  # rare: lone surrogates, integers of more than 64 bits, keys that are not text, deep nesting
        return _clean_slowly(value, 0)


def _clean_slowly(value: Any, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise RowError("nested too deep", f"more than {_MAX_DEPTH} levels")
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, Mapping):
        return {clean_text(str(k)): _clean_slowly(v, depth + 1) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean_slowly(v, depth + 1) for v in value]
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, int) else clean_text(str(value))


def iso_time(value: object) -> str | None:
    """A time as UTC ISO 8601, from a datetime, ISO text, or Unix seconds or milliseconds; None for anything else."""
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value.strip())
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = datetime.fromtimestamp(value / 1000 if abs(value) > 1e11 else value, tz=UTC)
        if isinstance(value, datetime):
            # a time without a zone is UTC in every published set
            return (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)).isoformat()
    except (ValueError, OverflowError, OSError):
        return None
    return None


def text_of(value: object, index: int) -> str:
    """The content of message ``index`` (0-based), which must be text.

    Raises:
        RowError: null, or another type than text.
    """
    if value is None:
        raise RowError("null content", f"message {index + 1}")
    if not isinstance(value, str):
        raise RowError("content is not text", f"message {index + 1} is {type(value).__name__}")
    return value


def list_of(data: Mapping[str, Any], key: str) -> list[JsonMap]:
    """The non-empty list of objects under ``key``.

    Raises:
        RowError: missing, not a list, empty, or with an entry that is not an object.
    """
    value = data.get(key)
    if not isinstance(value, (list, tuple)):
        raise RowError("no list of messages", f"{key!r} is {type(value).__name__ if key in data else 'missing'}")
    if not value:
        raise RowError("no messages", f"{key!r} is empty")
    for index, item in enumerate(value):
        if not isinstance(item, dict):
            raise RowError("message is not an object", f"message {index + 1} is {type(item).__name__}")
    return list(value)


def text_or_none(value: object) -> str | None:
    """The value as text when it is non-empty text or a whole number, else None."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    return clean_text(str(value)) or None


def keeps_order(roles: Sequence[str]) -> bool:
    """True for system first, then user and assistant in turn, tool results between a call and its answer."""
    return all(role in _FOLLOWS[before] for before, role in zip([None, *roles], roles, strict=False))


def check_turns(turns: Sequence[Turn]) -> None:
    """Refuse turns that no conversation can keep.

    Raises:
        RowError: no user turn; the first turn after the system's is an answer; a tool result answers no call.
    """
    roles = [t.role for t in turns]
    if "user" not in roles:
        raise RowError("no user turn", f"roles are {', '.join(dict.fromkeys(roles))}")
    first = next(r for r in roles if r != "system")
    if first != "user":
        raise RowError("wrong role order", f"the first turn is {first!r}, expected 'user'")
    for before, role in itertools.pairwise(roles):
        if role == "tool" and before not in ("assistant", "tool"):
            raise RowError("wrong role order", f"a tool result follows {before!r}, expected 'assistant'")


def chain(
    turns: Sequence[Turn],
    provenance: Provenance,
    *,
    meta: JsonMap,
    notes: Sequence[str] = (),
    clean: bool = False,
) -> Conversation:
    """A linear conversation of the turns.

    What is not ``clean`` (see :class:`Origin`) is made so: texts, metas of turns, and ``meta``.

    ``meta`` gains ``role_order`` (false when roles repeat), ``incomplete`` (the last turn waits for an answer) and
    ``notes`` when there are any.

    Raises:
        RowError: see :func:`check_turns`.
    """
    check_turns(turns)
    metas = [turn.meta for turn in turns]
    if not clean:
        metas, meta = clean_json(metas), clean_json(meta)
    messages = [
        _new_message(turn.role, clean_text(turn.content), str(i), str(i - 1) if i else None, told)
        for i, (turn, told) in enumerate(zip(turns, metas, strict=True))
    ]
    facts: JsonMap = {
        "role_order": keeps_order([t.role for t in turns]),
        "incomplete": turns[-1].role in ("user", "tool"),
    }
    if notes:
        facts["notes"] = list(notes)
    pairs = [(m.role, m.content) for m in messages]
    own_id = stable_id(provenance.source, provenance.source_id or f"line {provenance.line}", pairs)
    made: Conversation = _new_conversation(own_id, tuple(messages), provenance, {}, meta | facts)
    return made


def without(data: Mapping[str, Any], *keys: str) -> JsonMap:
    """The mapping without some keys."""
    rest = dict(data)
    for key in keys:
        rest.pop(key, None)
    return rest
