"""What is known of whole conversations: what the filters ask for, gathered from messages, annotations and ratings."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, Connection, bindparam, literal, select

from agora.core.json_text import loads
from agora.rooms.collect.enrich.categories import MAKER
from agora.rooms.collect.tables import ANNOTATIONS, CONVERSATIONS, FEEDBACK, MESSAGES
from agora.store.tables import SUBJECTS

_MARKED = ("pii", "secret")
_WORDS_OF_TOPIC = f"{MAKER}:"
_DAY_US = 86_400_000_000
# built once: a list in a statement costs more than the database takes for it, unless it is one parameter
_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_CONVERSATIONS = (
    select(
        CONVERSATIONS.c.conversation_id,
        CONVERSATIONS.c.subject_id,
        CONVERSATIONS.c.created_us,
        CONVERSATIONS.c.source,
        CONVERSATIONS.c.automation_score,
        SUBJECTS.c.country_iso,
    )
    .join(SUBJECTS, SUBJECTS.c.subject_id == CONVERSATIONS.c.subject_id, isouter=True)
    .where(CONVERSATIONS.c.conversation_id.in_(_IDS), CONVERSATIONS.c.state != "deleted")
    .order_by(CONVERSATIONS.c.conversation_id)
)
_ANY = {table.name: select(literal(1)).select_from(table).limit(1) for table in (ANNOTATIONS, FEEDBACK)}
_ANNOTATIONS = (
    select(
        MESSAGES.c.conversation_id,
        ANNOTATIONS.c.message_id,
        ANNOTATIONS.c.kind,
        ANNOTATIONS.c.pipeline_version,
        ANNOTATIONS.c.result_json,
    )
    .join(MESSAGES, MESSAGES.c.message_id == ANNOTATIONS.c.message_id)
    .where(MESSAGES.c.conversation_id.in_(_IDS))
    .order_by(ANNOTATIONS.c.created_us, ANNOTATIONS.c.pipeline_version)
)
_RATINGS = (
    select(MESSAGES.c.conversation_id, FEEDBACK.c.rating)
    .join(MESSAGES, MESSAGES.c.message_id == FEEDBACK.c.message_id)
    .where(MESSAGES.c.conversation_id.in_(_IDS))
)
_TOLD = [MESSAGES.c[name] for name in ("conversation_id", "message_id", "role", "status", "model", "created_us")]
_MESSAGES = {
    texts: select(*_TOLD, *((MESSAGES.c.content_zstd, MESSAGES.c.content_sha256) if texts else ())).where(
        MESSAGES.c.conversation_id.in_(_IDS)
    )
    for texts in (False, True)
}


class Told(NamedTuple):
    """A message. Its text is read only where it may be new."""

    message_id: str
    role: str
    status: str
    model: str | None
    created_us: int
    content_zstd: bytes = b""
    content_sha256: bytes = b""


@dataclass(slots=True)
class _Found:
    """What the annotations of one conversation say, the newest of each message and kind last."""

    languages: dict[str, str] = field(default_factory=dict)
    countries: dict[str, str] = field(default_factory=dict)
    toxic: dict[tuple[str, str], bool] = field(default_factory=dict)
    marked: dict[tuple[str, str], bool] = field(default_factory=dict)
    categories: dict[str, str] = field(default_factory=dict)
    topics: dict[str, tuple[int, float, float]] = field(default_factory=dict)


_NOTHING = _Found()


def gather(
    connection: Connection, conversation_ids: Sequence[str], messages: dict[str, list[Told]]
) -> list[dict[str, Any]]:
    """The columns of ``search_conversations`` but its number, for conversations that are not erased.

    Args:
        connection: to read from.
        conversation_ids: which; a few hundred at most.
        messages: of each conversation, oldest first.
    """
    found, ratings = _annotations(connection, conversation_ids), _ratings(connection, conversation_ids)
    no_ratings: Counter[int] = Counter()
    return [
        _row(
            row,
            messages.get(row.conversation_id, []),
            found.get(row.conversation_id, _NOTHING),
            ratings.get(row.conversation_id, no_ratings),
        )
        for row in connection.execute(_CONVERSATIONS, {"ids": conversation_ids}).all()
    ]


def _row(conversation: Any, told: Sequence[Told], found: _Found, ratings: Counter[int]) -> dict[str, Any]:
    language = _most(found.languages.values())
    # topics are numbered within a language: one of a prompt in another language would be taken for another topic
    topic = next(
        (
            found.topics[m.message_id]
            for m in told
            if found.languages.get(m.message_id, language) == language and m.message_id in found.topics
        ),
        None,
    )
    return {
        "conversation_id": conversation.conversation_id,
        "subject_id": conversation.subject_id,
        "created_us": conversation.created_us,
        "month": _month(conversation.created_us // _DAY_US),
        "source": conversation.source,
        "language": language,
        "country": _most(found.countries.values()) or conversation.country_iso,
        "model": next((m.model for m in reversed(told) if m.model), None),
        "category": _most(found.categories.values()),
        "turns": sum(m.role == "user" for m in told),
        "toxic": any(found.toxic.values()) if found.toxic else None,
        "redacted": any(found.marked.values()) if found.marked else None,
        "ups": ratings[1],
        "downs": ratings[-1],
        "automation": conversation.automation_score,
        "topic": topic[0] if topic else None,
        "x": topic[1] if topic else None,
        "y": topic[2] if topic else None,
    }


def _most(values: Collection[str]) -> str | None:
    """The most frequent value, the first of those that are equally frequent."""
    return Counter(values).most_common(1)[0][0] if values else None


@lru_cache(4096)
def _month(day: int) -> str:
    return datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y-%m")


def _annotations(connection: Connection, ids: Sequence[str]) -> dict[str, _Found]:
    found: dict[str, _Found] = defaultdict(_Found)
    if connection.scalar(_ANY[ANNOTATIONS.name]) is None:  # of a new store: as dear to look for as messages are to read
        return found
    for row in connection.execute(_ANNOTATIONS, {"ids": ids}).all():
        result = loads(row.result_json.encode())
        of, message = found[row.conversation_id], row.message_id
        if row.kind == "lang" and result.get("code"):
            of.languages[message] = str(result["code"])[:16]
        elif row.kind == "geo" and result.get("country_iso"):
            of.countries[message] = str(result["country_iso"])[:2]
        elif row.kind == "tox":
            of.toxic[message, row.pipeline_version.partition(":")[0]] = bool(result.get("flagged"))
        elif row.kind in _MARKED:
            of.marked[message, row.kind] = bool(result.get("spans"))
        elif row.kind == "category" and result.get("category"):
            # the words of a topic stand in only for what people or a model said
            if not (row.pipeline_version.startswith(_WORDS_OF_TOPIC) and message in of.categories):
                of.categories[message] = str(result["category"])[:64]
        elif row.kind == "topic":
            of.topics[message] = (int(result["topic"]), float(result["x"]), float(result["y"]))
    return found


def _ratings(connection: Connection, ids: Sequence[str]) -> dict[str, Counter[int]]:
    found: dict[str, Counter[int]] = defaultdict(Counter)
    if connection.scalar(_ANY[FEEDBACK.name]) is None:
        return found
    for row in connection.execute(_RATINGS, {"ids": ids}).all():
        found[row.conversation_id][row.rating] += 1
    return found


def told_of(connection: Connection, conversation_ids: Sequence[str], *, texts: bool = False) -> dict[str, list[Told]]:
    """The messages of conversations, oldest first."""
    found: dict[str, list[Told]] = {}
    for conversation_id, *told in connection.execute(_MESSAGES[texts], {"ids": conversation_ids}).all():
        found.setdefault(conversation_id, []).append(Told(*told))
    for some in found.values():  # here and not in the database, which would carry the texts through its sorting
        some.sort(key=attrgetter("created_us", "message_id"))
    return found


__all__ = ["Told", "gather", "told_of"]
