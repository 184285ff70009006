"""Dialogues kept as one text whose turns open with a blank line and ``Human:`` or ``Assistant:`` (Anthropic HH).

Only an opener at the start of the text or after a blank line counts. Splitting at the bare words breaks every answer
that quotes a dialogue: 53 of 2,312 rows of the harmless test set (specification of the data, section 9.4).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from agora.core.json_text import clean_text
from agora.core.records import Message, Role
from agora.curate.importers.base import RowError
from agora.curate.pairs.turns import Turns

_OPENER = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):")
_ROLES: dict[str, Role] = {"Human": "user", "Assistant": "assistant"}
_NAMES = {role: name for name, role in _ROLES.items()}


def is_dialogue(text: object) -> bool:
    """Whether a text opens with a turn of the human."""
    return isinstance(text, str) and text.lstrip().startswith("Human:")


def parse_dialogue(text: object) -> Turns:
    """The turns of a dialogue, contents stripped; an opener at the very end gives an empty turn.

    Raises:
        RowError: not text, or something stands before the first turn.
    """
    if not isinstance(text, str):
        raise RowError("not a dialogue", f"found {type(text).__name__}")
    head, *rest = _OPENER.split(clean_text(text))
    if head.strip() or not rest:
        raise RowError("not a dialogue", "the text does not open with 'Human:'")
    pieces = zip(rest[::2], rest[1::2], strict=True)
    return tuple(Message(_ROLES[name], content.strip()) for name, content in pieces)


def write_dialogue(turns: Sequence[Message]) -> str:
    """The text of a dialogue.

    Raises:
        RowError: a role other than user and assistant.
    """
    for turn in turns:
        if turn.role not in _NAMES:
            raise RowError("the format has no such role", turn.role)
    return "".join(f"\n\n{_NAMES[turn.role]}: {turn.content}" for turn in turns)
