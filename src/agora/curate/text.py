"""What two texts are compared by: one normal form, character shingles, and how much a text repeats itself."""

from __future__ import annotations

import re
import unicodedata

SHINGLE_CHARS = 5
_LONG_CHARS = 64
_WORD = re.compile(r"\w+")
_ASCII_WORDS = bytes(ord(chr(b).lower()) if _WORD.match(chr(b)) else ord(" ") for b in range(128)) + bytes(128)


def normalize(text: str) -> str:
    """NFC, lower case, every run of white space one space, none at the ends. Applying it twice changes nothing."""
    if text.isascii():
        return " ".join(text.lower().split())
    lowered = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())
    return " ".join(lowered.split())


def shingles(text: str, n: int = SHINGLE_CHARS) -> list[str]:
    """All runs of ``n`` characters, repeats included; a shorter text is its own only shingle, an empty one has none."""
    if len(text) <= n:
        return [text] if text else []
    if len(text) < _LONG_CHARS or "\0" in text:  # numpy drops NUL at the end of a string
        return [text[i : i + n] for i in range(len(text) - n + 1)]
    import numpy as np

    codes = text.encode("utf-32-le", "surrogatepass")
    # overlapping windows over one buffer: 2.5 times as fast as slicing
    windows: list[str] = np.ndarray((len(text) - n + 1,), f"<U{n}", codes, 0, (4,)).tolist()
    return windows


def words(text: str) -> list[str]:
    """The words of a text: runs of ``\\w``, lower case."""
    if text.isascii():  # three times as fast
        return text.encode().translate(_ASCII_WORDS).decode().split()
    return _WORD.findall(text.lower())


def repeated_share(text: str, n: int = 10) -> float:
    """Share of repeats among the runs of ``n`` words: 1 - distinct / total; 0.0 when there are fewer than ``n`` words.

    Words are split at white space. At 0.5 and above a text goes in circles (specification of the data: 177 of 6,128
    judged answers, mean score 3.6 against 6.2).
    """
    words = text.split()
    total = len(words) - n + 1
    if total < 1:
        return 0.0
    return 1.0 - len({tuple(words[i : i + n]) for i in range(total)}) / total
