"""Linked rows as conversations: WildChat's fields of an utterance, a pseudonym in place of the address."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from agora.core.records import Conversation, JsonMap, Message, Provenance, stable_id
from agora.curate.importers.base import keeps_order
from agora.rooms.collect.linking.reference import ReferenceLinks
from agora.rooms.collect.linking.rows import LogRow, ReadLog
from agora.rooms.collect.linking.tree import Forest, Node
from agora.rooms.collect.types import Status

T = TypeVar("T")
Pseudonym = Callable[[str | None], str | None]


def tree_conversations(log: ReadLog, forest: Forest, pseudonym: Pseudonym) -> Iterator[Conversation]:
    """One conversation a tree. A message that no row brought has the status ``reconstructed``."""
    for tree in forest.trees:
        nodes = [forest.nodes[number] for number in tree]
        ids = {number: str(i) for i, number in enumerate(tree)}
        messages = [
            Message(
                node.role,  # type: ignore[arg-type]
                node.content,
                ids[number],
                None if node.parent is None else ids[node.parent],
                _meta(node.role, [log.rows[i] for i in node.rows], pseudonym),
            )
            for number, node in zip(tree, nodes, strict=True)
        ]
        numbers = dict.fromkeys(row for node in nodes if node.role == "assistant" for row in node.rows)
        yield _conversation(log, "tree", messages, [log.rows[i] for i in numbers], pseudonym, _facts(nodes))


def _facts(nodes: Sequence[Node]) -> JsonMap:
    inner = {node.parent for node in nodes}
    parents = Counter(node.parent for node in nodes)
    doubled = sum(len(node.rows) - 1 for node in nodes if node.role == "assistant" and len(node.rows) > 1)
    told = sum(not node.rows for node in nodes)
    facts: JsonMap = {"branches": sum(count - 1 for count in parents.values())} if len(inner) < len(nodes) else {}
    if told:
        facts["reconstructed"] = told
    if doubled:
        facts["duplicates"] = doubled
    return {name: value for name, value in facts.items() if value}


def reference_conversations(log: ReadLog, links: ReferenceLinks, pseudonym: Pseudonym) -> Iterator[Conversation]:
    """One linear conversation a chain of rows: of each row after the first its last message and its reply."""
    for chain in links.conversations:
        rows = [log.rows[number] for number in chain]
        messages: list[Message] = []
        for number, row in enumerate(rows):
            told = row.turns if number == 0 else row.turns[-1:]  # FastChat's last event holds the whole history
            for role, text in (*told, ("assistant", row.reply)):
                place = len(messages)
                parent = str(place - 1) if place else None
                messages.append(Message(role, text, str(place), parent, _meta(role, [row], pseudonym)))  # type: ignore[arg-type]
        yield _conversation(log, "reference", messages, rows, pseudonym, {})


def _meta(role: str, rows: Sequence[LogRow], pseudonym: Pseudonym) -> JsonMap:
    if not rows:
        return {"status": str(Status.RECONSTRUCTED)}
    row = rows[0]
    meta: JsonMap = {"turn_identifier": _number(row.id)}
    if role == "assistant":
        meta |= {"timestamp": _iso(row.time_us), "model": row.model, **row.meta}
        for later in rows[1:]:
            meta |= {k: later.meta[k] for k in ("vote", "rating") if later.meta.get(k)}
        if len(rows) > 1:
            meta |= {"dup_count": len(rows), "turn_identifiers": [_number(one.id) for one in rows]}
        return meta
    hashed = pseudonym(row.address)
    return meta | ({"header": row.header} if row.header else {}) | ({"hashed_ip": hashed} if hashed else {})


def _conversation(
    log: ReadLog,
    link: str,
    messages: Sequence[Message],
    rows: Sequence[LogRow],
    pseudonym: Pseudonym,
    facts: JsonMap,
) -> Conversation:
    """As rule 6 has it: address and headers of most of the rows, model and time of the last one."""
    first, last = rows[0], max(rows, key=lambda row: row.order)
    common = {
        "hashed_ip": pseudonym(_most(row.address for row in rows)),
        "header": dict(_most(tuple(row.header.items()) for row in rows) or ()) or None,
        "timestamp": _iso(last.time_us),
    }
    origin = Provenance(
        source=log.kind,
        source_id=first.id,
        created=_iso(first.time_us),
        path=first.path,
        line=first.line,
    )
    meta = {"model": last.model, "link": link, "row": {k: v for k, v in common.items() if v is not None}, **facts}
    made = Conversation(stable_id(log.kind, link, first.id), tuple(messages), origin, meta=meta)
    meta["role_order"] = all(keeps_order([m.role for m in path]) for path in made.paths())
    return made


def _most(values: Iterable[T]) -> T | None:
    """The most frequent value; of equals the first."""
    found = Counter(values).most_common(1)
    return found[0][0] if found else None


def _number(given: str) -> int | str:
    return int(given) if given.isdecimal() and len(given) < 19 else given


def _iso(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1_000_000, UTC).isoformat()
