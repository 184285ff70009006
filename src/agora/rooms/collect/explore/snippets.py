"""The place in a message where a query was found, with its words marked."""

from __future__ import annotations

from typing import NamedTuple

from markupsafe import Markup, escape

from agora.rooms.collect.explore.query import Phrase, Query
from agora.rooms.collect.explore.words import spans, tokens

_AROUND = 120  # characters before and after the first hit


class Piece(NamedTuple):
    """Some text, and whether it is a hit."""

    text: str
    hit: bool


def hits(text: str, query: Query) -> list[tuple[int, int]]:
    """Where the wanted phrases stand in a text, in order and without overlap."""
    places = spans(text)
    words = [word for _, _, word in places]
    found: list[tuple[int, int]] = []
    for i, word in enumerate(words):
        for phrase in query.wanted:
            if word == phrase[0] and tuple(words[i : i + len(phrase)]) == phrase:
                found.append((places[i][0], places[i + len(phrase) - 1][1]))
    merged: list[tuple[int, int]] = []
    for first, last in sorted(found):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return merged


def holds(text: str, query: Query) -> bool:
    """Whether a text has all wanted phrases and none of the unwanted."""
    words = tokens(text)
    first: dict[str, list[int]] = {}
    for i, word in enumerate(words):
        first.setdefault(word, []).append(i)

    def has(phrase: Phrase) -> bool:
        return any(tuple(words[i : i + len(phrase)]) == phrase for i in first.get(phrase[0], ()))

    return all(map(has, query.wanted)) and not any(map(has, query.unwanted))


def snippet(text: str, query: Query) -> list[Piece]:
    """The first hit with what stands around it; the beginning of a text without one."""
    found = hits(text, query)
    start = max(0, found[0][0] - _AROUND) if found else 0
    end = min(len(text), (found[0][1] if found else 0) + _AROUND * (1 if found else 2))
    if start:
        start = max(start, text.find(" ", start, min(start + 20, found[0][0])))  # begin with a whole word
    pieces = [Piece("… " if start else "", False)]
    at = start
    for first, last in found:
        if last > end:
            break
        pieces += [Piece(_flat(text[at:first]), False), Piece(_flat(text[first:last]), True)]
        at = last
    pieces += [Piece(_flat(text[at:end]), False), Piece(" …" if end < len(text) else "", False)]
    return [piece for piece in pieces if piece.text]


def as_html(pieces: list[Piece]) -> Markup:
    """Pieces as safe HTML, hits in ``<mark>``."""
    return Markup("").join(Markup("<mark>{}</mark>").format(p.text) if p.hit else escape(p.text) for p in pieces)


def _flat(text: str) -> str:
    return "".join(" " if c in "\r\n\t" else c for c in text)
