"""Put a token where personal data stood. A pure function of texts and spans; it finds nothing by itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, get_args

from agora.core.errors import UsageError
from agora.curate.personal.find import residual
from agora.curate.personal.spans import SECRET_TYPES, SHORT_NAMES, THRESHOLD, Span, merged

Style = Literal["numbered", "compat"]
STYLES: tuple[str, ...] = get_args(Style)
_TOKEN = re.compile(r"<(?P<word>[A-Z][A-Z_]{1,30})_(?P<number>\d{1,6})>")
_LOOSE = re.compile(r"[\s().+-]+")
_BY_DIGITS = frozenset({"PHONE_NUMBER", "CREDIT_CARD", "US_SSN", "NATIONAL_ID"})
_SPREADS = frozenset({"EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "US_SSN", "NATIONAL_ID", "CRYPTO"})


def redact(
    texts: Sequence[str],
    spans: Sequence[Iterable[Span]],
    *,
    style: Style = "numbered",
    threshold: float = THRESHOLD,
) -> list[str]:
    """The texts of one conversation with tokens in place of what the spans mark.

    Spans that overlap become one token under the type of the longest. A value that is marked in one text is replaced in
    all of them, also where the words that gave it away do not stand beside it. In the numbered style (``<EMAIL_1>``)
    the same value has the same number throughout the conversation; numbers that the texts already hold are left free.

    Args:
        texts: of one conversation, in order.
        spans: of each text; offsets in its characters.
        style: ``numbered``, or ``compat``: ``<PRESIDIO_ANONYMIZED_TYPE>`` and ``<TRUFFLEHOG_REDACTED_DETECTOR>`` as in
            the published WildChat.
        threshold: spans that score less stay.

    Raises:
        UsageError: an unknown style, or a span that does not lie in its text.

    Example:
        >>> from agora.curate.personal import find
        >>> texts = ["I am at ada@lovelace.org", "So ada@lovelace.org it is."]
        >>> redact(texts, [find(text) for text in texts])
        ['I am at <EMAIL_1>', 'So <EMAIL_1> it is.']
    """
    if style not in STYLES:
        raise UsageError(f"{style!r} is no style of redaction", hint=f"choose {' or '.join(STYLES)}")
    chosen = [
        _within(text, [s for s in found if s.score >= threshold]) for text, found in zip(texts, spans, strict=True)
    ]
    if not any(chosen):
        return list(texts)
    values = _values(texts, chosen)
    numbers = _Numbers(texts) if style == "numbered" else None
    done = []
    for text, found in zip(texts, chosen, strict=True):
        parts, at = [], 0
        for span in merged([*found, *_repeats(text, values)]):
            parts += [text[at : span.start], _compat(span) if numbers is None else numbers.token(span, text)]
            at = span.end
        done.append("".join([*parts, text[at:]]))
    return done


def redact_fully(
    texts: Sequence[str],
    spans: Sequence[Iterable[Span]],
    *,
    style: Style = "numbered",
    threshold: float = THRESHOLD,
    may_stay: Callable[[int, str, Span], bool] | None = None,
) -> tuple[list[str], int]:
    """Redact, look again at what became of the texts, and redact what only then comes to light.

    A token may bring a number nearer to a word that gives it away. Each pass takes something out, so there is an end.

    Args:
        texts: as for :func:`redact`.
        spans: as there.
        style: as there.
        threshold: as there.
        may_stay: what comes to light in a text (its place among the texts, itself, the span) and is not to be
            replaced.

    Returns:
        The texts, in which :func:`agora.curate.personal.find.residual` finds nothing but what may stay, and how many
        spans came to light.
    """
    done, extra = redact(texts, spans, style=style, threshold=threshold), 0
    while any(left := _left(done, threshold, may_stay)):
        extra += sum(map(len, left))
        done = redact(done, left, style=style, threshold=threshold)
    return done, extra


def _left(
    texts: Sequence[str], threshold: float, may_stay: Callable[[int, str, Span], bool] | None
) -> list[list[Span]]:
    found = residual(texts, threshold=threshold)
    if may_stay is None:
        return found
    return [
        [span for span in spans if not may_stay(i, text, span)]
        for i, (text, spans) in enumerate(zip(texts, found, strict=True))
    ]


def _within(text: str, spans: Iterable[Span]) -> list[Span]:
    found = list(spans)
    for span in found:
        if not 0 <= span.start < span.end <= len(text):
            raise UsageError(
                f"a span of {span.type} at {span.start}..{span.end} does not lie in its text of {len(text)} characters",
                hint="find again: the text was changed after its spans were found",
            )
    return found


def _values(texts: Sequence[str], spans: Sequence[Sequence[Span]]) -> dict[str, Span]:
    """The values that are replaced wherever they stand."""
    values: dict[str, Span] = {}
    for text, found in zip(texts, spans, strict=True):
        for span in found:
            value = text[span.start : span.end]
            full_name = span.type == "PERSON" and (" " in value or not value.isascii())
            if len(value) >= 3 and (span.type in _SPREADS or span.is_secret or full_name):
                values.setdefault(value, span)
    return values


def _repeats(text: str, values: dict[str, Span]) -> Iterator[Span]:
    for value, span in values.items():
        at = text.find(value)
        while at >= 0:
            end = at + len(value)
            if not (_joined(text, at) or _joined(text, end)):
                yield span._replace(start=at, end=end)
            at = text.find(value, end)


def _joined(text: str, place: int) -> bool:
    """Whether a place lies inside a word of letters and digits as alphabets write them."""
    if not 0 < place < len(text):
        return False
    before, after = text[place - 1], text[place]
    return before.isalnum() and after.isalnum() and (before.isascii() or after.isascii())


def _compat(span: Span) -> str:
    detector = SECRET_TYPES.get(span.type)
    return f"<TRUFFLEHOG_REDACTED_{detector.upper()}>" if detector else f"<PRESIDIO_ANONYMIZED_{span.type}>"


class _Numbers:
    """The numbers of a conversation's values, type by type."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._given: dict[tuple[str, str], int] = {}
        self._next: dict[str, int] = {}
        for text in texts:
            for found in _TOKEN.finditer(text) if "<" in text else ():
                self._next[found["word"]] = max(self._next.get(found["word"], 1), int(found["number"]) + 1)

    def token(self, span: Span, text: str) -> str:
        word = "SECRET" if span.is_secret else SHORT_NAMES.get(span.type, span.type)
        key = (word, _same(span, text[span.start : span.end]))
        if key not in self._given:
            self._given[key] = self._next.get(word, 1)
            self._next[word] = self._given[key] + 1
        return f"<{word}_{self._given[key]}>"


def _same(span: Span, value: str) -> str:
    """A value without what may differ between two ways to write it."""
    if span.type in _BY_DIGITS:
        return _LOOSE.sub("", value)
    if span.type == "IBAN_CODE":
        return _LOOSE.sub("", value).upper()
    return value if span.is_secret else value.casefold()
