"""OpenAssistant message trees: one tree a row, kept as one branching conversation."""

from __future__ import annotations

from agora.core.json_text import clean_text
from agora.core.records import Conversation, JsonMap, Message, Provenance, Role, stable_id
from agora.curate.importers.base import (
    Format,
    Origin,
    RowError,
    clean_json,
    iso_time,
    pick_role,
    text_of,
    text_or_none,
    without,
)

ROLES: dict[str, Role] = {"prompter": "user", "assistant": "assistant", "system": "system"}
_OWN = ("message_id", "parent_id", "text", "role", "replies")


def _matches(data: JsonMap) -> str | None:
    prompt = data.get("prompt")
    if isinstance(prompt, dict) and ("message_tree_id" in data or "replies" in prompt):
        return "'prompt' holds a message with 'replies'"
    return None


def _message(node: JsonMap, index: int, parent: str | None) -> Message:
    role = pick_role(node.get("role"), ROLES)
    deleted = bool(node.get("deleted"))
    # a deleted message may have lost its text; it stays because its replies hang on it
    content = "" if deleted and node.get("text") is None else clean_text(text_of(node.get("text"), index))
    meta = clean_json(without(node, *_OWN))
    given = node.get("parent_id")
    if given is not None and given != parent:
        meta["given_parent_id"] = clean_json(given)
    return Message(role, content, text_or_none(node.get("message_id")) or f"m{index}", parent, meta)


def _walk(root: JsonMap) -> list[Message]:
    """Every message, parents before children, replies in file order."""
    messages: list[Message] = []
    seen: set[str] = set()
    todo: list[tuple[JsonMap, str | None]] = [(root, None)]
    while todo:
        node, parent = todo.pop()
        message = _message(node, len(messages), parent)
        if message.id in seen:
            raise RowError("duplicate message id", repr(message.id[:60]))
        seen.add(message.id)
        messages.append(message)
        replies = node.get("replies") or []
        if not isinstance(replies, list) or not all(isinstance(r, dict) for r in replies):
            raise RowError("no list of messages", f"'replies' of {message.id[:60]!r} is not a list of objects")
        todo.extend((reply, message.id) for reply in reversed(replies))
    return messages


def _convert(data: JsonMap, origin: Origin) -> Conversation:
    root = data.get("prompt")
    if not isinstance(root, dict):
        raise RowError("no prompt", f"'prompt' is {type(root).__name__ if 'prompt' in data else 'missing'}")
    messages = _walk(root)
    if messages[0].role != "user":
        raise RowError("wrong role order", f"the tree starts with {root.get('role')!r}, expected 'prompter'")
    roles = {m.id: m.role for m in messages}
    in_order = all(m.parent is None or {roles[m.parent], m.role} == {"user", "assistant"} for m in messages)
    tree_id = text_or_none(data.get("message_tree_id")) or messages[0].id
    provenance = Provenance(
        source=OASST.name,
        source_id=tree_id,
        licence=OASST.licence,
        consent=OASST.consent,
        language=text_or_none(root.get("lang")),
        created=iso_time(root.get("created_date")),
        path=origin.path,
        line=origin.line,
    )
    meta = clean_json(without(data, "prompt"))
    meta["role_order"] = in_order
    if deleted := sum(bool(m.meta.get("deleted")) for m in messages):
        meta["n_deleted"] = deleted
    key = (OASST.name, tree_id, [(m.role, m.content) for m in messages])
    return Conversation(stable_id(*key), tuple(messages), provenance, {}, meta)


OASST = Format(
    name="oasst",
    title="OpenAssistant message trees",
    shape='{"message_tree_id", "prompt": {"message_id", "text", "role", "replies": [...]}}',
    licence="Apache-2.0",
    note="The OpenAssistant exports are published under Apache-2.0; volunteers agreed to it when they signed up.",
    consent="publication",
    matches=_matches,
    convert=_convert,
)
