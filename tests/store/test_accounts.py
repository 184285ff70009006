"""Accounts on both databases: passwords, sessions that really end, a log of what operators do."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from agora.core.errors import DataError, UsageError
from agora.store import Store, accounts
from agora.store.accounts import Role
from agora.store.events import verify
from agora.store.tables import ACCOUNT_SESSIONS, ACCOUNTS, EVENTS

RIGHT = "correct horse battery"


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts, "_COSTS", (8, 8, 1))


def _signed_in(store: Store, name: str = "ada") -> str:
    account = store.write(lambda c: accounts.check_password(c, name, RIGHT))
    assert account is not None
    return store.write(lambda c: accounts.begin_session(c, store.keys, account))


def test_a_password_opens_only_its_own_account(store: Store) -> None:
    store.write(lambda c: accounts.add_account(c, "ada", Role.ADMIN, RIGHT))
    for name, password in [("ada", RIGHT + " "), ("ada", ""), ("bob", RIGHT), ("ADA", RIGHT), ("ada'--", RIGHT)]:
        assert store.write(lambda c, n=name, p=password: accounts.check_password(c, n, p)) is None
    found = store.write(lambda c: accounts.check_password(c, "ada", RIGHT))
    assert found is not None and found.role is Role.ADMIN


def test_no_password_and_no_token_stands_in_the_database(store: Store) -> None:
    store.write(lambda c: accounts.add_account(c, "ada", Role.ADMIN, RIGHT))
    token = _signed_in(store)
    with store.reading() as connection:
        rows = [str(connection.execute(select(table)).all()) for table in (ACCOUNTS, ACCOUNT_SESSIONS, EVENTS)]
        assert all(RIGHT not in text and token not in text for text in rows)
        verify(connection)


@pytest.mark.parametrize("end", ["sign out", "disable", "password", "expire"])
def test_a_session_ends_for_good(store: Store, end: str) -> None:
    store.write(lambda c: accounts.add_account(c, "ada", Role.MODERATOR, RIGHT))
    token = _signed_in(store)
    operator = store.write(lambda c: accounts.operator_of(c, store.keys, token))
    assert operator is not None and operator.name == "ada"
    if end == "sign out":
        store.write(lambda c: accounts.end_session(c, operator))
    elif end == "disable":
        store.write(lambda c: accounts.set_disabled(c, "ada"))
        assert store.write(lambda c: accounts.check_password(c, "ada", RIGHT)) is None
        store.write(lambda c: accounts.set_disabled(c, "ada", disabled=False))
        assert store.write(lambda c: accounts.check_password(c, "ada", RIGHT)) is not None
    elif end == "password":
        store.write(lambda c: accounts.set_password(c, "ada", "another long one"))
    else:
        store.write(lambda c: c.execute(update(ACCOUNT_SESSIONS).values(expires_us=1)))
    assert store.write(lambda c: accounts.operator_of(c, store.keys, token)) is None


@pytest.mark.parametrize("token", [None, "", "x", "x" * 500, "' OR 1=1 --", "\x00", "é"])
def test_a_made_up_token_is_nobody(store: Store, token: str | None) -> None:
    store.write(lambda c: accounts.add_account(c, "ada", Role.ADMIN, RIGHT))
    _signed_in(store)
    assert store.write(lambda c: accounts.operator_of(c, store.keys, token)) is None


def test_what_breaks_a_rule_is_refused(store: Store) -> None:
    store.write(lambda c: accounts.add_account(c, "ada", Role.ADMIN, RIGHT))
    for name, password in [
        ("ada", RIGHT),
        ("Ada", RIGHT),
        ("", RIGHT),
        ("a" * 64, RIGHT),
        ("bob", "short"),
        ("b\n", RIGHT),
    ]:
        with pytest.raises(UsageError):
            store.write(lambda c, n=name, p=password: accounts.add_account(c, n, Role.ADMIN, p))
    with pytest.raises(DataError, match="no account named bob"):
        store.write(lambda c: accounts.set_disabled(c, "bob"))
    with store.reading() as connection:
        assert [account.name for account in accounts.list_accounts(connection)] == ["ada"]


def test_a_moderator_is_no_admin() -> None:
    assert Role.ADMIN.covers(Role.MODERATOR) and Role.ADMIN.covers(Role.ADMIN)
    assert Role.MODERATOR.covers(Role.MODERATOR) and not Role.MODERATOR.covers(Role.ADMIN)


def test_the_cost_of_a_password_stays_with_its_hash(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write(lambda c: accounts.add_account(c, "ada", Role.ADMIN, RIGHT))
    monkeypatch.setattr(accounts, "_COSTS", (9, 8, 1))
    assert store.write(lambda c: accounts.check_password(c, "ada", RIGHT)) is not None


def test_a_new_role_counts_from_the_next_request_and_is_logged(store: Store) -> None:
    store.write(lambda c: accounts.add_account(c, "ada", Role.ADMIN, RIGHT))
    store.write(lambda c: accounts.add_account(c, "bob", Role.MODERATOR, RIGHT))
    token = _signed_in(store, "bob")
    for role in (Role.ADMIN, Role.ADMIN, Role.MODERATOR):
        store.write(lambda c, r=role: accounts.set_role(c, "bob", r))
        operator = store.write(lambda c: accounts.operator_of(c, store.keys, token))
        assert operator is not None and operator.role is role
    with store.reading() as connection:
        kinds = list(connection.scalars(select(EVENTS.c.kind)))
        verify(connection)
    assert kinds.count("account.role_changed") == 2  # the same role again is no change


def test_the_last_admin_who_can_sign_in_stays_one(store: Store) -> None:
    store.write(lambda c: accounts.add_account(c, "ada", Role.ADMIN, RIGHT))
    store.write(lambda c: accounts.add_account(c, "bob", Role.ADMIN, RIGHT))
    store.write(lambda c: accounts.set_disabled(c, "bob"))
    with pytest.raises(UsageError, match="ada is the last admin"):
        store.write(lambda c: accounts.set_role(c, "ada", Role.MODERATOR))
    store.write(lambda c: accounts.set_disabled(c, "bob", disabled=False))
    store.write(lambda c: accounts.set_role(c, "ada", Role.MODERATOR))
    with pytest.raises(DataError, match="no account named eve"):
        store.write(lambda c: accounts.set_role(c, "eve", Role.ADMIN))
