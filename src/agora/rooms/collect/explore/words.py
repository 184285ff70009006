"""Text as a search index sees it: words without case and Latin accents, scripts without spaces one character each.

Chinese, Japanese, Korean, Thai, Lao, Khmer and Burmese text has no spaces between words, so each of its characters is
a word of its own here and what was typed together is looked for as a phrase. A two-character word is then found
exactly where the two characters stand side by side: what lies between two characters that do not (a space, a comma)
is a word too.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache

#: Raised when the same text would give other words: an index of another version is made anew.
VERSION = 1

_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\ua9e0-\ua9ff\uaa60-\uaa7f"  # Burmese
    "\u1780-\u17ff\u19e0-\u19ff"  # Khmer
    "\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff\uffa0-\uffdc"  # Hangul
    "\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # kana
    "\u3005-\u3007\u3100-\u312f\u31a0-\u31bf\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"  # Chinese
)
_ONE_UNSPACED = re.compile(f"[{_UNSPACED}]")
_ASCII_WORD = re.compile("[A-Za-z0-9]+")
_LATIN_MARKS = re.compile("([a-z])[\u0300-\u036f]+")
_LAST_MARK = 0x1FFFF
#: The word that stands for whatever keeps two characters apart: a private character, which both indexes take.
_GAP = "\ue000"


def spaced(text: str) -> str:
    """The text with spaces around every character of a script that has none: what SQLite's index is given."""
    if text.isascii() or not _ONE_UNSPACED.search(text):
        return text
    apart = _gap().sub(f" {_GAP} ", unicodedata.normalize("NFC", text))
    return _ONE_UNSPACED.sub(r" \g<0> ", apart)


def fold(word: str) -> str:
    """A word in lower case, without the accents of Latin letters."""
    low = word.lower()
    if low.isascii():
        return low
    return unicodedata.normalize("NFC", _LATIN_MARKS.sub(r"\1", unicodedata.normalize("NFD", low)))


def spans(text: str) -> list[tuple[int, int, str]]:
    """The words of a text: first character, one past the last, and the word folded."""
    if text.isascii():
        return [(match.start(), match.end(), match.group().lower()) for match in _ASCII_WORD.finditer(text)]
    return [
        (match.start(), match.end(), _GAP if match.lastgroup else fold(match.group()))
        for match in _word().finditer(text)
    ]


def tokens(text: str) -> list[str]:
    """The folded words of a text in order: what PostgreSQL's index is given, and what a query is made of."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return [word for _, _, word in spans(unicodedata.normalize("NFC", text))]


@cache
def _gap() -> re.Pattern[str]:
    return re.compile(f"(?<=[{_UNSPACED}])[^\\w{_marks()}{_UNSPACED}{_GAP}]+(?=[{_UNSPACED}])")


@cache
def _word() -> re.Pattern[str]:
    one = f"[{_UNSPACED}]|(?:(?![{_UNSPACED}])(?:[^\\W_]|[{_marks()}{_GAP}]))+"
    return re.compile(f"(?P<gap>{_gap().pattern})|{one}")


@cache
def _marks() -> str:
    """All combining marks as ranges of a character class: without them Hindi words fall to pieces."""
    ranges: list[list[int]] = []
    for code in range(0x300, min(_LAST_MARK, sys.maxunicode) + 1):
        if unicodedata.category(chr(code))[0] == "M":
            if ranges and ranges[-1][1] == code - 1:
                ranges[-1][1] = code
            else:
                ranges.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges)
