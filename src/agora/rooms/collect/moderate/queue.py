"""What an operator sees: who waits, and one conversation with all that is known about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, select, tuple_

from agora.rooms.collect.conversations import read_messages
from agora.rooms.collect.enrich.annotations import latest_by_provider
from agora.rooms.collect.moderate.tables import REPORTS, REVIEWS
from agora.rooms.collect.moderate.types import Reason
from agora.rooms.collect.tables import CONVERSATIONS, MESSAGES
from agora.rooms.collect.types import ChatMessage
from agora.site.refusals import RefusalError
from agora.store.accounts import log_operator

PAGE = 50


@dataclass(frozen=True, slots=True)
class Waiting:
    """A conversation in the queue, without a word of what was said in it. Times are microseconds since 1970, UTC."""

    conversation_id: str
    reasons: tuple[str, ...]
    held: bool
    noted: bool
    rounds: int
    source: str
    updated_us: int
    priority: int

    @property
    def place(self) -> str:
        """Where the next page goes on."""
        return f"{self.priority}-{self.conversation_id}"


def waiting(
    connection: Connection, *, held: bool = False, reason: str = "", after: str = "", limit: int = PAGE
) -> list[Waiting]:
    """A page of the queue, the most urgent first.

    Args:
        connection: any.
        held: those that were decided to be held back, in place of those that wait.
        reason: only those that wait for it.
        after: the last :attr:`Waiting.place` of the page before.
        limit: the longest page.
    """
    rounds = (
        select(func.count())
        .where(MESSAGES.c.conversation_id == REVIEWS.c.conversation_id, MESSAGES.c.role == "user")
        .scalar_subquery()
    )
    query = (
        select(REVIEWS, CONVERSATIONS.c.source, CONVERSATIONS.c.updated_us, rounds.label("rounds"))
        .join(CONVERSATIONS, CONVERSATIONS.c.conversation_id == REVIEWS.c.conversation_id)
        .where(*_shown(held, reason))
        .order_by(REVIEWS.c.priority, REVIEWS.c.conversation_id)
        .limit(limit)
    )
    priority, _, last = after.partition("-")
    if priority.isascii() and priority.isdigit() and len(priority) < 4:
        query = query.where(tuple_(REVIEWS.c.priority, REVIEWS.c.conversation_id) > tuple_(int(priority), last))
    return [
        Waiting(
            row.conversation_id,
            _split(row.reasons),
            row.held,
            row.note is not None,
            row.rounds,
            row.source,
            row.updated_us,
            row.priority,
        )
        for row in connection.execute(query)
    ]


def counts(connection: Connection) -> Mapping[str, int]:
    """How many wait (``all``), for which reason, and how many are held back (``held``)."""
    found = dict.fromkeys(("all", *Reason, "held"), 0)
    grouped = select(REVIEWS.c.reasons, func.count().label("n")).where(REVIEWS.c.waiting).group_by(REVIEWS.c.reasons)
    for row in connection.execute(grouped):
        for name in ("all", *_split(row.reasons)):
            found[name] += row.n
    query = select(func.count()).select_from(REVIEWS).where(*_shown(True, ""))
    return found | {"held": int(connection.scalar(query) or 0)}


@dataclass(frozen=True, slots=True)
class Seen:
    """A message with what is known of it. ``parts`` is its text, each part with a type if it is to be redacted."""

    message: ChatMessage
    parts: Sequence[tuple[str, str | None]]
    flags: Sequence[str]
    report: tuple[str, str | None] | None


@dataclass(frozen=True, slots=True)
class Opened:
    """A conversation as an operator reads it."""

    conversation_id: str
    source: str
    reasons: tuple[str, ...] = ()
    held: bool = False
    waiting: bool = False
    note: str = ""
    automation_score: float | None = None
    messages: Sequence[Seen] = field(default_factory=tuple)


def open_conversation(connection: Connection, account_id: str, conversation_id: str) -> Opened:
    """Read a person's conversation as an operator. It is written into the event log who read which one.

    Args:
        connection: of a transaction that writes.
        account_id: who reads.
        conversation_id: what.

    Raises:
        RefusalError: ``not_found``.
    """
    row = connection.execute(
        select(CONVERSATIONS.c.source, CONVERSATIONS.c.automation_score, CONVERSATIONS.c.subject_id).where(
            CONVERSATIONS.c.conversation_id == conversation_id, CONVERSATIONS.c.state != "deleted"
        )
    ).first()
    if row is None:
        raise RefusalError("not_found", "there is no such conversation", 404)
    log_operator(connection, "operator.read", account_id, subject_id=row.subject_id, conversation_id=conversation_id)
    review = connection.execute(select(REVIEWS).where(REVIEWS.c.conversation_id == conversation_id)).first()
    return Opened(
        conversation_id,
        row.source,
        _split(review.reasons) if review is not None else (),
        review is not None and review.held,
        review is not None and review.waiting,
        (review.note or "") if review is not None else "",
        row.automation_score,
        _seen(connection, read_messages(connection, conversation_id)),
    )


def next_waiting(connection: Connection, after: str = "") -> str | None:
    """The conversation to read next: the most urgent one that is not the one just read."""
    return next((w.conversation_id for w in waiting(connection, limit=2) if w.conversation_id != after), None)


def _seen(connection: Connection, messages: Sequence[ChatMessage]) -> list[Seen]:
    ids = [message.id for message in messages]
    by_kind = {kind: latest_by_provider(connection, ids, kind) for kind in ("pii", "secret", "tox")}
    found = connection.execute(select(REPORTS).where(REPORTS.c.message_id.in_(ids)))
    reports = {row.message_id: (row.why, row.comment) for row in found}
    shown = []
    for message in messages:
        spans = [
            span
            for kind in ("pii", "secret")
            for annotation in by_kind[kind].get(message.id, {}).values()
            for span in annotation.result.get("spans", ())
        ]
        flags = [
            f"{provider}: {', '.join(sorted(n for n, on in a.result.get('categories', {}).items() if on)) or '!'}"
            for provider, a in sorted(by_kind["tox"].get(message.id, {}).items())
            if a.result.get("flagged")
        ]
        shown.append(Seen(message, marked(message.content, spans), flags, reports.get(message.id)))
    return shown


def marked(text: str, spans: Iterable[Mapping[str, Any]]) -> list[tuple[str, str | None]]:
    """A text cut at its spans; where two overlap the one that begins first, and of those the longer, is shown."""
    parts: list[tuple[str, str | None]] = []
    at = 0
    for span in sorted(spans, key=lambda s: (s["start"], -s["end"])):
        start, end = span["start"], min(span["end"], len(text))
        if start < at or end <= start:
            continue
        if start > at:
            parts.append((text[at:start], None))
        parts.append((text[start:end], str(span["type"])))
        at = end
    if at < len(text):
        parts.append((text[at:], None))
    return parts


def _shown(held: bool, reason: str) -> list[Any]:
    if held:
        return [REVIEWS.c.held, ~REVIEWS.c.waiting]
    wanted = [REVIEWS.c.waiting]
    # the name of a reason is no part of another's
    return [*wanted, REVIEWS.c.reasons.contains(reason, autoescape=True)] if reason else wanted


def _split(reasons: str) -> tuple[str, ...]:
    return tuple(name for name in reasons.split(",") if name)
