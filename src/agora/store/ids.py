"""Ids that sort by the time they were made, and the clock they are made from."""

from __future__ import annotations

import secrets
import time

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def now_us() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def new_id(at_us: int | None = None) -> str:
    """A ULID: 48 bits of milliseconds and 80 random bits as 26 characters of Crockford's base 32.

    Args:
        at_us: the time it stands for; None is now.
    """
    millis = (now_us() if at_us is None else at_us) // 1000
    number = (millis & (1 << 48) - 1) << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def new_ids(count: int) -> list[str]:
    """ULIDs in ascending order, made together: 60 random bits that they share and 20 bits that count (at most 2^20)."""
    if count > 1 << 20:
        raise ValueError(f"at most {1 << 20} ids are made together, got {count}")
    shared = new_id()[:-4]
    digits = _CROCKFORD
    return [
        f"{shared}{digits[i >> 15]}{digits[i >> 10 & 31]}{digits[i >> 5 & 31]}{digits[i & 31]}" for i in range(count)
    ]
