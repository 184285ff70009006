"""Rows without state as trees: nothing is lost, another answer and an edited question are siblings.

One pass over the rows in the order of time. A row is attached to the deepest history that is stored; what it tells of
beyond that is added as ``reconstructed``. Look-ups are by rolling key, so the cost is linear in the size of the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from agora.rooms.collect.linking.rows import LogRow

_SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class LinkRules:
    """When two rows belong together, beyond having the same history.

    Args:
        duplicate_s: a second equal reply to the same message within this time is the same message, sent twice.
        reopen_s: a first message that the same address sends again within this time asks for another answer; later it
            begins another conversation. (Many people begin with the same words on the same kind of device.)
        max_gap_s: a row that comes later than this after what it follows begins another conversation, which holds the
            history as reconstructed. None: never.
    """

    duplicate_s: float = 60
    reopen_s: float = 1800
    max_gap_s: float | None = None


@dataclass(slots=True)
class Node:
    """A message of a tree. ``rows`` are the rows that brought it: none for a reconstructed one, several for a double
    submission (or, for a question, other answers to it)."""

    role: str
    content: str
    key: bytes
    parent: int | None
    tree: int
    time_us: int
    rows: list[int] = field(default_factory=list)
    is_leaf: bool = True


@dataclass(slots=True)
class Forest:
    """All messages, parents before children; ``trees`` lists those of each conversation as they came."""

    nodes: list[Node] = field(default_factory=list)
    trees: list[list[int]] = field(default_factory=list)


@dataclass(slots=True)
class _Places:
    """Where one key stands: the latest node, and those that were leaves when last looked at."""

    latest: int = -1
    leaves: list[int] = field(default_factory=list)


class _Linker:
    def __init__(self, rows: Sequence[LogRow], rules: LinkRules) -> None:
        self.rows, self.rules = rows, rules
        self.forest = Forest()
        self.places: dict[tuple[object, ...], _Places] = {}
        self.children: dict[tuple[int, bytes], int] = {}

    def link(self, number: int) -> None:
        """Attach one row."""
        row = self.rows[number]
        depth, parent = self._find(row)
        replies = [i for i, said in enumerate(row.turns) if said.role == "assistant"]
        sent = replies[-1] + 1 if replies else 0  # what stands before it was sent with an earlier row
        for i in range(depth, len(row.turns)):
            parent = self._add(row, i, parent, number if i >= sent else None)
        if depth == len(row.turns) and parent is not None:
            self.forest.nodes[parent].rows.append(number)
        known = self.children.get((parent, row.keys[-1])) if parent is not None else None
        if known is not None and self._is_same_reply(known, row):
            self.forest.nodes[known].rows.append(number)
            self.forest.nodes[known].time_us = max(self.forest.nodes[known].time_us, row.time_us)
            return
        self._add(row, len(row.turns), parent, number)

    def _is_same_reply(self, known: int, row: LogRow) -> bool:
        node = self.forest.nodes[known]
        # a later row's history may have told of this reply before its own row came
        return not node.rows or row.time_us - node.time_us <= self.rules.duplicate_s * _SECOND

    def _find(self, row: LogRow) -> tuple[int, int | None]:
        """How many of the row's turns are stored, and the node of the last of them."""
        first_reply = next((i for i, said in enumerate(row.turns) if said.role == "assistant"), len(row.turns))
        for depth in range(len(row.turns), first_reply, -1):
            found = self._best(row, row.keys[depth - 1])
            if found is not None:
                late = self.rules.max_gap_s is not None and self._age_s(row, found) > self.rules.max_gap_s
                return (0, None) if late else (depth, found)
        opening = self.places.get((row.keys[first_reply - 1], row.scope, row.address)) if first_reply else None
        if opening is not None and self._age_s(row, opening.latest) <= self.rules.reopen_s:
            return first_reply, opening.latest
        return 0, None

    def _age_s(self, row: LogRow, node: int) -> float:
        return (row.time_us - self.forest.nodes[node].time_us) / _SECOND

    def _best(self, row: LogRow, key: bytes) -> int | None:
        """Of the nodes with this history: one of the same address before others, a leaf before others, the latest."""
        for where in ((key, row.scope, row.address), (key, row.scope)):
            places = self.places.get(where)
            if places is None:
                continue
            while places.leaves and not self.forest.nodes[places.leaves[-1]].is_leaf:
                places.leaves.pop()  # never a leaf again
            return places.leaves[-1] if places.leaves else places.latest
        return None

    def _add(self, row: LogRow, i: int, parent: int | None, number: int | None) -> int:
        nodes, trees = self.forest.nodes, self.forest.trees
        role, content = row.turns[i] if i < len(row.turns) else ("assistant", row.reply)
        own = len(nodes)
        if parent is None:
            trees.append([])
        else:
            nodes[parent].is_leaf = False
        tree = len(trees) - 1 if parent is None else nodes[parent].tree
        rows = [] if number is None else [number]
        nodes.append(Node(role, content, row.keys[i], parent, tree, row.time_us, rows))
        trees[tree].append(own)
        for where in ((row.keys[i], row.scope, row.address), (row.keys[i], row.scope)):
            places = self.places.setdefault(where, _Places())
            places.latest = own
            places.leaves.append(own)
        if parent is not None:
            self.children[parent, row.keys[i]] = own
        return own


def link_tree(rows: Sequence[LogRow], rules: LinkRules | None = None) -> Forest:
    """Join rows into trees; every row's reply is in them once.

    Args:
        rows: in the order of :attr:`LogRow.order`.
        rules: see :class:`LinkRules`.
    """
    linker = _Linker(rows, rules or LinkRules())
    for number in range(len(rows)):
        linker.link(number)
    return linker.forest
