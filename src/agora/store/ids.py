"""Ids that sort by the time they were made, and the clock they are made from."""

from __future__ import annotations

import secrets
import threading
import time

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [a + b for a in _CROCKFORD for b in _CROCKFORD]  # the digits of 10 bits
_COUNTED = 1 << 20


def now_us() -> int:
    """Microseconds since 1970, UTC."""
    return time.time_ns() // 1000


def new_id(at_us: int | None = None) -> str:
    """A ULID: 48 bits of milliseconds and 80 bits, 79 of them random, as 26 characters of Crockford's base 32.

    Ids that a process makes for the same millisecond ascend, so that a reply sorts after its question.

    Args:
        at_us: the time it stands for; None is now.
    """
    return _text(_ids.take(1, at_us))


def new_ids(count: int) -> list[str]:
    """ULIDs in ascending order, made together: they share their first 60 random bits (at most 2^20 of them)."""
    if count > _COUNTED:
        raise ValueError(f"at most {_COUNTED} ids are made together, got {count}")
    shared = _text(_ids.take(_COUNTED, None))[:-4]
    return [f"{shared}{_PAIRS[i >> 10]}{_PAIRS[i & 1023]}" for i in range(count)]


def _text(number: int) -> str:
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])


class _Ascending:
    """Hands out numbers of 128 bits; those of one millisecond ascend."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._millis, self._last = -1, 0

    def take(self, count: int, at_us: int | None) -> int:
        """The first of ``count`` numbers in a row that are now the caller's; it is a multiple of ``count``."""
        millis = (now_us() if at_us is None else at_us) // 1000 & (1 << 48) - 1
        with self._lock:
            again = millis == self._millis
            # half the range is left above the first, so that no millisecond runs over into the next
            number = self._last + 1 if again else millis << 80 | secrets.randbits(79)
            number += -number % count
            self._millis, self._last = millis, number + count - 1
        return number


_ids = _Ascending()
