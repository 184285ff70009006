"""What a batch of conversations says in a release: its messages as the store has them, a list a fact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import pairwise
from typing import Any

import zstandard
from sqlalchemy import Connection, Select, func, null, select

from agora.rooms.collect.release.asked import Asked
from agora.rooms.collect.release.columns import neighbors
from agora.rooms.collect.release.found import Findings, Moderation, Reader, annotations_column
from agora.rooms.collect.release.imported import fill_from_import
from agora.rooms.collect.release.paths import Node, choose
from agora.rooms.collect.release.planned import Planned
from agora.rooms.collect.tables import CONVERSATIONS, FEEDBACK, MESSAGES
from agora.store.prepared import plain_rows

_Columns = Sequence[Sequence[Any]]  # of the query: a list a fact


@dataclass
class Said:
    """The messages of some conversations, one list a fact, each list with one entry a message.

    Conversation i has the messages ``starts[i]:starts[i + 1]``, parents first. ``done_us`` is when a message was
    whole, microseconds since 1970, UTC; what a profile does not publish is not read (None).
    """

    starts: list[int]
    ids: Sequence[str]
    parents: Sequence[str | None]
    roles: Sequence[str]
    statuses: Sequence[str | None]
    done_us: Sequence[int]
    models: Sequence[str | None]
    params: Sequence[str | None]
    usages: Sequence[str | None]
    finish_reasons: Sequence[str | None]
    ratings: Sequence[int | None]
    found: Sequence[Findings]
    texts: list[str]
    toxic: list[bool]
    redacted: list[bool]

    @cached_property
    def spans(self) -> list[tuple[int, int]]:
        """Where each conversation's messages begin and end."""
        return list(pairwise(self.starts))

    def without(self, places: Sequence[int]) -> Said:
        """All but some conversations that have no messages."""
        empty = {place + 1 for place in places}
        return replace(self, starts=[start for i, start in enumerate(self.starts) if i not in empty])

    def any_of(self, facts: Sequence[bool]) -> list[bool]:
        """Of each conversation, whether something is true of a message of it."""
        return [True in facts[start:end] for start, end in self.spans]

    @cached_property
    def last_models(self) -> list[str | None]:
        """Of each conversation, the model of the last reply that names one."""
        replies = [model if role == "assistant" else None for role, model in zip(self.roles, self.models, strict=True)]
        return [next(filter(None, reversed(replies[start:end])), None) for start, end in self.spans]


def moderation_of(asked: Asked) -> Moderation:
    """How much of moderation the rows of a release need."""
    return "scores" if asked.settings.profile == "native" else "verdicts"


def read_said(connection: Connection, asked: Asked, planned: Planned, reader: Reader) -> tuple[Said, list[int]]:
    """The chosen messages of some conversations, and the places of those that were erased since they were planned.

    Args:
        connection: to the store.
        asked: decides which messages.
        planned: rows of the plan; those that were erased have no messages.
        reader: of annotations.
    """
    ids, native = planned.values("conversation_id"), asked.settings.profile == "native"
    query = _messages(asked.settings.profile).where(MESSAGES.c.conversation_id.in_(ids))
    columns: _Columns = list(zip(*plain_rows(connection, query), strict=True)) or [()] * len(query.selected_columns)
    found = [reader.read(told) for told in columns[-1]]
    places = neighbors(columns[0])
    for conversation_id, imported in _imports(connection, asked, ids).items():
        whole = places.get(conversation_id, range(0))
        found[whole.start : whole.stop] = own = [reader.read_anew(columns[-1][i]) for i in whole]
        fill_from_import(imported, own)
    starts, order, gone = [0], list[int](), list[int]()
    for place, conversation_id in enumerate(ids):
        whole = places.get(conversation_id, range(0))
        if planned.values("leaf")[place] not in columns[1][whole.start : whole.stop]:
            gone.append(place)
        else:
            order += (_thread if asked.linear else _tree)(asked, planned, place, columns, whole)
        starts.append(len(order))
    unpack = zstandard.ZstdDecompressor().decompress
    texts = [str(unpack(columns[-2][i]), "utf-8") for i in order]
    found = [found[i] for i in order]
    names, parents, roles, statuses, _, done_us, *rest = ([fact[i] for i in order] for fact in columns[1:-2])
    models, params, usages, reasons = rest
    rating = _ratings(connection, ids) if native else {}
    threshold = asked.settings.selection.toxicity_threshold
    said = Said(
        starts=starts,
        ids=names,
        parents=parents,
        roles=roles,
        statuses=statuses,
        done_us=done_us,
        models=models,
        params=params,
        usages=usages,
        finish_reasons=reasons,
        ratings=[rating.get(name) for name in names] if native else [None] * len(names),
        found=found,
        texts=texts,
        toxic=[one.telling and text != "" and one.is_toxic(threshold) for one, text in zip(found, texts, strict=True)],
        redacted=[False] * len(texts),
    )
    return said, gone


