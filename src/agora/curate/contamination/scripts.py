"""In which script texts are written: enough to say that a comparison of spelling cannot see a translation."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence

_LOOKED_AT, _LETTERS = 2000, 100
_COMMON, _ENOUGH = 0.05, 0.01
_SAME = {"HIRAGANA": "JAPANESE", "KATAKANA": "JAPANESE"}


def script_of(text: str) -> str | None:
    """The script of most of the first 100 letters, such as ``LATIN`` or ``CJK``; None without letters."""
    letters = [c for c in text[: 10 * _LETTERS] if c.isalpha()][:_LETTERS]
    if not letters:
        return None
    if all(c.isascii() for c in letters):
        return "LATIN"
    counts = Counter(unicodedata.name(c, "OTHER").partition(" ")[0] for c in letters)
    found = counts.most_common(1)[0][0]
    return _SAME.get(found, found)


def unlike_scripts(tests: Sequence[str], rows: Sequence[str]) -> str:
    """A phrase that names a script of tests in which hardly any row is written, or the reverse; empty if there is none.

    Up to 2,000 evenly drawn texts of each side are looked at.
    """
    written = [
        Counter(filter(None, map(script_of, side[:: max(1, len(side) // _LOOKED_AT)]))) for side in (tests, rows)
    ]
    return _unlike(written[0], written[1], "tests in {} and hardly any row") or _unlike(
        written[1], written[0], "rows in {} and hardly any test"
    )


def _unlike(own: Counter[str], other: Counter[str], said: str) -> str:
    for script, n in own.most_common():
        if n >= _COMMON * sum(own.values()) and other[script] < _ENOUGH * max(sum(other.values()), 1):
            return said.format("Chinese characters" if script == "CJK" else script.capitalize())
    return ""
