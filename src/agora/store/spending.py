"""What was spent today, in the store, so that several processes agree and a restart forgets nothing.

A reply is charged at its longest before the model is asked, and corrected when its cost is known, or to the text that
there is once the process that wrote it is known to be dead.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from sqlalchemy import Connection, delete, select, text

from agora.store.ids import now_us
from agora.store.prepared import Prepared
from agora.store.tables import SPENT

DAY_S = 86_400
_KEEP_DAYS = 400


def today() -> int:
    """Days since 1970, UTC."""
    return now_us() // (DAY_S * 1_000_000)


def seconds_left() -> int:
    """Until midnight, UTC."""
    return max(1, DAY_S - now_us() // 1_000_000 % DAY_S)


def spend(connection: Connection, amounts: Mapping[str, int], day: int) -> dict[str, int]:
    """Add to a day's sums, in the caller's transaction; the sums are returned.

    Args:
        connection: of a transaction that writes.
        amounts: by kind, such as ``tokens``; a correction may be negative.
        day: see :func:`today`; a correction belongs to the day of the charge.
    """
    values: dict[str, int | str] = {"day": day}
    for i, (kind, amount) in enumerate(amounts.items()):
        values |= {f"kind{i}": kind, f"amount{i}": amount}
    return dict(_add(len(amounts)).run(connection, values).fetchall())


@cache
def _add(num: int) -> Prepared:
    """Add to some sums and return them: one statement, built once."""
    rows = ", ".join(f"(:day, :kind{i}, :amount{i})" for i in range(num))
    return Prepared(
        text(
            f"INSERT INTO spent (day, kind, amount) VALUES {rows} ON CONFLICT (day, kind) "
            "DO UPDATE SET amount = spent.amount + excluded.amount RETURNING kind, amount"
        )
    )


def spent(connection: Connection, day: int) -> dict[str, int]:
    """A day's sums by kind."""
    found = connection.execute(select(SPENT.c.kind, SPENT.c.amount).where(SPENT.c.day == day))
    return {row.kind: row.amount for row in found}


def forget_spending(connection: Connection) -> None:
    """Drop days that are long over."""
    connection.execute(delete(SPENT).where(SPENT.c.day < today() - _KEEP_DAYS))
