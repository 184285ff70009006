"""Consent as a record of the server: steps in order, words that do not change under a version, receipts shown once."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select

from agora.core.errors import MissingError, UsageError
from agora.store import Store
from agora.store.consent import (
    ConsentError,
    ConsentState,
    ConsentText,
    Subject,
    Visitor,
    accept_terms,
    decide_publication,
    find_subject,
    register_texts,
    require_consent,
    subject_of_receipt,
    withdraw,
)
from agora.store.limits import Limit, LimitError, count, forget_old
from agora.store.tables import EVENTS, LIMIT_HITS, SUBJECTS

TEXT = ConsentText("1", "en", "What is kept.", "What is published.")


def _accepted(store: Store) -> Subject:
    headers = {"user-agent": "Browser/1", "accept-language": "en", "cookie": "secret", "x-other": "1"}
    visitor = Visitor(address="192.0.2.1", headers=headers)
    return store.write(lambda c: accept_terms(c, store.keys, TEXT, visitor))


def _published(store: Store) -> tuple[Subject, str]:
    subject = _accepted(store)
    receipt = store.write(lambda c: decide_publication(c, store.keys, subject.id, TEXT, publish=True))
    assert receipt is not None
    return subject, receipt


def test_both_steps_make_a_subject_who_may_chat(store: Store) -> None:
    subject, receipt = _published(store)
    with store.reading() as connection:
        found = find_subject(connection, subject.id)
        assert require_consent(found, "1").state is ConsentState.PUBLISH
        assert subject_of_receipt(connection, store.keys, receipt.lower()) == found
        assert subject_of_receipt(connection, store.keys, "A" * 34) is None
        kinds = connection.scalars(select(EVENTS.c.kind).order_by(EVENTS.c.seq)).all()
    assert kinds == ["consent.given", "consent.given"]


def test_neither_address_nor_receipt_nor_other_headers_are_stored(store: Store) -> None:
    _, receipt = _published(store)
    with store.reading() as connection:
        row = connection.execute(select(SUBJECTS)).one()
        everything = repr([row, *connection.execute(select(EVENTS)).all()])
    assert "192.0.2.1" not in everything and receipt not in everything and "secret" not in everything
    assert row.header_json == '{"accept-language":"en","user-agent":"Browser/1"}'


@pytest.mark.parametrize(
    ("state", "version", "allow", "code"),
    [
        (None, "1", False, "consent_required"),
        (ConsentState.TERMS, "1", False, "consent_required"),
        (ConsentState.DECLINED, "1", False, "consent_declined"),
        (ConsentState.DECLINED, "1", True, None),
        (ConsentState.WITHDRAWN, "1", True, "consent_withdrawn"),
        (ConsentState.PUBLISH, "2", False, "consent_version_stale"),
        (ConsentState.PUBLISH, "1", False, None),
    ],
)
def test_who_may_chat(state: ConsentState | None, version: str, allow: bool, code: str | None) -> None:
    subject = Subject("s", state, "1", "h", "en", None) if state else None
    if code is None:
        assert require_consent(subject, version, allow_unpublished=allow) is subject
    else:
        with pytest.raises(ConsentError) as raised:
            require_consent(subject, version, allow_unpublished=allow)
        assert raised.value.code == code


def test_the_second_step_is_taken_once_and_after_the_first(store: Store) -> None:
    subject, _ = _published(store)
    for who in (subject.id, "nobody"):
        with pytest.raises(ConsentError, match="each step is taken once"):
            store.write(partial(decide_publication, keys=store.keys, subject_id=who, text=TEXT, publish=True))


def test_words_that_changed_between_the_steps_are_refused(store: Store) -> None:
    subject = _accepted(store)
    changed = replace(TEXT, publication="Other words.")
    with pytest.raises(ConsentError, match="have changed"):
        store.write(lambda c: decide_publication(c, store.keys, subject.id, changed, publish=True))


def test_declining_gives_no_receipt(store: Store) -> None:
    subject = _accepted(store)
    assert store.write(lambda c: decide_publication(c, store.keys, subject.id, TEXT, publish=False)) is None


def test_withdrawing_ends_the_consent(store: Store) -> None:
    subject, _ = _published(store)
    store.write(lambda c: withdraw(c, subject.id))
    with store.reading() as connection, pytest.raises(ConsentError, match="withdrawn"):
        require_consent(find_subject(connection, subject.id), "1")


def test_words_under_a_version_never_change(store: Store) -> None:
    store.write(lambda c: register_texts(c, [TEXT, replace(TEXT, locale="de", terms="Was bleibt.")]))
    store.write(lambda c: register_texts(c, [TEXT]))
    with pytest.raises(ConsentError, match="new version"):
        store.write(lambda c: register_texts(c, [replace(TEXT, terms="Something else.")]))


def test_a_limit_is_counted_for_each_and_a_refused_try_is_not(store: Store) -> None:
    limit = Limit("minute", 3, 3600)
    for _ in range(3):
        store.write(lambda c: count(c, ((limit, "a"),)))
    for _ in range(2):
        with pytest.raises(LimitError) as raised:
            store.write(lambda c: count(c, ((limit, "a"),)))
    assert 1 <= raised.value.retry_after_s <= 3600
    store.write(lambda c: count(c, ((limit, "b"),)))
    store.write(forget_old)
    with store.reading() as connection:
        assert sorted(connection.scalars(select(LIMIT_HITS.c.count))) == [1, 3]


def test_unusable_databases_are_one_clear_line(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    with pytest.raises(UsageError, match="not supported"):
        Store.open("mysql://x/y", keys=keys)
    with pytest.raises(UsageError, match="not a database URL"):
        Store.open("://", keys=keys)
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(MissingError, match="cannot be opened"):
        Store.open(str(tmp_path / "folder.db"), keys=keys)
    with pytest.raises(MissingError, match="cannot be opened"):
        Store.open("postgresql://agora@127.0.0.1:1/none", keys=keys)


def test_a_store_that_is_up_to_date_is_opened_without_a_migration(
    store: Store, store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise AssertionError("migrated")

    monkeypatch.setattr("agora.store.database.migrate", fail)
    Store.open(store_url, keys=tmp_path / "keys.json").close()
    with pytest.raises(AssertionError, match="migrated"):
        Store.open(str(tmp_path / "new.db"), keys=tmp_path / "keys.json")


def test_a_database_of_a_newer_version_is_refused(store: Store, store_url: str, tmp_path: Path) -> None:
    from sqlalchemy import text

    store.write(lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(UsageError, match="another version"):
        Store.open(store_url, keys=tmp_path / "keys.json")
