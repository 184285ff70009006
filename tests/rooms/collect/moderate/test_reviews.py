"""The review queue on both databases: who waits, what a decision does, what erasing leaves."""

from __future__ import annotations

import pytest
from sqlalchemy import insert, select, update

from agora.rooms.collect import conversations
from agora.rooms.collect.enrich import annotations
from agora.rooms.collect.enrich.annotations import Annotation
from agora.rooms.collect.erase import erase_conversation
from agora.rooms.collect.moderate import reviews
from agora.rooms.collect.moderate.reviews import find_flagged, held_back, queue_flagged
from agora.rooms.collect.moderate.tables import REPORTS, REVIEWS
from agora.rooms.collect.moderate.types import Reason, Why
from agora.rooms.collect.tables import CONVERSATIONS, MESSAGES
from agora.rooms.collect.types import ChatError
from agora.site.refusals import RefusalError
from agora.store import Store
from agora.store.events import verify
from agora.store.ids import now_us
from agora.store.tables import EVENTS, SUBJECTS
from tests.rooms.collect.enrich.stored import put_texts


def _conversation_of(store: Store, message_id: str) -> str:
    with store.reading() as connection:
        return conversations.conversation_of(connection, message_id)


def _tox(flagged: bool) -> dict[str, object]:
    return {"flagged": flagged, "categories": {}, "scores": {}, "provider": "linear"}


def _annotate(store: Store, message_id: str, kind: str, result: dict[str, object], version: str = "linear:1") -> None:
    store.write(lambda c: annotations.add(c, [Annotation(message_id, kind, version, result)]))


def _fill(store: Store) -> int:
    with store.reading() as connection:
        flagged = find_flagged(connection)
    return store.write(lambda c: queue_flagged(c, flagged))


def _queue(store: Store) -> dict[str, list[str]]:
    with store.reading() as connection:
        found = connection.execute(select(REVIEWS).where(REVIEWS.c.waiting).order_by(REVIEWS.c.priority)).all()
    return {row.conversation_id: row.reasons.split(",") for row in found}


def _held(store: Store) -> set[str]:
    with store.reading() as connection:
        query = select(CONVERSATIONS.c.conversation_id).where(
            CONVERSATIONS.c.conversation_id.in_(held_back(connection))
        )
        return set(connection.scalars(query))


def _own_reply(store: Store) -> tuple[str, str]:
    """A subject and a reply in a conversation of theirs."""

    def make(connection: object) -> tuple[str, str]:
        values = {"created_us": 1, "consent_state": "publish", "locale": "en", "key_epoch": 1, "source": "web"}
        connection.execute(insert(SUBJECTS).values(subject_id="S", **values))  # type: ignore[attr-defined]
        conversation_id = conversations.create_conversation(connection, "S")  # type: ignore[arg-type]
        row = {"conversation_id": conversation_id, "at_us": now_us()}
        for i, role in enumerate(("user", "assistant")):
            message = conversations.message_row(
                message_id=f"M{i}", parent_id=f"M{i - 1}" if i else None, role=role, text=f"text {i}", **row
            )
            connection.execute(insert(MESSAGES), message)  # type: ignore[attr-defined]
        return "S", "M1"

    return store.write(make)


def test_what_a_pipeline_flags_waits_and_what_it_does_not_does_not(store: Store) -> None:
    toxic, mild, mail, clean = put_texts(store, "toxic", "mild", "a mail address", "clean")
    _annotate(store, toxic, "tox", _tox(True))
    _annotate(store, mild, "tox", _tox(False))
    _annotate(store, mail, "pii", {"spans": [{"type": "EMAIL_ADDRESS", "start": 0, "end": 1, "score": 1, "by": "x"}]})
    _annotate(store, clean, "pii", {"spans": []})
    store.write(
        lambda c: c.execute(
            update(CONVERSATIONS)
            .where(CONVERSATIONS.c.conversation_id == _conversation_of(store, clean))
            .values(automation_score=0.9)
        )
    )
    assert _fill(store) == 3
    waiting = _queue(store)
    assert waiting[_conversation_of(store, toxic)] == ["tox"]
    assert waiting[_conversation_of(store, mail)] == ["pii"]
    assert waiting[_conversation_of(store, clean)] == ["automation"]
    assert _fill(store) == 0 and _queue(store) == waiting  # the same annotations queue nothing twice
    assert _held(store) == set()


@pytest.mark.parametrize("hold", [True, False])
def test_a_decision_ends_the_waiting_and_says_what_is_released(store: Store, hold: bool) -> None:
    (toxic,) = put_texts(store, "toxic")
    conversation = _conversation_of(store, toxic)
    _annotate(store, toxic, "tox", _tox(True))
    _fill(store)
    store.write(lambda c: reviews.decide(c, "A", conversation, hold=hold))
    assert _queue(store) == {}
    assert _held(store) == ({conversation} if hold else set())
    _annotate(store, toxic, "tox", _tox(True), version="linear:2")  # a newer model says the same of the same words
    assert _fill(store) == 0
    store.write(lambda c: c.execute(update(MESSAGES).values(created_us=now_us())))  # something is said after it
    _annotate(store, toxic, "tox", _tox(True), version="linear:3")
    assert _fill(store) == 1
    assert _held(store) == ({conversation} if hold else set())  # what was held stays held while it waits again


