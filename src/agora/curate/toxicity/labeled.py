"""Texts with known categories, for training and measuring: the moderation test set, or any file of the same idea."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from agora.core.errors import DataError
from agora.core.records import JsonMap
from agora.core.tables import Rejects, read_rows

ANY = "any"  # the category of a text to which any other applies
# letters of the moderation test set (arXiv:2208.03274) -> the names of the moderation interface
TEST_SET: Mapping[str, str] = {
    "S": "sexual",
    "H": "hate",
    "V": "violence",
    "HR": "harassment",
    "SH": "self-harm",
    "H2": "hate/threatening",
    "V2": "violence/graphic",
}
_HINT = 'a row is {"text": ..., "categories": {"hate": true, ...}} or has the letters S H V HR SH H2 V2'


@dataclass(frozen=True, slots=True)
class LabeledText:
    """A text and what is known of it; a category that is absent is unknown, not false."""

    text: str
    categories: Mapping[str, bool]

    @property
    def any(self) -> bool:
        """Whether a known category applies; nothing is known of a text: no."""
        return any(self.categories.values())

    def known(self, category: str) -> bool | None:
        """Whether a category applies; None where nobody said."""
        return self.any if category == ANY else self.categories.get(category)


def read_labeled(path: Path) -> list[LabeledText]:
    """Read ``{"prompt" or "text": ..., "S": 0, "H": 1, ...}`` or ``{"text": ..., "categories": {NAME: bool}}`` rows.

    Raises:
        MissingError: no such file.
        DataError: a row has another layout, or no row is left.
    """
    found = []
    for line, row in read_rows(Path(path), rejects=Rejects()):
        text, categories = row.get("prompt", row.get("text")), _categories(row)
        if not isinstance(text, str):
            raise DataError("not a text with known categories", where=f"{path}:{line}", hint=_HINT)
        found.append(LabeledText(text, categories))
    if not any(row.categories for row in found):
        raise DataError("no text of it has a known category", where=str(path), hint=_HINT)
    return found


def _categories(row: JsonMap) -> dict[str, bool]:
    given = row.get("categories")
    if isinstance(given, dict):
        return {str(name): bool(value) for name, value in given.items() if value is not None}
    return {name: bool(row[letter]) for letter, name in TEST_SET.items() if row.get(letter) is not None}


def categories_of(labeled: Sequence[LabeledText], fewest: int = 6) -> list[str]:
    """``any`` and the categories that at least ``fewest`` texts have and as many do not."""
    names = dict.fromkeys(name for row in labeled for name in row.categories)
    chosen = []
    for name in [ANY, *names]:
        known = [value for row in labeled if (value := row.known(name)) is not None]
        if min(sum(known), len(known) - sum(known)) >= fewest:
            chosen.append(name)
    return chosen
