"""Annotations of messages, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from agora.core.errors import UsageError
from agora.rooms.collect.enrich.annotations import Annotation, add, latest, latest_by_provider
from agora.rooms.collect.erase import erase_subject
from agora.rooms.collect.tables import ANNOTATIONS
from agora.store import Store
from tests.rooms.collect.enrich.stored import put_texts


def _add(store: Store, *annotations: Annotation) -> int:
    return store.write(lambda c: add(c, annotations))


def test_the_newest_version_is_read_and_the_older_one_stays(store: Store) -> None:
    first, second = put_texts(store, "good morning", "guten Morgen")
    assert _add(store, Annotation(first, "lang", "1", {"code": "en"}), Annotation(second, "lang", "1", {})) == 2
    assert _add(store, Annotation(first, "lang", "2", {"code": "en", "mixed": False})) == 1
    with store.reading() as connection:
        found = latest(connection, [first, second, first, "no such message"], "lang")
        assert connection.scalar(select(func.count()).select_from(ANNOTATIONS)) == 3
    assert list(found) == [first, second]
    assert found[first].version == "2" and found[first].result == {"code": "en", "mixed": False}
    assert found[second].version == "1" and found[second].created_us > 1_700_000_000_000_000


def test_adding_the_same_annotation_twice_keeps_the_first(store: Store) -> None:
    (only,) = put_texts(store, "a")
    assert _add(store, Annotation(only, "lang", "1", {"code": "en"})) == 1
    assert _add(store, Annotation(only, "lang", "1", {"code": "de"})) == 0
    with store.reading() as connection:
        assert latest(connection, [only], "lang")[only].result == {"code": "en"}


def test_each_provider_of_a_kind_has_its_own_newest_row(store: Store) -> None:
    (only,) = put_texts(store, "a")
    for version in ("linear:1", "openai:1", "linear:2"):
        _add(store, Annotation(only, "tox", version, {"provider": version}))
    with store.reading() as connection:
        found = latest_by_provider(connection, [only], "tox")[only]
    assert {provider: a.version for provider, a in found.items()} == {"linear": "linear:2", "openai": "openai:1"}


def test_more_messages_than_one_statement_holds(store: Store) -> None:
    ids = put_texts(store, *[f"text {n}" for n in range(1203)])
    assert _add(store, *[Annotation(m, "lang", "1", {"n": n}) for n, m in enumerate(ids)]) == 1203
    with store.reading() as connection:
        found = latest(connection, ids, "lang")
    assert [found[m].result["n"] for m in ids] == list(range(1203))


def test_an_erased_message_is_passed_over_and_its_annotations_are_gone(store: Store) -> None:
    from agora.rooms.collect.conversations import create_conversation
    from agora.store.consent import ConsentText, Visitor, accept_terms
    from tests.rooms.collect.begun import begin

    text = ConsentText("1", "en", "terms", "publication")
    subject = store.write(lambda c: accept_terms(c, store.keys, text, Visitor()))
    conversation = store.write(lambda c: create_conversation(c, subject.id))
    message = begin(store, subject.id, conversation, "hello").parent_id
    assert _add(store, Annotation(message, "lang", "1", {"code": "en"})) == 1
    store.write(lambda c: erase_subject(c, subject.id))
    assert _add(store, Annotation(message, "lang", "2", {"code": "en"})) == 0
    with store.reading() as connection:
        assert latest(connection, [message], "lang") == {}


def test_an_unknown_kind_and_a_long_version_are_refused(store: Store) -> None:
    with pytest.raises(UsageError, match=r"kind 'lnag'; did you mean lang\?"):
        _add(store, Annotation("m", "lnag", "1", {}))
    with pytest.raises(UsageError, match="at most 32 characters"):
        _add(store, Annotation("m", "lang", "v" * 33, {}))
