"""Redaction of what a release says: spans that annotations name, and what a second look still finds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from agora.curate.personal import Span, redact, redact_fully, residual
from agora.curate.personal.published_rules import is_replaced
from agora.rooms.collect.release.asked import Asked, value_key
from agora.rooms.collect.release.said import Said

_BY_PERSON = "person"  # what an operator marked is replaced by any rules


@dataclass(slots=True)
class Taken:
    """What redaction did in a batch; spans that only came to light afterwards are counted apart."""

    spans: Counter[str] = field(default_factory=Counter)
    late: int = 0
    exempt: Counter[str] = field(default_factory=Counter)  # left by the published rules
    residual: Counter[str] = field(default_factory=Counter)
    residual_ids: list[str] = field(default_factory=list)


def redact_all(asked: Asked, ids: Sequence[str], said: Said, public: Collection[bytes], taken: Taken) -> None:
    """Put tokens in place of personal data and secrets, in place; what is still found afterwards is counted.

    Args:
        asked: how.
        ids: of the conversations.
        said: their messages.
        public: values that stay, as :func:`value_key` makes them.
        taken: counts what was done.
    """
    settings = asked.settings.redaction
    if not settings.on and not settings.residual_scan:
        return
    for conversation_id, (start, end) in zip(ids, said.spans, strict=True):
        if settings.on:
            _redact(asked, said, range(start, end), public, taken)
            continue
        left = residual(said.texts[start:end], threshold=settings.threshold)
        if any(left):
            taken.residual.update(span.type for found in left for span in found)
            taken.residual_ids.append(conversation_id)


def _redact(asked: Asked, said: Said, places: range, public: Collection[bytes], taken: Taken) -> None:
    """Redact the messages of one conversation."""
    settings, texts = asked.settings.redaction, said.texts[places.start : places.stop]
    rules = _Rules(asked, said, places, public)
    spans = [list(rules.replaced(i)) for i in range(len(places))]
    if settings.residual_scan:
        may_stay = rules.may_stay if asked.by_published_rules else None
        texts, late = redact_fully(
            texts, spans, style=asked.settings.tokens, threshold=settings.threshold, may_stay=may_stay
        )
        taken.late += late
    elif any(spans):
        texts = redact(texts, spans, style=asked.settings.tokens, threshold=settings.threshold)
    taken.exempt.update(rules.exempt)
    for i, text, found in zip(places, texts, spans, strict=True):
        if text is not said.texts[i] and text != said.texts[i]:
            said.redacted[i], said.texts[i] = True, text
            taken.spans.update(span.type for span in found if span.score >= settings.threshold)


class _Rules:
    """Which spans of a conversation are replaced; messages are numbered within it."""

    def __init__(self, asked: Asked, said: Said, places: range, public: Collection[bytes]) -> None:
        self.asked, self.public = asked, public
        self.texts = said.texts[places.start : places.stop]
        self.found = said.found[places.start : places.stop]
        self.exempt: Counter[str] = Counter()

    def replaced(self, i: int) -> Iterator[Span]:
        """The spans of a message that are replaced; the others are counted."""
        for row in self.found[i].spans:
            span = Span.from_json(row)
            if not self.may_stay(i, self.texts[i], span):
                yield span
            elif self.asked.by_published_rules and span.score >= self.asked.settings.redaction.threshold:
                self.exempt[span.type] += 1

    def may_stay(self, i: int, text: str, span: Span) -> bool:
        """Whether what was found in a text, or in a redacted one by a second look, is left."""
        counted = self.public and self.asked.subjects_that_make_public(span.type)
        if counted and value_key(span.type, text[span.start : span.end]) in self.public:
            return True
        if not self.asked.by_published_rules or span.is_secret or span.by == _BY_PERSON:
            return False
        return not is_replaced(text, span, self.found[i].lang.get("name"))
