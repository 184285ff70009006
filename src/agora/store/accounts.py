"""Operators' accounts: who may moderate and administer. People who chat have none.

A session is a row, so signing out, disabling an account and a new password end it at once. The token in the cookie is
not stored, only a code of it: who reads the database cannot sign in with what stands there.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from agora.core.errors import DataError, UsageError
from agora.store import events
from agora.store.ids import new_id, now_us
from agora.store.keys import Keys
from agora.store.tables import ACCOUNT_SESSIONS, ACCOUNTS

SESSION_H = 12
LEAST_CHARS = 12
MOST_CHARS = 256
_COSTS = (15, 8, 3)  # log2 N, r, p of scrypt: 32 MiB for a third of a second
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_HOUR_US = 3_600_000_000


class Role(StrEnum):
    """What an account may do. An admin may do all that a moderator may."""

    MODERATOR = "moderator"
    ADMIN = "admin"

    def covers(self, wanted: Role) -> bool:
        """Whether this role is enough where ``wanted`` is asked for."""
        return self is Role.ADMIN or self is wanted


@dataclass(frozen=True, slots=True)
class Account:
    """An operator as the store knows one. Times are microseconds since 1970, UTC."""

    id: str
    name: str
    role: Role
    created_us: int
    disabled_us: int | None


@dataclass(frozen=True, slots=True)
class Operator:
    """A signed-in account. ``session`` binds forms to the session; it is a code, not the cookie's token."""

    id: str
    name: str
    role: Role
    session: str


