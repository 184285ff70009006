"""Read a judge's reply: a score from 1 to 10, one of the five choices, or a checklist. How: agora.core.replies."""

from __future__ import annotations

import re
from functools import lru_cache

from agora.core.replies import MAX_CHARS, Parsed, parse_reply, plain

CHOICES = ("A++", "A+", "A=B", "B+", "B++")
_MET = {"yes": 1.0, "partly": 0.5, "no": 0.0}
_SCORE = re.compile(r"([+-]?[0-9]+(?:\.[0-9]+)?)\s*(?:(?:/|out of)\s*10(?:\.0+)?)?", re.IGNORECASE)
_LOOSE_CHOICE = re.compile(r"\[\[\s*([AB](?:\+\+?|\s*=\s*[AB]))\s*\]\]", re.IGNORECASE)


def parse_score(text: str, token: str | None = None) -> Parsed:
    """Read a score from 1 to 10 out of a reply with the key ``score``."""
    return parse_reply(text, "score", read_score, token)


def parse_choice(text: str, token: str | None = None) -> Parsed:
    """Read one of ``A++ A+ A=B B+ B++`` out of a reply with the key ``choice``."""
    parsed = parse_reply(text, "choice", read_choice, token)
    if parsed.status == "no_value" and token is None:
        loose = [read_choice(found) for found in _LOOSE_CHOICE.findall(str(text)[-MAX_CHARS:])]
        if loose:
            return loose[-1]
    return parsed


def parse_checklist(text: str, token: str | None = None, *, num_items: int) -> Parsed:
    """Read which of ``num_items`` questions are met out of a reply with the key ``items``.

    Every question must be settled, and settled once. The value is the share met, in 0..1, with "partly" as a half.
    """
    return parse_reply(text, "items", lambda value: _read_items(value, num_items), token, only_json=True)


def _read_items(value: object, num_items: int) -> Parsed:
    entries = plain(value)
    met: dict[int, str] = {}
    for entry in entries if isinstance(entries, list) else ():
        number, said = (entry.get("item"), entry.get("met")) if isinstance(entry, dict) else (None, None)
        said = "yes" if said is True else "no" if said is False else said
        if isinstance(number, str) and number.strip().isdecimal():
            number = int(number)
        if not isinstance(said, str) or isinstance(number, bool) or not isinstance(number, int):
            return Parsed("no_value")
        said = said.strip().strip("*[]'\".").lower()
        if said not in _MET or number in met or not 1 <= number <= num_items:
            return Parsed("contradictory" if number in met else "no_value")
        met[number] = said
    if len(met) != num_items or not num_items:
        return Parsed("no_value")
    return Parsed("ok", sum(_MET[said] for said in met.values()) / num_items)


def read_score(value: object) -> Parsed:
    """A score from a JSON value: a number, "7.5", "8/10" or "8 out of 10"; nothing else is one."""
    if isinstance(value, str):
        return _read_score_text(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return Parsed("no_value")
    return Parsed("ok", float(value)) if 1 <= value <= 10 else Parsed("out_of_range")


@lru_cache(maxsize=256)
def _read_score_text(text: str) -> Parsed:
    found = _SCORE.fullmatch(text.strip().strip("*[]'\".").strip())
    return read_score(float(found[1])) if found else Parsed("no_value")


def read_choice(value: object) -> Parsed:
    """A choice from a JSON value: one of the five, in any case, bare or in square brackets."""
    if not isinstance(value, str):
        return Parsed("no_value")
    choice = re.sub(r"[\s\[\]\"'*]", "", value).upper()
    return Parsed("ok", choice) if choice in CHOICES else Parsed("no_value")
