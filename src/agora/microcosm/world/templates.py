"""Templates that can be filled with slots and read back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

Slots = Mapping[str, str]

_PATTERNS: dict[str, str] = {
    "word": r"[a-z]+",
    "name": r"[A-Z][a-z]+",
    "number": r"0|[1-9]\d{0,2}",
    "anyword": r"[A-Za-z]+",
    "count": r"one|two|three|four|five",
    "phrase": r"[a-z]+(?: [a-z]+)*",
    "thing": r"(?:an? )?[a-z]+",
    "kind": r"an? [a-z]+(?: [a-z]+)*",
    "list": r"[a-z]+(?:, [a-z]+)* and [a-z]+",
    "numbers": r"\d{1,3}(?:, \d{1,3})* and \d{1,3}",
    "series": r"\d{1,3}(?:, \d{1,3}){2,4}",
    "sentence": r"[A-Za-z][A-Za-z ,']*\.",
    "text": r"[A-Z][A-Za-z0-9 ,.']*\.",
    "days": r"[A-Z][A-Za-z0-9 ,:]*\.",
    "events": r"[a-z]+ at \d{1,2}(?:, [a-z]+ at \d{1,2})* and [a-z]+ at \d{1,2}",
    "steps": r"[a-z]+(?: [a-z]+)*(?:, [a-z]+(?: [a-z]+)*)+",
    "code": r"\S.*",
}
_SLOT = re.compile(r"\{(\w+):(\w+)\}")


class Template:
    """A line of text with typed slots, such as `What is the capital of {country:name}?`.

    Args:
        text: the line; a slot is `{name:kind}`, kinds are the keys of `_PATTERNS`.
        fixed: slots that the wording itself decides, such as `topic="capital"`.
    """

    __slots__ = ("fixed", "head", "marker", "pattern", "pieces", "slots", "text")

    def __init__(self, text: str, **fixed: str) -> None:
        self.text = text
        self.fixed = fixed
        self.slots = tuple(name for name, _ in _SLOT.findall(text))
        literals = _SLOT.sub("\0", text).split("\0")
        self.pieces = literals
        self.marker = max(literals, key=len)
        # the first word is the key under which `TemplateIndex` files a template; "" when a slot begins the text
        first = literals[0].split(" ")[0] if " " in literals[0] else ""
        self.head = first
        self.pattern = re.compile(_to_regex(text))

    def fill(self, slots: Slots) -> str:
        """Write the line with its slots filled."""
        parts = [self.pieces[0]]
        for name, piece in zip(self.slots, self.pieces[1:], strict=True):
            parts += (slots[name], piece)
        return "".join(parts)

    def read(self, text: str) -> dict[str, str] | None:
        """The slots of a text, with the fixed ones; None where the text is another."""
        if self.marker not in text:
            return None
        match = self.pattern.fullmatch(text)
        return {**match.groupdict(), **self.fixed} if match else None

    def suits(self, slots: Slots) -> bool:
        """Whether the wording says what the slots say."""
        return all(slots.get(name) == value for name, value in self.fixed.items())


def _to_regex(text: str) -> str:
    seen: set[str] = set()
    regex, end = "", 0
    for match in _SLOT.finditer(text):
        regex += re.escape(text[end : match.start()])
        name, kind = match[1], match[2]
        regex += f"(?P={name})" if name in seen else f"(?P<{name}>{_PATTERNS[kind]})"
        seen.add(name)
        end = match.end()
    return regex + re.escape(text[end:])


class TemplateIndex:
    """Finds the templates that may match a text, by its first word."""

    def __init__(self, templates: Iterable[tuple[str, Template]]) -> None:
        self._by_head: dict[str, list[tuple[str, Template]]] = {}
        for family, template in templates:
            self._by_head.setdefault(template.head, []).append((family, template))

    def candidates(self, text: str) -> Iterable[tuple[str, Template]]:
        """The templates that may match, each with the name of its family."""
        yield from self._by_head.get(text.split(" ", 1)[0], ())
        yield from self._by_head.get("", ())