def test_a_reported_reply_is_held_back_until_someone_decided(store: Store) -> None:
    subject, reply = _own_reply(store)
    conversation = store.write(lambda c: reviews.report(c, subject, reply, Why.HARMFUL, "it told me to"))
    assert _held(store) == {conversation} and _queue(store) == {conversation: ["report"]}
    store.write(lambda c: reviews.decide(c, "A", conversation, hold=False))
    assert _held(store) == set()
    store.write(lambda c: reviews.report(c, subject, reply, Why.PERSONAL))
    assert _held(store) == {conversation}
    with store.reading() as connection:
        assert [(r.why, r.comment) for r in connection.execute(select(REPORTS))] == [("personal", None)]


def test_only_ones_own_replies_can_be_reported(store: Store) -> None:
    subject, _ = _own_reply(store)
    (other,) = put_texts(store, "another's")
    for message in (other, "M0", "nothing"):
        with pytest.raises(ChatError):
            store.write(lambda c, m=message: reviews.report(c, subject, m, Why.OTHER))
    assert _queue(store) == {}


def test_the_most_urgent_waits_first(store: Store) -> None:
    made = put_texts(store, "a", "b", "c")
    for message, reason in zip(made, (Reason.PII, Reason.REPORT, Reason.TOX), strict=True):
        conversation = _conversation_of(store, message)
        store.write(lambda c, i=conversation, r=reason: reviews.put_in_queue(c, i, r))
    assert list(_queue(store).values()) == [["report"], ["tox"], ["pii"]]


def test_words_redacted_by_hand_are_spans_beside_those_that_are_known(store: Store) -> None:
    (message,) = put_texts(store, "Call Ada Lovelace at a@b.example. Ada Lovelace!")
    text = "Call Ada Lovelace at a@b.example. Ada Lovelace!"
    known = {"type": "EMAIL_ADDRESS", "start": 21, "end": 32, "score": 0.9, "by": "email"}
    _annotate(store, message, "pii", {"spans": [known]}, version="1")
    assert store.write(lambda c: reviews.redact_words(c, "A", message, text, "Ada Lovelace", "PERSON")) == 2
    assert store.write(lambda c: reviews.redact_words(c, "A", message, text, "Call", "OTHER")) == 1
    with store.reading() as connection:
        newest = annotations.latest(connection, [message], "pii")[message]
    assert newest.provider == "person"
    marked = [(s["type"], text[s["start"] : s["end"]], s["by"]) for s in newest.result["spans"]]
    assert marked == [
        ("OTHER", "Call", "person"),
        ("PERSON", "Ada Lovelace", "person"),
        ("EMAIL_ADDRESS", "a@b.example", "email"),
        ("PERSON", "Ada Lovelace", "person"),
    ]
    for words in ("", "Grace Hopper"):
        with pytest.raises(RefusalError):
            store.write(lambda c, w=words: reviews.redact_words(c, "A", message, text, w, "PERSON"))


def test_erasing_takes_reports_notes_and_reviews_along_and_the_log_still_proves_its_past(store: Store) -> None:
    subject, reply = _own_reply(store)
    conversation = store.write(lambda c: reviews.report(c, subject, reply, Why.OTHER, "uniqueword"))
    store.write(lambda c: reviews.set_note(c, "A", conversation, "anotherword"))
    assert store.write(lambda c: erase_conversation(c, conversation))
    assert not store.write(lambda c: erase_conversation(c, conversation))
    with store.reading() as connection:
        for table in (REPORTS, REVIEWS, MESSAGES):
            assert connection.execute(select(table)).all() == []
        log = str(connection.execute(select(EVENTS)).all())
        assert "uniqueword" not in log and "anotherword" not in log
        verify(connection)
    for job in (
        lambda c: reviews.decide(c, "A", conversation, hold=True),
        lambda c: reviews.set_note(c, "A", "X", "n"),
    ):
        with pytest.raises(RefusalError):
            store.write(job)


def test_each_act_of_an_operator_is_an_event_that_names_the_account(store: Store) -> None:
    (message,) = put_texts(store, "Ada")
    conversation = _conversation_of(store, message)
    store.write(lambda c: reviews.decide(c, "A", conversation, hold=True))
    store.write(lambda c: reviews.decide(c, "A", conversation, hold=False))
    store.write(lambda c: reviews.set_note(c, "A", conversation, "secret note"))
    store.write(lambda c: reviews.redact_words(c, "A", message, "Ada", "Ada", "PERSON"))
    with store.reading() as connection:
        told = connection.execute(select(EVENTS).where(EVENTS.c.kind.startswith("operator.")).order_by(EVENTS.c.seq))
        rows = [(row.kind, row.conversation_id, row.payload) for row in told]
    assert [kind for kind, _, _ in rows] == [
        "operator.held_back",
        "operator.approved",
        "operator.noted",
        "operator.redacted",
    ]
    assert all(where == conversation and '"account":"A"' in payload for _, where, payload in rows)
    assert "secret note" not in str(rows)


def test_nobody_approves_a_reply_that_is_still_being_written(store: Store) -> None:
    _, reply = _own_reply(store)
    conversation = _conversation_of(store, reply)
    mine = MESSAGES.c.message_id == reply
    store.write(lambda c: c.execute(update(MESSAGES).where(mine).values(status="streaming")))
    with pytest.raises(RefusalError, match="still being written"):
        store.write(lambda c: reviews.decide(c, "A", conversation, hold=False))
    store.write(lambda c: reviews.decide(c, "A", conversation, hold=True))
    store.write(lambda c: c.execute(update(MESSAGES).where(mine).values(status="complete")))
    store.write(lambda c: reviews.decide(c, "A", conversation, hold=False))
    assert _held(store) == set()
