"""Annotations: what a pipeline of some version found out about a message. A new version adds a row.

No row is ever overwritten.

========== ==================================================================================================
kind       result
========== ==================================================================================================
`lang`     ``{"code": "en", "name": "English", "source": "agree", "score": 0.98, "mixed": false}``
`pii`      ``{"spans": [{"type": "EMAIL_ADDRESS", "start": 3, "end": 17, "score": 0.85, "by": "email"}]}``
`secret`   as `pii`; offsets count characters of the message, and the values themselves are never kept
`tox`      ``{"flagged": false, "categories": {}, "scores": {}, "provider": "linear"}``, one row a provider
`geo`      ``{"country": "United Kingdom", "country_iso": "GB", "state": "England"}``
`dup`      ``{"cluster": "<id of the cluster's first message>", "exact": true}``
`topic`    ``{"topic": 3, "x": 0.1, "y": -0.4, "terms": ["sea", "ship"]}``
`category` ``{"category": "sea, ship, wind"}``; empty where a topic has no words of its own
========== ==================================================================================================

A kind with several providers (`tox`) names the provider before a colon in its version: ``linear:1``, ``openai:1``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, select

from agora.core.errors import UsageError
from agora.core.files import nearest
from agora.core.json_text import dumps, loads
from agora.rooms.collect.tables import ANNOTATIONS, MESSAGES
from agora.store import events
from agora.store.ids import now_us

#: All kinds there are.
KINDS = ("lang", "pii", "secret", "tox", "geo", "dup", "topic", "category")
MAX_VERSION_CHARS = 32
_IN_ONE_QUERY = 500  # ids; databases bound the number of values in a statement
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Annotation:
    """One result. ``created_us`` is the time it was stored, microseconds since 1970, UTC; 0 for one not yet stored."""

    message_id: str
    kind: str
    version: str
    result: Mapping[str, Any]
    created_us: int = 0

    @property
    def provider(self) -> str:
        """The part of the version before a colon; of a version without one, all of it."""
        return self.version.partition(":")[0]


def check_kinds(kinds: Iterable[str]) -> None:
    """Refuse a kind that does not exist.

    Raises:
        UsageError: names it and the nearest one.
    """
    for kind in kinds:
        if kind not in KINDS:
            near = nearest(kind, list(KINDS))
            hint = f"did you mean {near}?" if near else f"kinds are {', '.join(KINDS)}"
            raise UsageError(f"there is no annotation of kind {kind!r}", hint=hint)


def add(connection: Connection, annotations: Iterable[Annotation]) -> int:
    """Store annotations inside the caller's transaction; how many are new is returned.

    One that is there already (same message, kind and version) stays as it is, and one of a message that was erased in
    the meantime is passed over: both are what a second worker or a person may do at any moment.

    Raises:
        UsageError: a kind does not exist, or a version is longer than 32 characters.
    """
    events.take_turns(connection)  # before rows are held: who erases takes its turn first too
    added, at = 0, now_us()
    insert = _insert_of(connection.dialect.name)(ANNOTATIONS)
    for batch in _batched(annotations):
        check_kinds({a.kind for a in batch})
        long = next((a.version for a in batch if len(a.version) > MAX_VERSION_CHARS), None)
        if long is not None:
            raise UsageError(f"a version has at most {MAX_VERSION_CHARS} characters, got {long!r}")
        held = select(MESSAGES.c.message_id).where(MESSAGES.c.message_id.in_({a.message_id for a in batch}))
        # on PostgreSQL the rows are held, so that nobody can erase them before this transaction ends
        there = set(connection.scalars(held.with_for_update(read=True, key_share=True)))
        rows = [
            {
                "message_id": a.message_id,
                "kind": a.kind,
                "pipeline_version": a.version,
                "result_json": dumps(dict(a.result)).decode(),
                "created_us": at,
            }
            for a in batch
            if a.message_id in there
        ]
        if rows:
            added += len(connection.scalars(insert.on_conflict_do_nothing().returning(ANNOTATIONS.c.kind), rows).all())
    return added


def latest(connection: Connection, message_ids: Sequence[str], kind: str) -> dict[str, Annotation]:
    """The newest annotation of a kind by message; a message without one is left out.

    Of a kind with several providers this is the newest of any of them; see :func:`latest_by_provider`.
    """
    return {a.message_id: a for a in _oldest_first(connection, message_ids, kind)}


def latest_by_provider(
    connection: Connection, message_ids: Sequence[str], kind: str
) -> dict[str, dict[str, Annotation]]:
    """The newest annotation of each provider, by message and provider; a message without any is left out."""
    found: dict[str, dict[str, Annotation]] = {}
    for a in _oldest_first(connection, message_ids, kind):
        found.setdefault(a.message_id, {})[a.provider] = a
    return found


def _oldest_first(connection: Connection, message_ids: Sequence[str], kind: str) -> Iterator[Annotation]:
    check_kinds([kind])
    for ids in _batched(dict.fromkeys(message_ids)):
        query = (
            select(ANNOTATIONS)
            .where(ANNOTATIONS.c.message_id.in_(ids), ANNOTATIONS.c.kind == kind)
            .order_by(ANNOTATIONS.c.created_us, ANNOTATIONS.c.pipeline_version)
        )
        yield from map(_annotation, connection.execute(query))


def _insert_of(dialect: str) -> Any:
    """The INSERT of a database that can leave out rows; only the one that is used is loaded."""
    return import_module(f"sqlalchemy.dialects.{dialect}").insert


def _batched(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, _IN_ONE_QUERY)):
        yield batch


def _annotation(row: Row[Any]) -> Annotation:
    result = loads(row.result_json.encode())
    return Annotation(row.message_id, row.kind, row.pipeline_version, result, row.created_us)