def add_account(connection: Connection, name: str, role: Role, password: str) -> str:
    """Make an account; its id is returned.

    Args:
        connection: of a transaction that writes.
        name: lower-case letters, digits, ``.``, ``_`` and ``-``; 1 to 63 characters.
        role: what it may do.
        password: at least 12 characters.

    Raises:
        UsageError: the name or the password breaks a rule, or the name is taken.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for an account", hint="use lower-case letters, digits, '.', '_', '-'")
    if _row(connection, name) is not None:
        raise UsageError(
            f"there is an account named {name} already", hint="agora accounts password changes its password"
        )
    account_id = new_id()
    connection.execute(
        insert(ACCOUNTS).values(
            account_id=account_id, name=name, role=role, password=hash_password(password), created_us=now_us()
        )
    )
    log_operator(connection, "account.added", account_id, role=role)
    return account_id


def list_accounts(connection: Connection) -> list[Account]:
    """All accounts by name."""
    return [_account(row) for row in connection.execute(select(ACCOUNTS).order_by(ACCOUNTS.c.name))]


def set_password(connection: Connection, name: str, password: str) -> None:
    """Change a password and end all sessions of the account.

    Raises:
        UsageError: the password is too short or too long.
        DataError: there is no such account.
    """
    account = _required(connection, name)
    connection.execute(
        update(ACCOUNTS).where(ACCOUNTS.c.account_id == account.id).values(password=hash_password(password))
    )
    _end_sessions(connection, account.id)
    log_operator(connection, "account.password_changed", account.id)


def set_disabled(connection: Connection, name: str, *, disabled: bool = True) -> None:
    """Close an account and end its sessions, or open it again.

    Raises:
        DataError: there is no such account.
    """
    account = _required(connection, name)
    at = now_us() if disabled else None
    connection.execute(update(ACCOUNTS).where(ACCOUNTS.c.account_id == account.id).values(disabled_us=at))
    _end_sessions(connection, account.id)
    log_operator(connection, "account.disabled" if disabled else "account.enabled", account.id)


def set_role(connection: Connection, name: str, role: Role) -> None:
    """Change what an account may do; its sessions go on with the new role from their next request.

    Raises:
        DataError: there is no such account.
        UsageError: nobody who can sign in would be an admin any more.
    """
    account = _required(connection, name)
    if account.role is role:
        return
    a = ACCOUNTS.c
    others = select(a.account_id).where(a.role == Role.ADMIN, a.disabled_us.is_(None), a.account_id != account.id)
    if account.role is Role.ADMIN and connection.scalar(others) is None:
        raise UsageError(
            f"{name} is the last admin who can sign in", hint="make another account an admin first: agora accounts role"
        )
    connection.execute(update(ACCOUNTS).where(a.account_id == account.id).values(role=role))
    log_operator(connection, "account.role_changed", account.id, role=role)


def check_password(connection: Connection, name: str, password: str) -> Account | None:
    """The account of a name and its password; None for any other. An unknown name takes as long as a known one."""
    row = _row(connection, name)
    right = _same_password(password, row.password if row is not None else _NOBODY)
    return _account(row) if row is not None and right and row.disabled_us is None else None


def begin_session(connection: Connection, keys: Keys, account: Account) -> str:
    """A new session; the token for the cookie is returned, this once."""
    token, at = secrets.token_urlsafe(32), now_us()
    connection.execute(delete(ACCOUNT_SESSIONS).where(ACCOUNT_SESSIONS.c.expires_us < at))
    connection.execute(
        insert(ACCOUNT_SESSIONS).values(
            session_mac=_mac(keys, token),
            account_id=account.id,
            created_us=at,
            expires_us=at + SESSION_H * _HOUR_US,
        )
    )
    log_operator(connection, "operator.signed_in", account.id)
    return token


def end_session(connection: Connection, operator: Operator) -> None:
    """Sign out: the token means nothing from here on."""
    connection.execute(delete(ACCOUNT_SESSIONS).where(ACCOUNT_SESSIONS.c.session_mac == operator.session))
    log_operator(connection, "operator.signed_out", operator.id)


def operator_of(connection: Connection, keys: Keys, token: str | None) -> Operator | None:
    """Who is signed in with a token; None for an unknown, ended or expired one, and for a disabled account."""
    if not token or len(token) > 128:
        return None
    mac = _mac(keys, token)
    row = connection.execute(
        select(ACCOUNTS.c.account_id, ACCOUNTS.c.name, ACCOUNTS.c.role)
        .join(ACCOUNT_SESSIONS, ACCOUNT_SESSIONS.c.account_id == ACCOUNTS.c.account_id)
        .where(
            ACCOUNT_SESSIONS.c.session_mac == mac,
            ACCOUNT_SESSIONS.c.expires_us > now_us(),
            ACCOUNTS.c.disabled_us.is_(None),
        )
    ).first()
    return Operator(row.account_id, row.name, Role(row.role), mac) if row is not None else None


def log_refused(connection: Connection, name: str) -> None:
    """Write that someone tried a wrong password for an account. A name that no account has leaves nothing."""
    row = _row(connection, name)
    if row is not None:
        log_operator(connection, "operator.sign_in_failed", row.account_id)


def log_operator(
    connection: Connection,
    kind: str,
    account_id: str,
    *,
    subject_id: str | None = None,
    conversation_id: str | None = None,
    message_id: str | None = None,
    **payload: Any,
) -> None:
    """Write what an operator did into the event log: which account, what, on which ids. Never what anyone wrote."""
    told: Mapping[str, Any] = {"account": account_id, **payload}
    events.append(
        connection,
        events.Event(kind, subject_id=subject_id, conversation_id=conversation_id, message_id=message_id, payload=told),
    )


def hash_password(password: str) -> str:
    """A salted scrypt hash with its costs, so that costs can grow later.

    Raises:
        UsageError: fewer than 12 or more than 256 characters.
    """
    if not LEAST_CHARS <= len(password) <= MOST_CHARS:
        raise UsageError(f"a password has {LEAST_CHARS} to {MOST_CHARS} characters, this one has {len(password)}")
    salt = secrets.token_bytes(16)
    costs = "$".join(str(cost) for cost in _COSTS)
    return f"scrypt${costs}${salt.hex()}${_scrypt(password, salt, _COSTS).hex()}"


def _same_password(password: str, stored: str) -> bool:
    _, log_n, r, p, salt, known = stored.split("$")
    made = _scrypt(password[:MOST_CHARS], bytes.fromhex(salt), (int(log_n), int(r), int(p)))
    return hmac.compare_digest(made, bytes.fromhex(known))


def _scrypt(password: str, salt: bytes, costs: tuple[int, int, int]) -> bytes:
    log_n, r, p = costs
    raw = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(raw, salt=salt, n=1 << log_n, r=r, p=p, maxmem=256 * r * (1 << log_n), dklen=32)


# what an unknown name is compared with, so that it takes the same time
_NOBODY = f"scrypt${'$'.join(str(cost) for cost in _COSTS)}${'00' * 16}${'00' * 32}"


def _mac(keys: Keys, token: str) -> str:
    return keys.mac("operator", token).hex()


def _row(connection: Connection, name: str) -> Row[Any] | None:
    return connection.execute(select(ACCOUNTS).where(ACCOUNTS.c.name == name)).first()


def _required(connection: Connection, name: str) -> Account:
    row = _row(connection, name)
    if row is None:
        raise DataError(f"there is no account named {name}", hint="agora accounts list shows all")
    return _account(row)


def _account(row: Row[Any]) -> Account:
    return Account(row.account_id, row.name, Role(row.role), row.created_us, row.disabled_us)


def _end_sessions(connection: Connection, account_id: str) -> None:
    connection.execute(delete(ACCOUNT_SESSIONS).where(ACCOUNT_SESSIONS.c.account_id == account_id))
