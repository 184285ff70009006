"""Searches an operator keeps under a name."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from agora.core.json_text import dumps, loads
from agora.rooms.collect.explore.selection import Selection
from agora.rooms.collect.explore.tables import SAVED_SEARCHES
from agora.store.ids import new_id, now_us

_NAME_CHARS = 120


@dataclass(frozen=True, slots=True)
class SavedSearch:
    """A name and what it stands for."""

    id: str
    name: str
    selection: Selection


def save_search(connection: Connection, owner: str, name: str, selection: Selection) -> str:
    """Keep a selection under a name, which is its words where none is given; its id is returned."""
    saved_id = new_id()
    shown = name.strip() or selection.words or " ".join(f"{k}={v}" for k, v in selection.params().items()) or "*"
    connection.execute(
        insert(SAVED_SEARCHES).values(
            saved_id=saved_id,
            owner=owner,
            name=shown[:_NAME_CHARS],
            query_json=dumps(selection.params()).decode(),
            created_us=now_us(),
        )
    )
    return saved_id


def saved_searches(connection: Connection, owner: str) -> list[SavedSearch]:
    """All of an operator, by name."""
    s = SAVED_SEARCHES.c
    query = select(s.saved_id, s.name, s.query_json).where(s.owner == owner).order_by(s.name, s.saved_id)
    return [
        SavedSearch(row.saved_id, row.name, Selection.of(loads(row.query_json.encode())))
        for row in connection.execute(query)
    ]


def forget_search(connection: Connection, owner: str, saved_id: str) -> None:
    """Remove one of an operator's own."""
    s = SAVED_SEARCHES.c
    connection.execute(delete(SAVED_SEARCHES).where(s.owner == owner, s.saved_id == saved_id))
