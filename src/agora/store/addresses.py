"""Raw network addresses, for a few days and against abuse alone: encrypted, apart from everything else, then deleted.

The key is derived from the master secret, which lives outside the database; whoever has the database alone has none of
the addresses. Blocks name pseudonyms, so they outlive the addresses.
"""

from __future__ import annotations

import base64
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from agora.store.accounts import log_operator
from agora.store.ids import now_us
from agora.store.keys import Keys
from agora.store.pseudonyms import canonical_ip, ip_pseudonym
from agora.store.tables import ADDRESSES, BLOCKS

_HOUR_US = 3_600_000_000
_DAY_US = 24 * _HOUR_US


def remember_address(connection: Connection, keys: Keys, address: str | None) -> None:
    """Keep an address, encrypted, with the time it was last seen."""
    canonical = canonical_ip(address) if address else None
    _, pseudonym = ip_pseudonym(keys, address)
    if canonical is None or pseudonym is None:
        return
    at = now_us()
    seen = update(ADDRESSES).where(ADDRESSES.c.ip_pseudonym == pseudonym).values(seen_us=at)
    if connection.execute(seen).rowcount == 0:
        sealed = _cipher(keys).encrypt(canonical.encode())
        connection.execute(insert(ADDRESSES).values(ip_pseudonym=pseudonym, sealed=sealed, seen_us=at))


def reveal_address(connection: Connection, keys: Keys, account_id: str, pseudonym: str) -> str | None:
    """The address behind a pseudonym while it is kept; that someone asked is written into the event log."""
    from cryptography.fernet import InvalidToken

    log_operator(connection, "operator.address_read", account_id, pseudonym=pseudonym[:64])
    sealed = connection.scalar(select(ADDRESSES.c.sealed).where(ADDRESSES.c.ip_pseudonym == pseudonym))
    if sealed is None:
        return None
    try:
        return str(_cipher(keys).decrypt(bytes(sealed)).decode())
    except InvalidToken:  # of an earlier master secret
        return None


def forget_addresses(connection: Connection, hours: int) -> int:
    """Delete addresses that were not seen for so long, and blocks that are over; how many addresses is returned."""
    at = now_us()
    connection.execute(delete(BLOCKS).where(BLOCKS.c.until_us < at))
    return connection.execute(delete(ADDRESSES).where(ADDRESSES.c.seen_us < at - hours * _HOUR_US)).rowcount


@dataclass(frozen=True, slots=True)
class Block:
    """A pseudonym that may not chat. Times are microseconds since 1970, UTC."""

    pseudonym: str
    until_us: int
    account_id: str


def block(connection: Connection, account_id: str, pseudonym: str, days: int) -> None:
    """Refuse the chat to whoever comes from the address behind a pseudonym, for some days."""
    values: dict[str, Any] = {"until_us": now_us() + days * _DAY_US, "account_id": account_id}
    if connection.execute(update(BLOCKS).where(BLOCKS.c.ip_pseudonym == pseudonym).values(**values)).rowcount == 0:
        connection.execute(insert(BLOCKS).values(ip_pseudonym=pseudonym, **values))
    log_operator(connection, "operator.blocked", account_id, pseudonym=pseudonym, days=days)


def unblock(connection: Connection, account_id: str, pseudonym: str) -> None:
    """End a block."""
    connection.execute(delete(BLOCKS).where(BLOCKS.c.ip_pseudonym == pseudonym))
    log_operator(connection, "operator.unblocked", account_id, pseudonym=pseudonym[:64])


def list_blocks(connection: Connection) -> list[Block]:
    """The blocks in force, the longest first."""
    found = connection.execute(select(BLOCKS).where(BLOCKS.c.until_us > now_us()).order_by(BLOCKS.c.until_us.desc()))
    return [Block(row.ip_pseudonym, row.until_us, row.account_id) for row in found]


def is_blocked(connection: Connection, pseudonyms: Collection[str]) -> bool:
    """Whether one of the pseudonyms is blocked now."""
    if not pseudonyms:
        return False
    where = BLOCKS.c.ip_pseudonym.in_(pseudonyms) & (BLOCKS.c.until_us > now_us())
    return connection.scalar(select(BLOCKS.c.ip_pseudonym).where(where).limit(1)) is not None


def _cipher(keys: Keys) -> Any:
    from cryptography.fernet import Fernet

    return Fernet(base64.urlsafe_b64encode(keys.derived("address")))
