"""What stands for a person, a conversation and a round in a release; nothing of it can be joined with another release.

All are made with the release's own key (:meth:`agora.store.keys.Keys.release`), unless the operator chose one key for a
series and says so on the card.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import Any

_HALF_BITS = 31
_HALF = (1 << _HALF_BITS) - 1
_ROUNDS = 4  # four rounds of a keyed function make a pseudorandom permutation (Luby and Rackoff 1988)


@dataclass(frozen=True, slots=True)
class ReleaseKey:
    """The key of one release."""

    secret: bytes = field(repr=False)

    def person(self, subject: str) -> bytes:
        """32 bytes that stand for a subject; 64 hex digits of them are the column ``hashed_ip`` of compat profiles."""
        return _hmac(self.secret, b"subject" + subject.encode())

    def conversation(self, conversation_id: str) -> bytes:
        """16 bytes that stand for a conversation, and by which the rows of one person are ordered."""
        return _hmac(self.secret, b"conversation" + conversation_id.encode())[:16]

    def message(self, message_id: str) -> str:
        """32 hex digits that stand for a message."""
        return _hmac(self.secret, b"message" + message_id.encode())[:16].hex()

    def turn(self, number: int) -> int:
        """The published number of a round: a keyed permutation of 0..2^62-1, moved up by one.

        Different numbers stay different, all are positive, and their order tells nothing.
        """
        left, right = number >> _HALF_BITS, number & _HALF
        for prepared in _mixers(self.secret):
            mixer = prepared.copy()
            mixer.update(right.to_bytes(4, "big"))
            left, right = right, left ^ int.from_bytes(mixer.digest(), "big") & _HALF
        return (left << _HALF_BITS | right) + 1


def _hmac(secret: bytes, message: bytes) -> bytes:
    """HMAC-SHA-256, faster than :func:`hmac.digest`, which prepares the key anew for each message."""
    keyed = _keyed(secret).copy()
    keyed.update(message)
    return keyed.digest()


@lru_cache(maxsize=16)
def _keyed(secret: bytes) -> hmac.HMAC:
    """What a key begins, ready to be copied."""
    return hmac.new(secret, digestmod="sha256")


@lru_cache(maxsize=16)
def _mixers(secret: bytes) -> tuple[Any, ...]:
    """The keyed function of each step, ready to be copied: keying one costs more than using it."""
    return tuple(blake2b(digest_size=4, key=secret, salt=bytes([step])) for step in range(_ROUNDS))
