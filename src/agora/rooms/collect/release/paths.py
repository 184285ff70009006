"""Which messages of a conversation come into a release.

A conversation is a tree. A message is *sound* when it and all before it ended as the operator accepts (``complete`` by
default). A row with one thread holds the path to the newest sound reply that no sound reply follows: the branch that
its person saw last, cut before the first reply that broke off. A row with a tree holds every sound message that
leads to a sound reply.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple


class Node(NamedTuple):
    """What is known of a message without reading it. Times are microseconds since 1970, UTC."""

    id: str
    parent: str | None
    role: str
    status: str
    at_us: int
    done_us: int


class Chosen(NamedTuple):
    """The sound part of a conversation: the path to publish, all that lead to a reply, and what was cut away."""

    path: tuple[str, ...]
    tree: tuple[str, ...]
    cut: bool


def choose(nodes: Sequence[Node], statuses: Collection[str]) -> Chosen:
    """Choose the messages of one conversation; both are empty where no reply is sound.

    Args:
        nodes: all messages, in any order.
        statuses: how a message may have ended.
    """
    if _is_plain(nodes, statuses):
        whole = tuple(node.id for node in nodes)
        return Chosen(whole, whole, cut=False)
    by_id = {node.id: node for node in nodes}
    sound: dict[str, bool] = {}
    for node in nodes:
        _settle(node, by_id, statuses, sound)
    replies = [node for node in nodes if node.role == "assistant" and sound[node.id]]
    if not replies:
        return Chosen((), (), cut=bool(nodes))
    inner: set[str] = set()  # all that a sound reply follows
    for reply in replies:
        at = reply.parent
        while at is not None and at not in inner:
            inner.add(at)
            at = by_id[at].parent
    leaf = max((r for r in replies if r.id not in inner), key=lambda r: (r.at_us, r.id))
    path = path_of(leaf.id, {node.id: node.parent for node in nodes})
    leading = inner | {reply.id for reply in replies}
    tree = _parents_first([node for node in nodes if node.id in leading])
    return Chosen(path, tree, cut=len(tree) < len(nodes))


def _is_plain(nodes: Sequence[Node], statuses: Collection[str]) -> bool:
    """Whether a conversation is one thread in its order that ends with a reply, all of it sound: most of them are."""
    before = None
    for node in nodes:
        if node.parent != before or node.status not in statuses:
            return False
        before = node.id
    return bool(nodes) and nodes[-1].role == "assistant"


def _parents_first(nodes: Sequence[Node]) -> tuple[str, ...]:
    below: dict[str | None, list[Node]] = {}
    for node in sorted(nodes, key=lambda n: (n.at_us, n.id)):
        below.setdefault(node.parent, []).append(node)
    level, order = below.get(None, []), []
    while level:
        order += [node.id for node in level]
        level = [child for node in level for child in below.get(node.id, [])]
    return tuple(order)


def _settle(node: Node, by_id: Mapping[str, Node], statuses: Collection[str], sound: dict[str, bool]) -> None:
    chain: list[Node] = []
    at: Node | None = node
    while at is not None and at.id not in sound:
        chain.append(at)
        at = by_id.get(at.parent) if at.parent is not None else None
    for link in reversed(chain):
        # where the parent is gone nobody can read what a message answers
        sound[link.id] = link.status in statuses and (link.parent is None or sound.get(link.parent, False))


def path_of(leaf: str, parents: Mapping[str, str | None]) -> tuple[str, ...]:
    """The ids from the first message to a leaf."""
    path = [leaf]
    while (parent := parents[path[-1]]) is not None:
        path.append(parent)
    return tuple(reversed(path))


def alternates(roles: Sequence[str]) -> bool:
    """Whether user and assistant take turns from the user to the assistant."""
    return tuple(roles) == ("user", "assistant") * (len(roles) // 2)
