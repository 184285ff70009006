"""Reviews: what makes a conversation wait for a person, and what the person decides.

    a report, a flag, an automation score -> waiting -> approved
                                                    \\-> held back from every release
                                                    \\-> erased

Every function runs inside the caller's transaction, and each decision is an event that names the account and no
content.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, delete, insert, select, update

from agora.core.json_text import loads
from agora.rooms.collect.conversations import owned_reply
from agora.rooms.collect.enrich.annotations import Annotation, latest_by_provider
from agora.rooms.collect.enrich.annotations import add as add_annotations
from agora.rooms.collect.moderate.tables import REPORTS, REVIEW_PROGRESS, REVIEWS
from agora.rooms.collect.moderate.types import Reason, Why
from agora.rooms.collect.release.tables import RELEASED_TEXTS
from agora.rooms.collect.tables import ANNOTATIONS, CONVERSATIONS, MESSAGES
from agora.rooms.collect.types import Status
from agora.site.refusals import RefusalError
from agora.store import events
from agora.store.accounts import log_operator
from agora.store.ids import new_id, now_us

NOTE_CHARS = 2000
#: An annotation may be committed this much later than the time it carries.
_LATE_US = 300_000_000


def held_back(connection: Connection) -> Select[tuple[str]]:
    """The ids of conversations that stay out of every release, as a query for ``conversation_id.not_in(...)``."""
    return select(REVIEWS.c.conversation_id).where(REVIEWS.c.held)


def report(
    connection: Connection,
    subject_id: str,
    message_id: str,
    why: Why,
    comment: str | None = None,
    *,
    hold: Collection[str] = (Reason.REPORT,),
) -> str:
    """Keep a person's report of a reply; a later one takes its place. The conversation's id is returned.

    Raises:
        ChatError: it is no reply in a conversation of theirs.
    """
    conversation_id = owned_reply(connection, subject_id, message_id)
    values: dict[str, Any] = {"why": why, "comment": comment or None, "created_us": now_us()}
    changed = connection.execute(update(REPORTS).where(REPORTS.c.message_id == message_id).values(**values))
    if changed.rowcount == 0:
        connection.execute(insert(REPORTS).values(message_id=message_id, conversation_id=conversation_id, **values))
    put_in_queue(connection, conversation_id, Reason.REPORT, hold=hold)
    events.append(
        connection, events.Event("report", subject_id, conversation_id, message_id, payload={"why": str(why)})
    )
    return conversation_id


def put_in_queue(
    connection: Connection, conversation_id: str, reason: Reason, *, hold: Collection[str] = (Reason.REPORT,)
) -> None:
    """Let a conversation wait for a person.

    Args:
        connection: of a transaction that writes.
        conversation_id: which one.
        reason: added to those there are.
        hold: reasons that keep it out of releases until someone has decided.
    """
    row = connection.execute(select(REVIEWS).where(REVIEWS.c.conversation_id == conversation_id)).first()
    known = set(row.reasons.split(",")) if row is not None and row.waiting else set()
    reasons = sorted({Reason(r) for r in known if r} | {reason}, key=lambda r: r.priority)
    values = {
        "waiting": True,
        "held": (row is not None and row.held) or reason in hold,
        "reasons": ",".join(reasons),
        "priority": reasons[0].priority,
        "opened_us": row.opened_us if known and row is not None else now_us(),
    }
    if row is None:
        connection.execute(insert(REVIEWS).values(conversation_id=conversation_id, **values))
    else:
        connection.execute(update(REVIEWS).where(REVIEWS.c.conversation_id == conversation_id).values(**values))


def wait_for_review(connection: Connection, conversation_id: str) -> None:
    """Something was said where everything is reviewed: the conversation waits, held back until it is approved."""
    put_in_queue(connection, conversation_id, Reason.NEW, hold=(Reason.NEW,))


@dataclass(frozen=True, slots=True)
class Flagged:
    """What annotations and scores say of conversations that nobody has decided on, and how far they were read."""

    reasons: frozenset[tuple[str, Reason]]
    seen_us: int


def find_flagged(connection: Connection, *, automation: float = 0.8) -> Flagged:
    """Read the annotations since the last time, and the automation scores.

    It reads only, and may take long the first time (some microseconds an annotation), so nobody who writes waits for
    it. A message that someone has decided on brings its conversation back only by a report.

    Args:
        connection: any.
        automation: the score from which a conversation waits, 0 to 1.
    """
    seen = connection.scalar(select(REVIEW_PROGRESS.c.seen_us).where(REVIEW_PROGRESS.c.name == "annotations"))
    began = now_us()
    fresh = connection.execution_options(yield_per=1000).execute(
        select(
            ANNOTATIONS.c.kind,
            ANNOTATIONS.c.result_json,
            MESSAGES.c.conversation_id,
            MESSAGES.c.created_us.label("said_us"),
            REVIEWS.c.decided_us,
            REVIEWS.c.waiting,
            REVIEWS.c.reasons,
        )
        .join(MESSAGES, MESSAGES.c.message_id == ANNOTATIONS.c.message_id)
        .join(REVIEWS, REVIEWS.c.conversation_id == MESSAGES.c.conversation_id, isouter=True)
        .where(ANNOTATIONS.c.created_us > (seen or 0), ANNOTATIONS.c.kind.in_(("tox", "pii", "secret")))
    )
    found: set[tuple[str, Reason]] = set()
    with closing(fresh):
        for row in fresh:
            decided = row.decided_us is not None and row.said_us <= row.decided_us
            known = bool(row.waiting) and row.kind in row.reasons.split(",")
            if not (decided or known) and _flags(row.kind, row.result_json):
                found.add((row.conversation_id, Reason(row.kind)))
    automated = connection.scalars(
        select(CONVERSATIONS.c.conversation_id)
        .join(REVIEWS, REVIEWS.c.conversation_id == CONVERSATIONS.c.conversation_id, isouter=True)
        .where(
            CONVERSATIONS.c.automation_score >= automation,
            CONVERSATIONS.c.state != "deleted",
            REVIEWS.c.conversation_id.is_(None),
        )
    )
    found.update((conversation_id, Reason.AUTOMATION) for conversation_id in automated)
    return Flagged(frozenset(found), max(seen or 0, began - _LATE_US))


def queue_flagged(connection: Connection, flagged: Flagged, *, hold: Collection[str] = (Reason.REPORT,)) -> int:
    """Put what was found into the queue; how many conversations is returned. One erased meanwhile is passed over."""
    queued = set()
    for conversation_id, reason in sorted(flagged.reasons):
        where = (CONVERSATIONS.c.conversation_id == conversation_id) & (CONVERSATIONS.c.state != "deleted")
        if connection.scalar(select(CONVERSATIONS.c.conversation_id).where(where)) is not None:
            put_in_queue(connection, conversation_id, reason, hold=hold)
            queued.add(conversation_id)
    _remember(connection, flagged.seen_us)
    return len(queued)


def decide(connection: Connection, account_id: str, conversation_id: str, *, hold: bool) -> None:
    """Approve a conversation, or hold it back from every release.

    Raises:
        RefusalError: ``not_found``, or ``reply_in_progress``: nobody can have read all of what would be approved.
    """
    _there(connection, conversation_id)
    live = (MESSAGES.c.conversation_id == conversation_id) & (MESSAGES.c.status == Status.STREAMING)
    if not hold and connection.scalar(select(MESSAGES.c.message_id).where(live).limit(1)) is not None:
        raise RefusalError("reply_in_progress", "a reply is still being written; please read it first", 409)
    values = {"waiting": False, "held": hold, "decided_us": now_us(), "account_id": account_id}
    changed = connection.execute(update(REVIEWS).where(REVIEWS.c.conversation_id == conversation_id).values(**values))
    if changed.rowcount == 0:
        opened = {"reasons": "", "priority": len(Reason), "opened_us": values["decided_us"]}
        connection.execute(insert(REVIEWS).values(conversation_id=conversation_id, **values, **opened))
    kind = "operator.held_back" if hold else "operator.approved"
    log_operator(connection, kind, account_id, conversation_id=conversation_id)


def set_note(connection: Connection, account_id: str, conversation_id: str, note: str) -> None:
    """Keep a note for other operators beside a conversation; empty text removes it.

    Raises:
        RefusalError: ``not_found``.
    """
    _there(connection, conversation_id)
    kept = note.strip()[:NOTE_CHARS] or None
    changed = connection.execute(update(REVIEWS).where(REVIEWS.c.conversation_id == conversation_id).values(note=kept))
    if changed.rowcount == 0 and kept:
        values = {"waiting": False, "held": False, "reasons": "", "priority": len(Reason), "opened_us": now_us()}
        connection.execute(insert(REVIEWS).values(conversation_id=conversation_id, note=kept, **values))
    log_operator(connection, "operator.noted", account_id, conversation_id=conversation_id, chars=len(kept or ""))


def redact_words(
    connection: Connection, account_id: str, message_id: str, content: str, words: str, span_type: str
) -> int:
    """Mark every place where words stand in a message as personal data, by hand; how many places is returned.

    A new annotation ``person:...`` holds them beside the spans that are known already, so that a reader of the newest
    annotation alone misses none of both.

    Raises:
        RefusalError: the words are empty or do not stand in the message.
    """
    places = _places(content, words)
    if not places:
        raise RefusalError("words_not_found", "these words do not stand in the message", 422)
    known = latest_by_provider(connection, [message_id], "pii").get(message_id, {})
    spans = {(s["start"], s["end"], s["type"]): s for a in known.values() for s in a.result["spans"]}
    for start, end in places:
        spans[start, end, span_type] = {"type": span_type, "start": start, "end": end, "score": 1.0, "by": "person"}
    ordered = [spans[key] for key in sorted(spans)]
    version = f"person:{new_id()[:24]}"
    add_annotations(connection, [Annotation(message_id, "pii", version, {"spans": ordered})])
    conversation_id = connection.scalar(select(MESSAGES.c.conversation_id).where(MESSAGES.c.message_id == message_id))
    # what is out on the site still has these words
    connection.execute(delete(RELEASED_TEXTS).where(RELEASED_TEXTS.c.conversation_id == conversation_id))
    log_operator(
        connection,
        "operator.redacted",
        account_id,
        conversation_id=conversation_id,
        message_id=message_id,
        type=span_type,
        count=len(places),
    )
    return len(places)


def _places(content: str, words: str) -> list[tuple[int, int]]:
    found, at = [], 0
    while words and (start := content.find(words, at)) >= 0:
        at = start + len(words)
        found.append((start, at))
    return found


def _flags(kind: str, result_json: str) -> bool:
    result = loads(result_json.encode())
    return bool(result.get("flagged")) if kind == "tox" else bool(result.get("spans"))


def _remember(connection: Connection, seen_us: int) -> None:
    where = REVIEW_PROGRESS.c.name == "annotations"
    if connection.execute(update(REVIEW_PROGRESS).where(where).values(seen_us=seen_us)).rowcount == 0:
        connection.execute(insert(REVIEW_PROGRESS).values(name="annotations", seen_us=seen_us))


def _there(connection: Connection, conversation_id: str) -> None:
    where = (CONVERSATIONS.c.conversation_id == conversation_id) & (CONVERSATIONS.c.state != "deleted")
    if connection.scalar(select(CONVERSATIONS.c.conversation_id).where(where)) is None:
        raise RefusalError("not_found", "there is no such conversation", 404)
