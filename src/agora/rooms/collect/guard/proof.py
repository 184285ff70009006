"""Proof of work before a first message: cheap for a person who writes, dear for a program that comes a thousand times.

The server gives a challenge; the client finds a number such that SHA-256 of ``CHALLENGE:NUMBER`` begins with so many
zero bits. A challenge is bound to one visit and lasts an hour. The difficulty grows with the visits that came from the
same address in a day, and with headers that every browser sends.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select

from agora.core.json_text import loads
from agora.rooms.collect.guard.settings import AbuseSettings
from agora.rooms.collect.guard.tables import PROOFS
from agora.site.refusals import RefusalError
from agora.store.consent import KEPT_HEADERS
from agora.store.ids import now_us
from agora.store.keys import Keys
from agora.store.tables import SUBJECTS

_HOUR_US = 3_600_000_000
_MAC = 32  # hex digits


@dataclass(frozen=True, slots=True)
class Challenge:
    """A puzzle for one visit."""

    text: str
    bits: int


def make_challenge(connection: Connection, keys: Keys, settings: AbuseSettings, subject_id: str) -> Challenge | None:
    """The puzzle a visit has to solve; None when it has to solve none, or has done so."""
    if settings.proof_bits == 0 or has_proof(connection, subject_id):
        return None
    bits = min(
        settings.proof_bits + risk_bits(connection, subject_id), max(settings.most_proof_bits, settings.proof_bits)
    )
    body = f"{subject_id}.{bits}.{now_us() // 1_000_000}"
    return Challenge(f"{body}.{_mac(keys, body)}", bits)


def keep_proof(connection: Connection, keys: Keys, subject_id: str, challenge: str, number: str) -> None:
    """Accept a solution.

    Raises:
        RefusalError: ``bad_proof``: the challenge is not of this visit or too old, or the number does not solve it.
    """
    body, _, mac = challenge.rpartition(".")
    if not body or not _same(mac, _mac(keys, body)):
        raise RefusalError("bad_proof", "this challenge is not ours", 403)
    whose, bits, made_s = body.split(".")
    if whose != subject_id or now_us() - int(made_s) * 1_000_000 > _HOUR_US:
        raise RefusalError("bad_proof", "this challenge is of another visit, or too old", 403)
    if not solves(challenge, number, int(bits)):
        raise RefusalError("bad_proof", "this number does not solve the challenge", 403)
    if not has_proof(connection, subject_id):
        connection.execute(insert(PROOFS).values(subject_id=subject_id, bits=int(bits), created_us=now_us()))


def has_proof(connection: Connection, subject_id: str) -> bool:
    """Whether a visit has solved its puzzle."""
    return connection.scalar(select(PROOFS.c.bits).where(PROOFS.c.subject_id == subject_id)) is not None


def solves(challenge: str, number: str, bits: int) -> bool:
    """Whether SHA-256 of ``CHALLENGE:NUMBER`` begins with so many zero bits."""
    digest = hashlib.sha256(f"{challenge}:{number}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest) >> (256 - bits) == 0


def solve(challenge: str, bits: int) -> str:
    """A number that solves a challenge; takes ``2 ** bits`` tries on average. For programs of ours and for tests."""
    begun = hashlib.sha256(f"{challenge}:".encode())
    number = 0
    while True:
        tried = begun.copy()
        tried.update(str(number).encode())
        if int.from_bytes(tried.digest()) >> (256 - bits) == 0:
            return str(number)
        number += 1


def risk_bits(connection: Connection, subject_id: str) -> int:
    """Bits on top: one for each doubling of visits from the address in a day, one for each missing header."""
    row = connection.execute(
        select(SUBJECTS.c.ip_pseudonym, SUBJECTS.c.header_json).where(SUBJECTS.c.subject_id == subject_id)
    ).first()
    if row is None:
        return 0
    headers = loads(row.header_json.encode()) if row.header_json else {}
    missing = sum(name not in headers for name in KEPT_HEADERS)
    lately = select(func.count()).where(
        SUBJECTS.c.ip_pseudonym == row.ip_pseudonym, SUBJECTS.c.created_us > now_us() - 24 * _HOUR_US
    )
    visits = int(connection.scalar(lately) or 1) if row.ip_pseudonym else 1
    return missing + max(0, visits.bit_length() - 1)


def _mac(keys: Keys, body: str) -> str:
    return keys.mac("proof", body).hex()[:_MAC]


def _same(given: str, right: str) -> bool:
    import hmac

    return hmac.compare_digest(given.encode("utf-8", "replace"), right.encode())
