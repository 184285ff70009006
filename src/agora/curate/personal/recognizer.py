"""What a rule is: a pattern, a cheap first look, and a judgement of each match; and how a long text is walked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

from agora.curate.personal.spans import Span

CHUNK_CHARS = 4096
OVERLAP_CHARS = 64
_LOOK_BACK = 1024
_SPACE = re.compile(r"\s")


class Recognizer(NamedTuple):
    """One rule.

    Args:
        by: its name in the spans it makes.
        pattern: bounded everywhere, so that no text makes it slow.
        judge: spans of one match, with offsets in the whole text; none where the match is a look-alike of no interest.
        may: false for a text that certainly holds nothing for this rule.
    """

    by: str
    pattern: re.Pattern[str]
    judge: Callable[[re.Match[str]], Iterator[Span]]
    may: Callable[[str], bool]


@lru_cache(maxsize=16)
def count_digits(text: str) -> int:
    """ASCII digits of a text; remembered, because every rule that looks for a number asks first."""
    return sum(map(text.count, "0123456789"))


def matches(pattern: re.Pattern[str], text: str, chunk: int = CHUNK_CHARS) -> Iterator[re.Match[str]]:
    """The matches of a pattern in a text, looked for in windows of ``chunk`` characters that overlap by 64.

    A match belongs to the window it begins in. One that reaches its window's end is matched again with the whole text
    in view, and the next window begins behind it, so that offsets and matches do not depend on the size of the window.
    """
    n, at = len(text), 0
    while at < n:
        stop = _window_end(text, at, chunk)
        edge = min(n, stop + OVERLAP_CHARS)
        behind = stop
        for found in pattern.finditer(text, at, edge):
            if found.start() >= stop:
                break
            if found.end() == edge < n:
                whole = pattern.match(text, found.start())
                if whole is None:
                    continue
                found = whole
            behind = max(behind, found.end())
            yield found
        at = behind


def _window_end(text: str, at: int, chunk: int) -> int:
    """Where a window ends: at white space if there is some near its end, so that no long word is cut."""
    stop = at + chunk
    if stop >= len(text):
        return len(text)
    for back in range(stop, max(at, stop - _LOOK_BACK), -1):
        if text[back - 1].isspace():
            return back
    ahead = _SPACE.search(text, stop, stop + _LOOK_BACK)  # a word longer than the window
    return ahead.end() if ahead else min(len(text), stop + _LOOK_BACK)
