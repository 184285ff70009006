"""A name for everything said so far: equal histories have equal keys, and the next message makes the next key.

The keys roll: each is a hash of the one before and one message, so all prefixes of a history cost one pass over it.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

START = b""  # of an empty history


def next_key(key: bytes, role: str, content: str) -> bytes:
    """The key of a history after one more message."""
    digest = blake2b(key, digest_size=16)
    digest.update(f"\0{role}\0".encode())
    digest.update(content.encode("utf-8", "replace"))
    return digest.digest()


def prefix_keys(turns: Iterable[tuple[str, str]]) -> list[bytes]:
    """One key for each non-empty prefix of ``(role, content)`` turns, shortest first."""
    keys, key = [], START
    for role, content in turns:
        key = next_key(key, role, content)
        keys.append(key)
    return keys
