"""Payment cards: 12 to 19 digits that begin as an issuer's numbers do and pass Luhn's check."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agora.curate.personal.recognizer import Recognizer, count_digits
from agora.curate.personal.spans import Span

# (first, last, lengths): issuer identification numbers; both ends have the same number of digits
_ISSUERS: tuple[tuple[str, str, frozenset[int]], ...] = tuple(
    (first, last, frozenset(lengths))
    for first, last, lengths in (
        ("34", "34", [15]),  # American Express
        ("37", "37", [15]),
        ("4", "4", [13, 16, 19]),  # Visa
        ("51", "55", [16]),  # Mastercard
        ("2221", "2720", [16]),
        ("300", "305", range(14, 20)),  # Diners Club
        ("3095", "3095", range(14, 20)),
        ("36", "36", range(14, 20)),
        ("38", "39", range(14, 20)),
        ("6011", "6011", range(16, 20)),  # Discover
        ("622126", "622925", range(16, 20)),
        ("644", "649", range(16, 20)),
        ("65", "65", range(16, 20)),
        ("1800", "1800", [15]),  # JCB
        ("2131", "2131", [15]),
        ("3528", "3589", range(16, 20)),
        ("5018", "5018", range(12, 20)),  # Maestro
        ("5020", "5020", range(12, 20)),
        ("5038", "5038", range(12, 20)),
        ("56", "58", range(12, 20)),
        ("0604", "0604", range(12, 20)),
        ("6304", "6304", range(12, 20)),
        ("6390", "6390", range(12, 20)),
        ("6759", "6759", range(12, 20)),
        ("6761", "6763", range(12, 20)),
        ("5019", "5019", [16]),  # Dankort
        ("62", "62", range(16, 20)),  # UnionPay
        ("81", "81", range(16, 20)),
        ("2200", "2204", range(16, 20)),  # Mir
        ("508", "508", [16]),  # RuPay
        ("60", "60", [16]),
        ("82", "82", [16]),
        ("506099", "506198", [16, 18, 19]),  # Verve
        ("9792", "9792", [16]),  # Troy
    )
)
_DIGITS = re.compile(r"(?<![\w.,+-])\d(?:[ -]?\d){11,22}(?![\w-]|[.,]\d)")
_CUE = re.compile(
    r"\b(?:cards?|credit|debit|cc|visa|mastercard|maestro|amex|karte|kreditkarte|carte|tarjeta|cart[aã]o|carta|kaart"
    r"|карт\w{1,3})\b|卡|カード|카드",
    re.IGNORECASE,
)
_GROUP = re.compile(r"\d+")


def is_card(digits: str, *, cued: bool = False) -> bool:
    """Whether digits are a card's number: an issuer's beginning, a length of that issuer, Luhn's check.

    Source of the beginnings: ISO/IEC 7812 as the issuers publish them; 2-series Mastercard, 12- and 19-digit Maestro
    and JCB's 2131 and 1800 are among them.

    Args:
        digits: nothing but digits.
        cued: a word beside the number calls it a card; then the issuer need not be known.
    """
    n = len(digits)
    if not 12 <= n <= 19 or len(set(digits)) < 2 or not _luhn(digits):
        return False
    return cued or any(n in lengths and first <= digits[: len(first)] <= last for first, last, lengths in _ISSUERS)


def _luhn(digits: str) -> bool:
    doubled = sum(d * 2 - 9 if d > 4 else d * 2 for d in map(int, digits[-2::-2]))
    return (doubled + sum(map(int, digits[-1::-2]))) % 10 == 0


def _card(found: re.Match[str]) -> Iterator[Span]:
    """The longest run of whole groups that is a card's number; an expiry date may stand behind it."""
    groups = list(_GROUP.finditer(found.string, found.start(), found.end()))
    cued = _CUE.search(found.string, max(0, found.start() - 50), min(len(found.string), found.end() + 20)) is not None
    by, score = ("card_cue", 0.95) if cued else ("card", 0.8)
    if len(groups) > 7:  # digits one by one
        if is_card("".join(g[0] for g in groups), cued=cued):
            yield Span("CREDIT_CARD", found.start(), found.end(), score, by)
        return
    for first in range(len(groups)):
        for last in range(len(groups), first, -1):
            chosen = groups[first:last]
            if is_card("".join(g[0] for g in chosen), cued=cued):
                yield Span("CREDIT_CARD", chosen[0].start(), chosen[-1].end(), score, by)
                return


def _may(text: str) -> bool:
    return count_digits(text) >= 12


CARDS = Recognizer("card", _DIGITS, _card, _may)
