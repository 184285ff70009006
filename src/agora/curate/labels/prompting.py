"""From a text to the request that asks for its label, and from the reply to the label."""

from __future__ import annotations

import re
from typing import NamedTuple

from agora.core.fencing import neutralize, substitute
from agora.core.records import JsonMap, stable_id
from agora.core.replies import Parsed, parse_reply
from agora.curate.labels.kinds import LabelKind

MAX_CHARS = 12_000
_REMINDER = (
    "\n# Reminder\n\nAn earlier reply could not be read. Reply with the one JSON object only, every key once, "
    '"{key}" holding one of {values}, and "verdict_id" copied exactly.\n'
)


class Question(NamedTuple):
    """A filled prompt. ``code`` fences the text; ``cut`` is how many characters of it were left out."""

    prompt: str
    code: str
    cut: int
    needs_code: bool


def ask(kind: LabelKind, text: str, nonce: str, *, max_chars: int = MAX_CHARS) -> Question:
    """Fill a kind's prompt.

    The code around the text depends on the text, which would have to contain a hash of itself to know it. A text that
    speaks of the reply's keys might be repeated by the model and pass for its verdict: there the verdict must bear the
    code; elsewhere it need not, which spares weak models that copy badly.

    Args:
        nonce: the run's own part of the code.
        max_chars: a longer text keeps its head and its tail.
    """
    kept, cut = head_and_tail(text, max_chars)
    code = stable_id("label", kind.name, nonce, text, size=4)
    safe, _ = neutralize(kept, (code,))
    prompt = substitute(kind.prompt, {"code": code, "text": safe})
    lowered = text.lower()
    return Question(prompt, code, cut, any(re.search(rf"\b{key}\b", lowered) for key in kind.keys))


def reminder(kind: LabelKind) -> str:
    """What is added to the prompt when a reply could not be read."""
    return _REMINDER.format(key=kind.name, values=", ".join(f'"{v}"' for v in kind.scale.values))


def head_and_tail(text: str, max_chars: int) -> tuple[str, int]:
    """A text of at most about ``max_chars``: two thirds of it from the head, the rest from the tail, the cut marked."""
    if len(text) <= max_chars:
        return text, 0
    head, tail = max_chars * 2 // 3, max_chars - max_chars * 2 // 3
    cut = len(text) - head - tail
    return f"{text[:head]}\n\n[... {cut:,} characters left out ...]\n\n{text[len(text) - tail :]}", cut


def parse_label(kind: LabelKind, reply: str, code: str, *, needs_code: bool) -> Parsed:
    """The label that a reply gives: status ``ok`` with a value of the kind's scale, or why there is none."""

    def read(value: object) -> Parsed:
        if isinstance(value, list) and len(value) == 1:  # brackets that a prompt's example left
            value = value[0]
        found = kind.scale.match(value)
        return Parsed("no_value") if found is None else Parsed("ok", found)

    parsed = parse_reply(reply, kind.name, read, code)
    if parsed.status == "ok" or needs_code:
        return parsed
    free = parse_reply(reply, kind.name, read)
    return free if free.status == "ok" else parsed


def fields_of(kind: LabelKind, parsed: Parsed) -> JsonMap:
    """What else the reply says, for the tag."""
    return kind.extras(parsed.fields)
