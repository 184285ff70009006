"""How often something may happen, counted in the database so that several processes agree."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from agora.core.errors import AgoraError
from agora.store.ids import now_us
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
    for limit, whom in limits:
        window = at - at % (limit.window_s * _SECOND_US)
        used = _add(connection, f"{limit.name}:{whom}"[:96], window)
        if used > limit.most:
            left = window + limit.window_s * _SECOND_US - at
            raise LimitError(limit, max(1, -(-left // _SECOND_US)))


def _add(connection: Connection, bucket: str, window: int) -> int:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    added = (
        dialect.insert(LIMIT_HITS)
        .values(bucket=bucket, window_us=window, count=1)
        .on_conflict_do_update(index_elements=["bucket", "window_us"], set_={"count": LIMIT_HITS.c.count + 1})
    )
    connection.execute(added)
    where = (LIMIT_HITS.c.bucket == bucket) & (LIMIT_HITS.c.window_us == window)
    return int(connection.scalar(select(LIMIT_HITS.c.count).where(where)) or 0)


def forget_old(connection: Connection) -> None:
    """Drop windows that are long over."""
    connection.execute(delete(LIMIT_HITS).where(LIMIT_HITS.c.window_us < now_us() - _KEEP_US))
