"""Put foreign text into a prompt so that it can neither leave its block nor fill a placeholder.

A block is delimited by BEGIN and END lines that bear a code; a text that knows the code is robbed of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_PLACEHOLDER = re.compile(r"\{\{(\w+)\}\}")
_LOOKALIKE = re.compile(r"<{3,}(?=\s*/?\s*(?:BEGIN|END)\b)", re.IGNORECASE)


def substitute(text: str, values: Mapping[str, str]) -> str:
    """Replace ``{{name}}`` in one pass, so that a placeholder inside a value stays as it is."""
    return _PLACEHOLDER.sub(lambda found: values[found[1]], text)


def neutralize(text: str, codes: tuple[str, ...]) -> tuple[str, int]:
    """The text with delimiter look-alikes and the given codes made harmless, and how many there were."""
    text, count = _LOOKALIKE.subn(lambda found: "＜" * len(found[0]), text)
    for code in codes:
        count += text.count(code)
        text = text.replace(code, "[removed]")
    return text, count
