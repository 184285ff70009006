"""Receipts: the one thing that lets an anonymous person have their words erased. Only a code of it is stored."""

from __future__ import annotations

import base64
import secrets

_RANDOM_BYTES = 20  # 160 bits: 32 characters of base 32
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
LENGTH = 34


def new_receipt() -> str:
    """32 random characters of base 32 and two check characters, in groups of five for people to write down."""
    body = base64.b32encode(secrets.token_bytes(_RANDOM_BYTES)).decode()
    return _grouped(body + _check(body))


def read_receipt(text: str) -> str | None:
    """The receipt as it was given out, whatever spaces, hyphens and case it was typed with; None with a typing error.

    The check characters find every single wrong character and every swap of neighbors, before a database is asked.
    """
    plain = "".join(text.split()).replace("-", "").upper().replace("0", "O").replace("1", "I").replace("8", "B")
    if len(plain) != LENGTH or any(c not in _ALPHABET for c in plain):
        return None
    return _grouped(plain) if _check(plain[:-2]) == plain[-2:] else None


def _check(body: str) -> str:
    """Two sums over the places, modulo a prime above the alphabet's size squared over two: weights differ by place."""
    first = sum((i + 1) * _ALPHABET.index(c) for i, c in enumerate(body)) % 1021
    return _ALPHABET[first >> 5] + _ALPHABET[first & 31]


def _grouped(text: str) -> str:
    return "-".join(text[i : i + 5] for i in range(0, len(text), 5))
