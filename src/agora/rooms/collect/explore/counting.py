"""How many conversations have which value of each facet: kept as rows that change with the index, in its transactions.

The counts of everything then cost what they hold, however many conversations there are; a selection is still counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, text

from agora.rooms.collect.explore.tables import SEARCH_CONVERSATIONS, SEARCH_COUNTS

FACETS = ("language", "country", "model", "toxic", "redacted", "source", "category", "topic", "month")
_ALL = "conversations"
_YES_NO = ("toxic", "redacted")
_UNKNOWN = ""  # no facet has an empty value
_ADD = text(
    "INSERT INTO search_counts (facet, value, conversations) VALUES (:facet, :value, :more) ON CONFLICT (facet, value) "
    "DO UPDATE SET conversations = search_counts.conversations + excluded.conversations"
)
_FACTS = select(*(SEARCH_CONVERSATIONS.c[name] for name in FACETS)).where(
    SEARCH_CONVERSATIONS.c.number.in_(bindparam("numbers", expanding=True))
)
_AT_ONCE = 5000


def facts_of(connection: Connection, numbers: Sequence[int]) -> list[Mapping[str, Any]]:
    """What the index says of some conversations now, to be taken out of the counts."""
    found: list[Mapping[str, Any]] = []
    for start in range(0, len(numbers), _AT_ONCE):
        part = connection.execute(_FACTS, {"numbers": numbers[start : start + _AT_ONCE]})
        found += map(dict, part.mappings())
    return found


def change_counts(
    connection: Connection, *, come: Iterable[Mapping[str, Any]] = (), gone: Iterable[Mapping[str, Any]] = ()
) -> None:
    """Count conversations in and out; each is given by its facets, others of its columns are passed over."""
    change: Counter[tuple[str, str]] = Counter()
    for facts, by in ((come, 1), (gone, -1)):
        counted = Counter(tuple(map(fact.__getitem__, FACETS)) for fact in facts)
        for values, times in counted.items():
            change[_ALL, _UNKNOWN] += by * times
            for name, value in zip(FACETS, values, strict=True):
                change[name, _written(name, value)] += by * times
    rows = [{"facet": name, "value": value, "more": more} for (name, value), more in sorted(change.items()) if more]
    if not rows:
        return
    connection.execute(_ADD, rows)
    if any(more < 0 for more in change.values()):
        connection.execute(delete(SEARCH_COUNTS).where(SEARCH_COUNTS.c.conversations == 0))


def forget_counts(connection: Connection) -> None:
    """The index is empty."""
    connection.execute(delete(SEARCH_COUNTS))


def count_everything(connection: Connection) -> tuple[int, dict[str, Counter[Any]]]:
    """All conversations of the index, and of each facet how many have which value (None: not known)."""
    counters: dict[str, Counter[Any]] = {name: Counter() for name in FACETS}
    total = 0
    for row in connection.execute(select(SEARCH_COUNTS)):
        if row.facet == _ALL:
            total = row.conversations
        else:
            counters[row.facet][_read(row.facet, row.value)] = row.conversations
    return total, counters


def _written(name: str, value: Any) -> str:
    if value is None:
        return _UNKNOWN
    return ("yes" if value else "no") if name in _YES_NO else str(value)


def _read(name: str, value: str) -> Any:
    if value == _UNKNOWN:
        return None
    return value == "yes" if name in _YES_NO else int(value) if name == "topic" else value
