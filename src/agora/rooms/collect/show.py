"""What a conversation looks like along one of its branches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from agora.rooms.collect.conversations import newest_leaf, path_to
from agora.rooms.collect.types import ChatMessage
from agora.site.markdown import render_markdown


@dataclass(frozen=True, slots=True)
class Shown:
    """A message as a page shows it; a model's Markdown is safe HTML here, a person's text stays text."""

    message: ChatMessage
    html: Markup

    @property
    def id(self) -> str:
        """The message's id."""
        return self.message.id


@dataclass(frozen=True, slots=True)
class Branch:
    """Where a message stands among its siblings, counted from 1, and where its neighbors' branches end."""

    place: int
    count: int
    before: str | None
    after: str | None


def shown_messages(messages: Sequence[ChatMessage], leaf: str | None) -> list[Shown]:
    """The branch that ends at or goes through ``leaf``; the newest one when it names no message."""
    if leaf not in {message.id for message in messages}:
        leaf = newest_leaf(messages)
    if leaf is None:
        return []
    path = path_to(messages, leaf)
    return [Shown(m, render_markdown(m.content) if m.role == "assistant" else Markup.escape(m.content)) for m in path]


def branches(messages: Sequence[ChatMessage], path: Sequence[str]) -> dict[str, Branch]:
    """For each message of a path that has siblings: its place among them."""
    children: dict[str | None, list[str]] = {}
    for message in messages:
        children.setdefault(message.parent_id, []).append(message.id)
    parents = {message.id: message.parent_id for message in messages}
    found = {}
    for message_id in path:
        family = children[parents[message_id]]
        if len(family) > 1:
            i = family.index(message_id)
            found[message_id] = Branch(
                i + 1,
                len(family),
                _end_of(family[i - 1], children) if i else None,
                _end_of(family[i + 1], children) if i + 1 < len(family) else None,
            )
    return found


def _end_of(message_id: str, children: dict[str | None, list[str]]) -> str:
    while below := children.get(message_id):
        message_id = below[-1]
    return message_id
