"""Rows of logs without state: each holds a whole history and the reply to it, nothing says which rows belong together.

Two logs are known: that of the WildChat page (arXiv:2405.01470; ``headers``, ``payload``, ``partial_words``, plain or
as JSON text in ``text``) and FastChat's (``type``, ``tstamp``, ``state``). Text is parsed as JSON and never evaluated.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from agora.core.json_text import clean_text, loads
from agora.core.records import ROLES, JsonMap
from agora.core.tables import Rejects, read_rows
from agora.curate.importers.base import RowError, clean_json
from agora.rooms.collect.linking.prefix import prefix_keys

WILDCHAT_LOG, FASTCHAT_LOG = "wildchat-log", "fastchat-log"
_KNOWN = {"id", "date", "headers", "Headers", "payload", "partial_words", "model", "text"}
_KEPT = {
    "usage": "usage",
    "token_counter": "token_counter",
    "created": "created",
    "system_fingerprint": "system_fingerprint",
    "finish_reason": "finish_reason",
}
# what FastChat's server says in place of a reply
_ERROR_TEXT = re.compile(r"^\W*(network error due to high traffic|\$moderation\$|your input violates)", re.IGNORECASE)
_RATINGS = {"upvote": 1, "downvote": -1}


class Said(NamedTuple):
    """One message of a row's history."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class LogRow:
    """One row: ``turns`` were sent, ``reply`` came back.

    ``scope`` is what rows of one conversation share for certain (the device's fingerprint, or a conversation's id),
    ``address`` the visitor's network address, used for linking and never stored. ``keys`` has one entry for each
    prefix of the turns and one for turns and reply.
    """

    id: str
    time_us: int
    scope: str
    address: str | None
    model: str | None
    turns: tuple[Said, ...]
    reply: str
    keys: tuple[bytes, ...]
    header: JsonMap
    meta: JsonMap
    path: str
    line: int

    @property
    def order(self) -> tuple[int, int, str]:
        """Rows are linked in this order: by time, then by number."""
        return self.time_us, int(self.id) if self.id.isdecimal() else 0, self.id


@dataclass(slots=True)
class ReadLog:
    """The rows of a log, and the names of fields that are not kept (they might hold an address) with their counts."""

    kind: str
    rows: list[LogRow] = field(default_factory=list)
    read: int = 0  # rows of the files
    fields_left_out: Counter[str] = field(default_factory=Counter)
    passed_over: Counter[str] = field(default_factory=Counter)  # events that are no turns, by reason


def log_kind(path: Path) -> str | None:
    """Which log a file is, by its first readable rows; None for anything else."""
    for row in islice(read_rows(path, rejects=Rejects()), 20):
        data = row.data
        if {"type", "tstamp"} <= data.keys():
            return FASTCHAT_LOG
        if {"payload", "partial_words"} <= data.keys():
            return WILDCHAT_LOG
        if isinstance(text := data.get("text"), str) and "partial_words" in text and "date" in data:
            return WILDCHAT_LOG
    return None


def read_logs(paths: Iterable[Path], kind: str, rejects: Rejects) -> ReadLog:
    """All rows of some files of one kind in the order in which they are linked; rows that cannot be read are refused.

    The texts stay in memory, each once: a message that later rows repeat costs nothing more.
    """
    log, pool = ReadLog(kind), {}  # type: ignore[var-annotated]
    for path in paths:
        before = rejects.count
        for row in read_rows(Path(path), rejects=rejects):
            log.read += 1
            try:
                log.rows.extend(_rows_of(row.data, str(path), row.line, log, pool))
            except RowError as error:
                rejects.add(f"{path}:{row.line}", error.reason, _without_headers(row.data), detail=error.detail or None)
                before += 1
        log.read += rejects.count - before  # lines that are no JSON
    log.rows.sort(key=lambda row: row.order)
    return log


def _without_headers(data: JsonMap) -> JsonMap:
    """A refused row as it may be kept: without what holds the visitor's address."""
    clean: JsonMap = clean_json({k: v for k, v in data.items() if k.lower() not in ("headers", "ip", "text")})
    return clean


def _rows_of(data: JsonMap, path: str, line: int, log: ReadLog, pool: dict[str, str]) -> Iterator[LogRow]:
    if log.kind == FASTCHAT_LOG:
        yield from _fastchat(data, path, line, log, pool)
        return
    if isinstance(data.get("text"), str):
        data = {**data, **_json_object(data["text"], "text")}
    payload, reply = data.get("payload"), data.get("partial_words")
    if isinstance(payload, str):
        payload = _json_object(payload, "payload")
    if not isinstance(payload, Mapping):
        raise RowError("no payload", f"it is {type(payload).__name__}")
    if not isinstance(reply, str):
        raise RowError("no reply", f"'partial_words' is {type(reply).__name__}")
    headers = data.get("headers", data.get("Headers"))
    if isinstance(headers, str):
        headers = _json_object(headers, "headers")
    headers = {str(k).lower(): v for k, v in (headers or {}).items()}
    agent, language = str(headers.get("user-agent", "")), str(headers.get("accept-language", ""))
    log.fields_left_out.update(data.keys() - _KNOWN - _KEPT.keys())
    model = data.get("model") or payload.get("model")
    meta = {ours: data[theirs] for theirs, ours in _KEPT.items() if data.get(theirs) is not None}
    meta |= {k: v for k, v in payload.items() if k not in ("messages", "model")}
    yield _row(
        identity=(data.get("id"), _time(data.get("date")), path, line),
        scope=sha256((agent + language).encode("utf-8", "replace")).hexdigest(),
        address=str(headers.get("x-forwarded-for", "")).split(",")[0].strip() or None,
        model=str(model) if model else None,
        said=_messages(payload.get("messages"), pool),
        reply=_pooled(reply, pool),
        header={k: clean_text(str(headers[k])) for k in ("accept-language", "user-agent") if k in headers},
        meta=clean_json(meta),
    )


