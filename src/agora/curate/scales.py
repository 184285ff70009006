"""The label sets of instruction data (arXiv:2406.08464, section 3.2): values, their order, their spellings."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agora.core.files import nearest


@dataclass(frozen=True, slots=True)
class Scale:
    """The values that a label may have; ``ordered`` from the lowest to the highest where they have an order."""

    name: str
    values: tuple[str, ...]
    ordered: bool = True

    def rank(self, value: object) -> int | None:
        """1 for the lowest value; None for what is not on the scale."""
        found = self.match(value)
        return None if found is None else self.values.index(found) + 1

    def match(self, value: object) -> str | None:
        """The value of the scale that a spelling stands for: any case, in brackets or quotes, ``_`` for a space."""
        if value in self.values:  # nearly all of them
            return str(value)
        return _spelling(value, self) if isinstance(value, str) else None

    def nearest(self, word: str) -> str | None:
        """The most similar value."""
        return nearest(word.lower(), [v.lower() for v in self.values])


_TRIM = re.compile(r"^[\s\[\](){}<>\"'*`.:,;!]+|[\s\[\](){}<>\"'*`.:,;!]+$")


def _spelling(value: str, scale: Scale) -> str | None:
    if len(value) > 100:
        return None
    plain = " ".join(_TRIM.sub("", value).lower().replace("_", " ").split())
    plain = _OTHER_NAMES.get(plain, plain)
    return next((v for v in scale.values if v.lower() == plain), None)


_OTHER_NAMES = {"other": "others", "coding and debugging": "coding & debugging", "coding": "coding & debugging"}

QUALITY = Scale("quality", ("very poor", "poor", "average", "good", "excellent"))
DIFFICULTY = Scale("difficulty", ("very easy", "easy", "medium", "hard", "very hard"))
CATEGORY = Scale(
    "category",
    (
        "Information seeking",
        "Reasoning",
        "Planning",
        "Editing",
        "Coding & Debugging",
        "Math",
        "Role playing",
        "Data analysis",
        "Creative writing",
        "Advice seeking",
        "Brainstorming",
        "Others",
    ),
    ordered=False,
)
SAFETY = Scale("safety", ("safe", "unsafe"), ordered=False)
SCALES = {scale.name: scale for scale in (QUALITY, DIFFICULTY, CATEGORY, SAFETY)}
