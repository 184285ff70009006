"""Find personal data and secrets in texts.

Layers: A, shapes with checks (always on); C, names people give themselves; D, secrets. Layer B, a language model on
disk, is :mod:`agora.curate.personal.models`. Nothing here asks the network, and the work a text can cause is bounded:
patterns are linear, and telephone look-ups are counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from agora.curate.personal.cards import CARDS
from agora.curate.personal.names import NAMES
from agora.curate.personal.national_ids import NATIONAL_IDS
from agora.curate.personal.patterns import PATTERNS
from agora.curate.personal.phones import DEFAULT_REGIONS, find_phones
from agora.curate.personal.recognizer import CHUNK_CHARS, Recognizer, matches
from agora.curate.personal.secrets import SECRETS
from agora.curate.personal.spans import THRESHOLD, Span, in_order

VERSION = "1"
# languages whose speakers write national numbers of one country more often than of any other
_REGION_OF = {
    "en": "US", "de": "DE", "fr": "FR", "es": "ES", "it": "IT", "pt": "BR", "ru": "RU", "zh": "CN", "ja": "JP",
    "ko": "KR", "pl": "PL", "tr": "TR", "nl": "NL", "sv": "SE", "da": "DK", "nb": "NO", "no": "NO", "fi": "FI",
    "uk": "UA", "cs": "CZ", "hu": "HU", "el": "GR", "he": "IL", "hi": "IN", "id": "ID", "vi": "VN", "th": "TH",
    "ro": "RO", "fa": "IR", "ar": "SA",
}  # fmt: skip
_TAG = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z]{4})?(?:-(?P<region>[A-Za-z]{2}))?")


@dataclass(frozen=True, slots=True)
class Hints:
    """What is known of where a text comes from; decides in which countries a telephone number is looked up.

    Args:
        accept_language: the header.
        country: ISO code of two letters.
        language: of the text, ISO 639-1.
    """

    accept_language: str | None = None
    country: str | None = None
    language: str | None = None

    def regions(self) -> tuple[str, ...]:
        """The default regions and at most three more."""
        more: list[str | None] = [(self.country or "").upper() or None]
        for tag in (self.accept_language or "").split(",")[:4]:
            found = _TAG.match(tag.strip())
            if found:
                more.append((found["region"] or "").upper() or _REGION_OF.get(found[0][:2].lower()))
        more.append(_REGION_OF.get((self.language or "").lower()))
        known = [region for region in dict.fromkeys(more) if region and region not in DEFAULT_REGIONS]
        return (*DEFAULT_REGIONS, *known[:3])


NO_HINTS = Hints()


def find_shapes(text: str, hints: Hints = NO_HINTS, *, chunk: int = CHUNK_CHARS) -> list[Span]:
    """Layer A: what has a shape and, where there is one, a check digit.

    Args:
        text: any length.
        hints: where it comes from.
        chunk: characters looked at together; does not change the result.
    """
    found = list(_with((*PATTERNS, CARDS, *NATIONAL_IDS), text, chunk))
    # a card's, an account's or a state's number is no telephone number
    numbers = [s for s in found if s.score >= THRESHOLD and s.type in _NUMBERS]
    phones = find_phones(text, _regions(hints), chunk)
    found += [p for p in phones if not any(s.start < p.end and p.start < s.end for s in numbers)]
    return in_order(found)


_NUMBERS = frozenset({"CREDIT_CARD", "IBAN_CODE", "US_SSN", "NATIONAL_ID", "IP_ADDRESS", "CRYPTO"})


def find_names(text: str, *, chunk: int = CHUNK_CHARS) -> list[Span]:
    """Layer C: names that people give themselves."""
    return in_order(_with(NAMES, text, chunk))


def find_secrets(text: str, *, chunk: int = CHUNK_CHARS) -> list[Span]:
    """Layer D: keys, tokens, passwords; where one shape lies within another, the one that begins first is named."""
    kept: list[Span] = []
    for span in in_order(_with(SECRETS, text, chunk)):
        if not (kept and span.end <= kept[-1].end and span.score <= kept[-1].score):
            kept.append(span)
    return kept


def find(text: str, hints: Hints = NO_HINTS, *, chunk: int = CHUNK_CHARS) -> list[Span]:
    """Personal data (layers A and C) and secrets (layer D), by place.

    Example:
        >>> [(s.type, s.start, s.end) for s in find("Mail me at ada@lovelace.org, please.")]
        [('EMAIL_ADDRESS', 11, 27)]
    """
    secrets = find_secrets(text, chunk=chunk)
    return in_order([*find_shapes(text, hints, chunk=chunk), *find_names(text, chunk=chunk), *secrets])


def residual(texts: Sequence[str], *, threshold: float = THRESHOLD) -> list[list[Span]]:
    """What layers A and D still find in each text, at or above a threshold: what stops a release (gate 4).

    Only the default regions are asked, which every annotation has asked too, so that redacted text passes.
    """
    return [
        [span for span in in_order([*find_shapes(text), *find_secrets(text)]) if span.score >= threshold]
        for text in texts
    ]


def annotate_personal(texts: Sequence[str], hints: Sequence[Hints] | None = None) -> list[dict[str, Any]]:
    """Annotations of kind ``pii``: layers A and C, ``{"spans": [...]}`` for each text, without values."""
    given = hints or [NO_HINTS] * len(texts)
    return [
        {"spans": [s.as_json() for s in in_order([*find_shapes(text, hint), *find_names(text)])]}
        for text, hint in zip(texts, given, strict=True)
    ]


def annotate_secrets(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Annotations of kind ``secret``: layer D, ``{"spans": [...]}`` for each text, without values."""
    return [{"spans": [s.as_json() for s in find_secrets(text)]} for text in texts]


@lru_cache(maxsize=4096)
def _regions(hints: Hints) -> tuple[str, ...]:
    return hints.regions()


def _with(recognizers: Sequence[Recognizer], text: str, chunk: int) -> Iterator[Span]:
    for recognizer in recognizers:
        if recognizer.may(text):
            for found in matches(recognizer.pattern, text, chunk):
                yield from recognizer.judge(found)
