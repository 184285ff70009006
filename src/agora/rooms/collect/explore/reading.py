"""One conversation for an operator: every branch, what was found out about each message, spans marked in its text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape
from sqlalchemy import Connection, select

from agora.core.json_text import loads
from agora.rooms.collect.conversations import newest_leaf, path_to, read_messages
from agora.rooms.collect.explore.query import Query
from agora.rooms.collect.explore.snippets import hits
from agora.rooms.collect.show import Branch, branches
from agora.rooms.collect.tables import ANNOTATIONS, CONVERSATIONS
from agora.rooms.collect.types import ChatMessage

_HIDING = ("pii", "secret")
_OUTLINE_CHARS = 60


@dataclass(frozen=True, slots=True)
class ReadMessage:
    """A message with its text as safe HTML, its newest annotations, and its place among siblings."""

    message: ChatMessage
    html: Markup
    notes: Sequence[tuple[str, str]]
    branch: Branch | None


@dataclass(frozen=True, slots=True)
class Twig:
    """A line of the outline of a tree: how deep it stands, where it leads, and how it begins."""

    depth: int
    message_id: str
    role: str
    words: str
    shown: bool


@dataclass(frozen=True, slots=True)
class ReadConversation:
    """A conversation along one branch, and the outline of all branches."""

    row: Mapping[str, Any]
    messages: Sequence[ReadMessage]
    outline: Sequence[Twig]

    @property
    def day(self) -> str:
        """The day (UTC) it began."""
        return datetime.fromtimestamp(self.row["created_us"] / 1e6, UTC).date().isoformat()


def read_conversation(
    connection: Connection, conversation_id: str, *, at: str | None = None, query: Query | None = None
) -> ReadConversation | None:
    """A conversation that is not erased, along the branch that goes through a message; None if there is none.

    Args:
        connection: to read from.
        conversation_id: which.
        at: a message; the newest branch goes through no named one.
        query: whose hits are marked.
    """
    c = CONVERSATIONS.c
    found = connection.execute(
        select(c.conversation_id, c.subject_id, c.created_us, c.source, c.source_license, c.automation_score).where(
            c.conversation_id == conversation_id, c.state != "deleted"
        )
    ).first()
    if found is None:
        return None
    messages = read_messages(connection, conversation_id)
    leaf = _leaf_through(messages, at)
    path = path_to(messages, leaf) if leaf else []
    notes = _annotations(connection, [m.id for m in path])
    family = branches(messages, [m.id for m in path])
    shown = [
        ReadMessage(m, _marked(m.content, notes.get(m.id, {}), query), _told(notes.get(m.id, {})), family.get(m.id))
        for m in path
    ]
    return ReadConversation(found._asdict(), shown, _outline(messages, {m.id for m in path}))


def _leaf_through(messages: Sequence[ChatMessage], at: str | None) -> str | None:
    if at not in {m.id for m in messages}:
        return newest_leaf(messages)
    children: dict[str | None, list[str]] = {}
    for m in messages:
        children.setdefault(m.parent_id, []).append(m.id)
    while below := children.get(at):
        at = below[-1]
    return at


def _annotations(connection: Connection, ids: Sequence[str]) -> dict[str, dict[str, Mapping[str, Any]]]:
    """The newest result of each kind by message; of toxicity, one of each provider."""
    a = ANNOTATIONS.c
    query = select(ANNOTATIONS).where(a.message_id.in_(ids)).order_by(a.created_us, a.pipeline_version)
    found: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in connection.execute(query):
        provider = row.pipeline_version.partition(":")[0]
        name = f"tox {provider}" if row.kind == "tox" else row.kind
        found.setdefault(row.message_id, {})[name] = loads(row.result_json.encode())
    return found


def _told(notes: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Annotations as names and short texts; what they say is outside text to the page."""
    told = []
    for name, result in sorted(notes.items()):
        if name == "lang":
            told.append((name, f"{result.get('name')} ({result.get('code')})"))
        elif name.startswith("tox"):
            flagged = [k for k, v in dict(result.get("categories") or {}).items() if v]
            told.append((name, ", ".join(flagged) or ("flagged" if result.get("flagged") else "–")))
        elif name in _HIDING:
            told.append((name, ", ".join(str(s.get("type")) for s in result.get("spans", ())) or "–"))
        elif name == "geo":
            told.append((name, ", ".join(str(v) for v in (result.get("country"), result.get("state")) if v) or "–"))
        elif name == "topic":
            told.append((name, f"{result.get('topic')}: {', '.join(map(str, result.get('terms', ())))}"))
        else:
            told.append((name, ", ".join(f"{k} {v}" for k, v in result.items())))
    return told


def _marked(text: str, notes: Mapping[str, Mapping[str, Any]], query: Query | None) -> Markup:
    """The text with spans and hits in ``<mark>``; a span inside a hit is cut out of it."""
    edges: list[tuple[int, int, str]] = []
    for kind in _HIDING:
        for span in notes.get(kind, {}).get("spans", ()):
            edges.append((int(span["start"]), int(span["end"]), str(span.get("type", kind))))
    edges.sort()
    if query:
        edges += [(first, last, "") for first, last in hits(text, query)]
    parts: list[Markup] = []
    at = 0
    for first, last, label in sorted(edges, key=lambda e: (e[0], e[2] == "")):
        first, last = max(first, at), min(last, len(text))
        if first >= last:
            continue
        parts.append(escape(text[at:first]))
        if label:
            mark = '<mark class="personal" title="{}">{}<span class="visually-hidden"> ({})</span></mark>'
            parts.append(Markup(mark).format(label, text[first:last], label))
        else:
            parts.append(Markup("<mark>{}</mark>").format(text[first:last]))
        at = last
    parts.append(escape(text[at:]))
    return Markup("").join(parts)


def _outline(messages: Sequence[ChatMessage], shown: set[str]) -> list[Twig]:
    """The tree from the top, the oldest child first; what has no siblings stands as deep as its parent."""
    children: dict[str | None, list[ChatMessage]] = {}
    ids = {m.id for m in messages}
    for m in messages:
        children.setdefault(m.parent_id if m.parent_id in ids else None, []).append(m)
    outline: list[Twig] = []
    rest = [(m, 0 if len(children[None]) == 1 else 1) for m in reversed(children.get(None, []))]
    while rest:
        m, depth = rest.pop()
        words = " ".join(m.content.split())
        short = words if len(words) <= _OUTLINE_CHARS else words[: _OUTLINE_CHARS - 1] + "…"
        outline.append(Twig(min(depth, 8), m.id, m.role, short, m.id in shown))
        below = children.get(m.id, [])
        rest += [(child, depth + (len(below) > 1)) for child in reversed(below)]
    return outline
