"""Prompts and answers of any spelling as messages; what two message lists share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from agora.core.json_text import clean_text
from agora.core.records import Message, Role
from agora.curate.importers.base import RowError, pick_role, text_of
from agora.curate.importers.sharegpt import ROLES as SPELLINGS

Turns = tuple[Message, ...]

BLANK_LINE = "\n\n"


def said(role: Role, text: Any) -> Message:
    """One message of that role.

    Raises:
        RowError: ``text`` is not text.
    """
    return Message(role, clean_text(text_of(text, 0)))


def prompt_of(value: Any) -> Turns:
    """A prompt column: text is one user turn, a list is a conversation.

    Raises:
        RowError: another type, an unknown role, a content that is not text.
    """
    return (said("user", value),) if isinstance(value, str) else messages_of(value)


def answer_of(value: Any) -> Turns:
    """An answer column: text is one assistant turn, an object one message, a list several.

    Raises:
        RowError: as for :func:`prompt_of`.
    """
    return (said("assistant", value),) if isinstance(value, str) else messages_of(value)


def messages_of(value: Any) -> Turns:
    """A message or list of messages, as ``role``/``content`` or ``from``/``value``; blank system turns are left out.

    Raises:
        RowError: not messages, an unknown role, a content that is not text.
    """
    items = [value] if isinstance(value, Mapping) else value
    if not isinstance(items, list | tuple):
        raise RowError("not a list of messages", f"found {type(value).__name__}")
    found = tuple(_message(item, index) for index, item in enumerate(items))
    return tuple(m for m in found if m.role != "system" or m.content.strip())


def _message(item: Any, index: int) -> Message:
    if not isinstance(item, Mapping):
        raise RowError("not a list of messages", f"message {index + 1} is {type(item).__name__}")
    raw = item.get("from") if item.get("role") is None else item["role"]  # Parquet fills the absent one with null
    role: Role = raw if raw in ("user", "assistant", "system") else pick_role(raw, SPELLINGS)
    content = item.get("value") if item.get("content") is None else item["content"]
    if isinstance(content, list):
        content = _text_parts(content, index)
    return Message(role, clean_text(text_of(content, index)))


def _text_parts(parts: list[Any], index: int) -> str:
    texts = [p.get("text") if isinstance(p, Mapping) and p.get("type") == "text" else None for p in parts]
    if not all(isinstance(t, str) for t in texts):
        raise RowError("content is not text", f"message {index + 1} has parts that are not text")
    return "\n".join(t for t in texts if t is not None)


def plain(turns: Iterable[Message]) -> list[tuple[str, str]]:
    """Role and stripped content of each turn: what two lists are compared by."""
    return [(m.role, m.content.strip()) for m in turns]


def shared_prefix(left: Turns, right: Turns) -> int:
    """How many messages two conversations begin with in common; contents must agree to the character."""
    n = 0
    for a, b in zip(left, right, strict=False):
        if a.role != b.role or a.content != b.content:
            break
        n += 1
    return n


def merge_repeats(turns: Turns) -> Turns:
    """The turns with neighbors of one role joined by a blank line; tool results stay apart."""
    merged: list[Message] = []
    for turn in turns:
        if merged and merged[-1].role == turn.role and turn.role != "tool":
            merged[-1] = Message(turn.role, merged[-1].content.rstrip() + BLANK_LINE + turn.content.lstrip())
        else:
            merged.append(turn)
    return tuple(merged)


def repeats_a_role(turns: Sequence[Message]) -> bool:
    """Whether two neighbors have one role (tool results may follow each other)."""
    return any(a.role == b.role != "tool" for a, b in pairwise(turns))


def num_chars(turns: Iterable[Message]) -> int:
    """Characters of the contents."""
    return sum(len(m.content) for m in turns)