@cache
def _messages(profile: str) -> Select[Any]:
    """Conversation, id, parent, role, four facts that profiles differ in, ..., text, annotations; by conversation."""
    m = MESSAGES.c
    native, spent = profile == "native", profile in ("native", "compat-4.8m")
    return select(
        *(m.conversation_id, m.message_id, m.parent_id, m.role),
        *((m.status, m.created_us) if native else (null(), null())),
        func.coalesce(m.completed_us, m.created_us),
        m.model,
        *((m.params_json, m.usage_json) if spent else (null(), null())),
        m.finish_reason if native else null(),
        m.content_zstd,
        annotations_column("scores" if native else "verdicts", ("geo", "dup", "topic", "category")),
    ).order_by(m.conversation_id, m.message_id)


def _thread(asked: Asked, planned: Planned, place: int, columns: _Columns, whole: range) -> Sequence[int]:
    """Where the messages from a conversation's first one to the end of its thread are."""
    _, names, parents, roles, *_ = columns
    start, end, leaf = whole.start, whole.stop, planned.values("leaf")[place]
    system = asked.strict and "system" in roles[start:end]
    if names[end - 1] == leaf and not system and parents[start:end] == (None, *names[start : end - 1]):
        return whole
    at_of = {names[i]: i for i in whole}
    at, path = leaf, []
    while at is not None:
        i = at_of[at]
        if roles[i] != "system" or not asked.strict:
            path.append(i)
        at = parents[i]
    return path[::-1]


def _tree(asked: Asked, planned: Planned, place: int, columns: _Columns, whole: range) -> Sequence[int]:
    """Where the sound messages of a conversation are, as of the moment at which it was planned."""
    until_us = planned.values("until_us")[place]
    nodes = [Node._make(column[i] for column in columns[1:7]) for i in whole]
    frozen = [node for node in nodes if node.at_us <= asked.as_of_us and node.done_us <= until_us]
    at_of = {node.id: i for node, i in zip(nodes, whole, strict=True)}
    return [at_of[i] for i in choose(frozen, asked.settings.selection.statuses).tree]


def _imports(connection: Connection, asked: Asked, ids: Sequence[str]) -> dict[str, bytes]:
    """What imported conversations brought along, where they are asked for."""
    if not asked.settings.selection.sources:
        return {}
    c = CONVERSATIONS.c
    query = select(c.conversation_id, c.imported_zstd).where(
        c.conversation_id.in_(ids), c.subject_id.is_(None), c.imported_zstd.is_not(None)
    )
    return {row.conversation_id: row.imported_zstd for row in connection.execute(query)}


def _ratings(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    query = (
        select(FEEDBACK.c.message_id, FEEDBACK.c.rating)
        .join(MESSAGES, MESSAGES.c.message_id == FEEDBACK.c.message_id)
        .where(MESSAGES.c.conversation_id.in_(ids))
    )
    return {row.message_id: row.rating for row in connection.execute(query)}
