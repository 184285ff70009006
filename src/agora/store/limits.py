"""How often something may happen, counted in the database so that several processes agree."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from sqlalchemy import Connection, delete, text

from agora.core.errors import AgoraError
from agora.store.ids import now_us
from agora.store.prepared import Prepared
from agora.store.tables import LIMIT_HITS

_SECOND_US = 1_000_000
_KEEP_US = 2 * 86_400 * _SECOND_US


@dataclass(frozen=True, slots=True)
class Limit:
    """At most ``most`` times in each window of ``window_s`` seconds."""

    name: str
    most: int
    window_s: int


class LimitError(AgoraError):
    """Too often. ``retry_after_s`` is when the window ends."""

    def __init__(self, limit: Limit, retry_after_s: int) -> None:
        super().__init__(f"at most {limit.most} in {limit.window_s} seconds; wait {retry_after_s} seconds")
        self.limit = limit
        self.retry_after_s = retry_after_s


def count(connection: Connection, limits: tuple[tuple[Limit, str], ...]) -> None:
    """Count one more for each limit and whom it is for.

    Raises:
        LimitError: one of them is over; the caller's transaction is undone, so a refused request is not counted.
    """
    at = now_us()
    values: dict[str, str | int] = {}
    by_bucket: dict[str, tuple[Limit, int]] = {}
    for i, (limit, whom) in enumerate(limits):
        window = at - at % (limit.window_s * _SECOND_US)
        bucket = f"{limit.name}:{whom}"[:96]
        values |= {f"bucket{i}": bucket, f"window{i}": window}
        by_bucket[bucket] = limit, window
    used = dict(_add(len(limits)).run(connection, values).fetchall())
    for bucket, (limit, window) in by_bucket.items():
        if used[bucket] > limit.most:
            left = window + limit.window_s * _SECOND_US - at
            raise LimitError(limit, max(1, -(-left // _SECOND_US)))


@cache
def _add(num: int) -> Prepared:
    """One more in each of some windows, and what that makes: one statement, however many they are."""
    rows = ", ".join(f"(:bucket{i}, :window{i}, 1)" for i in range(num))
    added = text(
        f"INSERT INTO limit_hits (bucket, window_us, count) VALUES {rows} ON CONFLICT (bucket, window_us) "
        "DO UPDATE SET count = limit_hits.count + 1 RETURNING bucket, count"
    )
    return Prepared(added)


def forget_old(connection: Connection) -> None:
    """Drop windows that are long over."""
    connection.execute(delete(LIMIT_HITS).where(LIMIT_HITS.c.window_us < now_us() - _KEEP_US))
