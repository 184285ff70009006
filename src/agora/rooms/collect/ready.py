"""Conversations of other sources as rows of the store. Nothing that a record carries is lost on the way.

What has no column of its own (country, headers, moderation, usage, ...) is kept as JSON, Zstandard inside, in
``conversations.imported_zstd``: one blob a conversation, since its parts repeat each other. :func:`carried` reads it.

No database is imported here: processes that only make rows start in half the time without SQLAlchemy. For the same
reason rows are plain tuples, which another process takes in at a fifth of the cost of named ones.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any, NamedTuple

import zstandard

from agora.core.json_text import dumps, loads
from agora.core.records import Conversation, JsonMap, Message, Provenance
from agora.rooms.collect.types import Status
from agora.store.ids import new_ids, now_us

Values = tuple[Any, ...]
_TIMES = ("timestamp", "created", "created_date", "create_time", "created_at", "date")
_ORIGIN = tuple(field.name for field in fields(Provenance))
_STATUSES = {str(status) for status in Status}
_OF_THREAD = threading.local()


class ConversationRow(NamedTuple):
    """The columns of ``conversations`` that :func:`make_ready` fills; the id of the import is added later."""

    conversation_id: str
    created_us: int
    updated_us: int
    state: str
    source: str
    source_license: str
    source_key: str
    imported_zstd: bytes


class MessageRow(NamedTuple):
    """The columns of ``messages`` that :func:`make_ready` fills."""

    message_id: str
    conversation_id: str
    parent_id: str | None
    role: str
    content_zstd: bytes
    content_sha256: bytes
    created_us: int
    completed_us: int
    status: str
    model: str | None


class Ready(NamedTuple):
    """A conversation as rows: plain tuples, of :class:`ConversationRow` and :class:`MessageRow` without the names.

    ``source`` and ``key`` say whether the store has it already.
    """

    source: str
    key: str
    row: Values
    messages: list[Values]


def make_ready(conversation: Conversation) -> Ready:
    """The rows of a conversation: a pure function but for the ids and the present time where the source knows none."""
    messages, origin = conversation.messages, conversation.provenance
    conversation_id, *ids = new_ids(len(messages) + 1)
    place = {message.id: i for i, message in enumerate(messages)}
    times = _times(messages, place, _micros(origin.created))
    model = conversation.meta.get("model")
    compress = _compressor().compress
    rows: list[Values] = []
    for message, own, at in zip(messages, ids, times, strict=True):
        raw = message.content.encode("utf-8", "replace")
        meta, role, parent = message.meta, message.role, message.parent
        said = meta.get("model") or (model if role == "assistant" else None)
        rows.append(
            (
                own,
                conversation_id,
                ids[place[parent]] if parent is not None else None,
                role,
                compress(raw),
                sha256(raw).digest(),
                at,
                at,
                _status(meta),
                str(said)[:128] if said else None,
            )
        )
    source, key = origin.source[:64] or "import", conversation.id[:128]
    first = times[0] if times else now_us()
    last = max(times, default=now_us())
    told = compress(dumps(_carried(conversation)))
    return Ready(source, key, (conversation_id, first, last, "closed", source, origin.licence[:64], key, told), rows)


def _compressor() -> zstandard.ZstdCompressor:
    """One for each thread: making one costs ten times what it is used for here."""
    if not hasattr(_OF_THREAD, "compressor"):
        _OF_THREAD.compressor = zstandard.ZstdCompressor(level=3)
    made: zstandard.ZstdCompressor = _OF_THREAD.compressor
    return made


def _status(meta: JsonMap) -> str:
    status = meta.get("status")
    return status if isinstance(status, str) and status in _STATUSES else "complete"


def _times(messages: Sequence[Message], place: Mapping[str, int], of_whole: int | None) -> list[int]:
    """When each message was written, in microseconds, no child before its parent.

    A message without a time of its own (WildChat's questions) has that of its first answer, or of what it answers.
    """
    own_times = [_own_time(message.meta) for message in messages]
    known = list(own_times)
    for i in range(len(messages) - 1, -1, -1):
        parent, own = messages[i].parent, known[i]
        if parent is not None and own is not None and own_times[above := place[parent]] is None:
            earlier = known[above]
            known[above] = own if earlier is None or own < earlier else earlier
    fallback = of_whole if of_whole is not None else now_us()
    times: list[int] = []
    for message, own in zip(messages, known, strict=True):
        before = times[place[message.parent]] if message.parent is not None else None
        if own is None:
            own = before if before is not None else fallback
        times.append(own if before is None or own > before else before)
    return times


def _own_time(meta: JsonMap) -> int | None:
    for name in _TIMES:
        if (told := meta.get(name)) is not None and (time := _micros(told)) is not None:
            return time
    return None


@lru_cache(maxsize=4096)
def _micros_of_text(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000_000)


def _micros(value: object) -> int | None:
    """Microseconds of ISO 8601 text (UTC where it names no zone) or of Unix seconds or milliseconds."""
    if isinstance(value, str):
        return _micros_of_text(value)
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 1e8 < value < 1e14:
        return int(value * (1_000_000 if value < 1e11 else 1000))
    return None


def _carried(conversation: Conversation) -> JsonMap:
    return {
        "id": conversation.id,
        "provenance": {name: v for name in _ORIGIN if (v := getattr(conversation.provenance, name)) is not None},
        "tags": conversation.tags,
        "meta": conversation.meta,
        "messages": [{"id": m.id, "meta": m.meta} for m in conversation.messages],
    }


@dataclass(frozen=True, slots=True)
class Carried:
    """What its source said of an imported conversation beside the texts; an entry of ``messages`` for each of them."""

    id: str
    provenance: Provenance
    tags: JsonMap
    meta: JsonMap
    messages: list[JsonMap]


def carried(imported_zstd: bytes) -> Carried:
    """Read ``conversations.imported_zstd``. Messages stand in the order of their ``message_id``."""
    data = loads(zstandard.decompress(imported_zstd))
    return Carried(data["id"], Provenance(**data["provenance"]), data["tags"], data["meta"], data["messages"])
