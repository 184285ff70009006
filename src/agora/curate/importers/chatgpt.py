"""A ChatGPT account's export: each conversation is a graph of nodes (``mapping``), kept as a branching conversation.

An edited question and another answer are siblings. Nodes without words (the root, hidden instructions) are left out
and counted; what they carry on to is joined to what stands above them. Fields of a message may be missing.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from agora.core.json_text import clean_text
from agora.core.records import Conversation, JsonMap, Message, Provenance, Role, stable_id
from agora.curate.importers.base import (
    Format,
    Origin,
    RowError,
    clean_json,
    iso_time,
    keeps_order,
    pick_role,
    text_or_none,
    without,
)

ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system", "tool": "tool"}


def _matches(data: JsonMap) -> str | None:
    nodes = data.get("mapping")
    if isinstance(nodes, dict) and any(isinstance(n, dict) and "children" in n for n in list(nodes.values())[:3]):
        return "'mapping' holds nodes with 'children'"
    return None


def _text(content: Any) -> tuple[str, dict[str, int]]:
    """A message's words, and how many parts of other kinds left a placeholder."""
    if not isinstance(content, dict):
        return (content, {}) if isinstance(content, str) else ("", {})
    parts, others = content.get("parts"), Counter[str]()
    if not isinstance(parts, list):
        text = content.get("text")
        return (text, {}) if isinstance(text, str) else ("", {})
    texts = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif part is not None:
            kind = str(part.get("content_type", "part")) if isinstance(part, dict) else "part"
            texts.append(f"[{kind}]")
            others[kind] += 1
    return "\n".join(texts), dict(others)


def _message(node_id: str, node: JsonMap, parent: str | None) -> Message | None:
    """None for a node without words."""
    told = node.get("message")
    if not isinstance(told, dict):
        return None
    author = told.get("author")
    text, others = _text(told.get("content"))
    if not text.strip():
        return None
    role = pick_role(author.get("role") if isinstance(author, dict) else None, ROLES)
    meta: JsonMap = without(told, "author", "content", "id", "children", "parent")
    facts = meta.get("metadata")
    if isinstance(facts, dict) and facts.get("model_slug"):
        meta["model"] = facts["model_slug"]
    if others:
        meta["other_parts"] = others
    return Message(role, clean_text(text), node_id, parent, clean_json(meta))


def _walk(nodes: JsonMap) -> tuple[list[Message], int]:
    """Every message, parents before children; and how many nodes have no words."""
    children: dict[str | None, list[str]] = {}
    for node_id, node in nodes.items():
        if not isinstance(node, dict):
            raise RowError("message is not an object", f"node {node_id[:40]!r}")
        above = node.get("parent")
        children.setdefault(above if isinstance(above, str) and above in nodes else None, []).append(node_id)
    messages: list[Message] = []
    silent, seen = 0, 0
    todo: list[tuple[str, str | None]] = [(node_id, None) for node_id in reversed(children.get(None, []))]
    while todo:
        node_id, parent = todo.pop()
        seen += 1
        message = _message(node_id, nodes[node_id], parent)
        if message is None:
            silent += 1
        else:
            messages.append(message)
            parent = node_id
        todo.extend((child, parent) for child in reversed(children.get(node_id, [])))
    if seen < len(nodes):
        raise RowError("nodes in a circle", f"{len(nodes) - seen} of {len(nodes)}")
    return messages, silent


def _convert(data: JsonMap, origin: Origin) -> Conversation:
    nodes = data.get("mapping")
    if not isinstance(nodes, dict):
        raise RowError("no mapping", f"'mapping' is {type(nodes).__name__ if 'mapping' in data else 'missing'}")
    messages, silent = _walk(nodes)
    if not any(m.role == "user" for m in messages):
        raise RowError("no user turn", f"{len(messages)} messages, {silent} nodes without words")
    own = text_or_none(data.get("conversation_id")) or text_or_none(data.get("id")) or ""
    provenance = Provenance(
        source=CHATGPT.name,
        source_id=own,
        licence=CHATGPT.licence,
        consent=CHATGPT.consent,
        created=iso_time(data.get("create_time")),
        path=origin.path,
        line=origin.line,
    )
    made = Conversation(
        stable_id(CHATGPT.name, own, [(m.role, m.content) for m in messages]), tuple(messages), provenance
    )
    made.meta.update(clean_json(without(data, "mapping")))
    made.meta["role_order"] = all(keeps_order([m.role for m in path]) for path in made.paths())
    if silent:
        made.meta["nodes_without_words"] = silent
    return made


CHATGPT = Format(
    name="chatgpt",
    title="ChatGPT account export",
    shape='{"title", "create_time", "mapping": {ID: {"message", "parent", "children"}}, "conversation_id", ...}',
    licence="the account owner's",
    note="A private archive: its owner decides what may be done with it.",
    consent="none",
    matches=_matches,
    convert=_convert,
)