def _row(
    *,
    identity: tuple[Any, int, str, int],
    scope: str,
    address: str | None,
    model: str | None,
    said: tuple[Said, ...],
    reply: str,
    header: JsonMap,
    meta: JsonMap,
) -> LogRow:
    given, time_us, path, line = identity
    own = str(given) if isinstance(given, (int, str)) and given != "" else f"{path}:{line}"
    keys = tuple(prefix_keys((*said, Said("assistant", reply))))
    return LogRow(own, time_us, scope, address, model, said, reply, keys, header, meta, path, line)


def _json_object(text: str, name: str) -> JsonMap:
    try:
        found = loads(text.encode("utf-8", "replace"))
    except ValueError as error:
        raise RowError(f"{name} is no JSON", str(error)) from None
    if not isinstance(found, dict):
        raise RowError(f"{name} is no object", type(found).__name__)
    return found


def _messages(given: Any, pool: dict[str, str]) -> tuple[Said, ...]:
    if not isinstance(given, list) or not given:
        raise RowError("no messages", f"it is {type(given).__name__}")
    said = []
    for number, item in enumerate(given, 1):
        if not isinstance(item, Mapping) or not isinstance(item.get("content"), str):
            raise RowError("message is not text", f"message {number}")
        if item.get("role") not in ROLES:
            raise RowError("unknown role", f"{item.get('role')!r:.40} of message {number}")
        said.append(Said(item["role"], _pooled(item["content"], pool)))
    return tuple(said)


def _pooled(text: str, pool: dict[str, str]) -> str:
    text = clean_text(text)
    return pool.setdefault(text, text)


def _time(value: Any) -> int:
    """Microseconds of ISO 8601 text or Unix seconds; a time without a zone is UTC.

    Raises:
        RowError: neither.
    """
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            raise RowError("no time", f"{value!r:.40}") from None
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000_000)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < 1e11:
        return int(value * 1_000_000)
    raise RowError("no time", f"it is {type(value).__name__}")


def _fastchat(data: JsonMap, path: str, line: int, log: ReadLog, pool: dict[str, str]) -> Iterator[LogRow]:
    """One row for each conversation of an event (an arena's vote has two)."""
    kind, time_us = str(data.get("type")), _time(data.get("tstamp"))
    states = data.get("states") or ([data["state"]] if data.get("state") else [])
    if not states:
        log.passed_over["no conversation in the event"] += 1
        return
    for state in states:
        if not isinstance(state, Mapping) or not isinstance(state.get("conv_id"), str):
            raise RowError("no conv_id", f"of a {kind!r:.30} event")
        said = _fastchat_turns(state, pool)
        if len(said) < 2 or said[-1].role != "assistant":
            log.passed_over["no reply in the event"] += 1
            continue
        if _ERROR_TEXT.match(said[-1].content):
            log.passed_over["an error text in place of a reply"] += 1
            continue
        conversation = state["conv_id"]
        vote = {} if kind == "chat" else {"vote": kind, "rating": _RATINGS.get(kind, 0)}
        model = state.get("model_name") or data.get("model")
        yield _row(
            identity=(f"{conversation}@{time_us}", time_us, path, line),
            scope=conversation,
            address=data.get("ip") if isinstance(data.get("ip"), str) else None,
            model=str(model) if model else None,
            said=said[:-1],
            reply=said[-1].content,
            header={},
            meta=vote,
        )


def _fastchat_turns(state: Mapping[str, Any], pool: dict[str, str]) -> tuple[Said, ...]:
    messages, roles = state.get("messages"), state.get("roles") or ["USER", "ASSISTANT"]
    if not isinstance(messages, list):
        raise RowError("no messages", f"it is {type(messages).__name__}")
    said = []
    system = state.get("system_message") or state.get("system")
    if isinstance(system, str) and system:
        said.append(Said("system", _pooled(system, pool)))
    offset = state.get("offset") if isinstance(state.get("offset"), int) else 0
    for item in messages[offset:]:
        if not isinstance(item, list) or len(item) != 2:
            raise RowError("message is not text", "expected [role, text]")
        if item[1] is None:  # the reply that had not come yet
            continue
        if not isinstance(item[1], str):
            raise RowError("message is not text", f"it is {type(item[1]).__name__}")
        said.append(Said("user" if item[0] == roles[0] else "assistant", _pooled(item[1], pool)))
    return tuple(said)
