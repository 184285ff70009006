"""Which conversations are meant: words and filters, the same at the command line, in an address and when saved."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from agora.core.errors import UsageError
from agora.rooms.collect.explore.query import Part, Query, parse_query

Rating = Literal["up", "down"]
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_MOST_TURNS = 1_000_000


@dataclass(frozen=True, slots=True)
class Selection:
    """Words and filters; what is None or empty does not narrow.

    Args:
        words: a query, see :mod:`agora.rooms.collect.explore.query`.
        part: look for the words in prompts or in replies alone.
        language: code of the language most messages are in, such as ``en``.
        country: two letters, such as ``DE``.
        model: of the last reply.
        source: where the conversation came from.
        category: of the prompt, where such annotations were made.
        topic: number of a topic.
        month: such as ``2026-01``.
        toxic: whether any message was flagged.
        redacted: whether personal data or secrets were found.
        min_turns: least number of user messages.
        since: first day (UTC) of the conversation's begin.
        until: last day.
        rating: has a reply that was rated so.
        max_automation: highest automation score; conversations without one are kept.
        conversation: one id.
        person: a subject's id or the pseudonym of an address; for operators.
    """

    words: str = ""
    part: Part | None = None
    language: str | None = None
    country: str | None = None
    model: str | None = None
    source: str | None = None
    category: str | None = None
    topic: int | None = None
    month: str | None = None
    toxic: bool | None = None
    redacted: bool | None = None
    min_turns: int | None = None
    since: str | None = None
    until: str | None = None
    rating: Rating | None = None
    max_automation: float | None = None
    conversation: str | None = None
    person: str | None = None

    def query(self) -> Query:
        """The words as a query.

        Raises:
            UsageError: see :func:`agora.rooms.collect.explore.query.parse_query`.
        """
        return parse_query(self.words)

    def params(self) -> dict[str, str]:
        """What narrows, as text: for an address or a row. :meth:`of` reads it back."""
        return {name: _text(value) for name, value in asdict(self).items() if value not in (None, "")}

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Selection:
        """A selection from text, such as the parameters of an address; unknown names are passed over.

        Raises:
            UsageError: a value is not of its kind; names it.
        """
        known = {f.name for f in fields(cls)}
        values: dict[str, Any] = {k: v.strip()[:1000] for k, v in given.items() if k in known and v.strip()}
        for name in ("toxic", "redacted"):
            if name in values:
                values[name] = _one_of(name, values[name], {"yes": True, "no": False})
        for name, allowed in (("rating", ("up", "down")), ("part", ("prompt", "reply"))):
            if name in values:
                values[name] = _one_of(name, values[name], {a: a for a in allowed})
        for name in ("topic", "min_turns"):
            if name in values:
                values[name] = int(_number(name, values[name], whole=True))
        if "max_automation" in values:
            values["max_automation"] = _number("max_automation", values["max_automation"], whole=False)
        for name in ("since", "until"):
            if name in values:
                _day(name, values[name])
        if "country" in values:
            values["country"] = values["country"].upper()
        return cls(**values)

    def where(self) -> tuple[str, dict[str, Any]]:
        """The filters without the words as SQL over ``search_conversations c``, and its parameters."""
        parts, values = ["1 = 1"], {}
        for name in ("language", "country", "model", "source", "category", "topic", "month"):
            if (value := getattr(self, name)) is not None:
                parts.append(f"c.{name} = :{name}")
                values[name] = value
        for name in ("toxic", "redacted"):
            if (value := getattr(self, name)) is not None:
                parts.append(f"c.{name} = :{name}")
                values[name] = value
        if self.min_turns is not None:
            parts.append("c.turns >= :min_turns")
            values["min_turns"] = self.min_turns
        if self.since is not None:
            parts.append("c.created_us >= :since_us")
            values["since_us"] = _micros(_day("since", self.since))
        if self.until is not None:
            parts.append("c.created_us < :until_us")
            values["until_us"] = _micros(_day("until", self.until) + timedelta(days=1))
        if self.rating is not None:
            parts.append("c.ups > 0" if self.rating == "up" else "c.downs > 0")
        if self.max_automation is not None:
            parts.append("(c.automation IS NULL OR c.automation <= :max_automation)")
            values["max_automation"] = self.max_automation
        if self.conversation is not None:
            parts.append("c.conversation_id = :conversation")
            values["conversation"] = self.conversation
        if self.person is not None:
            parts.append(
                "c.subject_id IN (SELECT subject_id FROM subjects WHERE subject_id = :person OR ip_pseudonym = :person)"
            )
            values["person"] = self.person
        return " AND ".join(parts), values


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _one_of(name: str, given: str, allowed: Mapping[str, Any]) -> Any:
    if given not in allowed:
        raise UsageError(f"{name} is {' or '.join(allowed)}, got {given!r}")
    return allowed[given]


def _number(name: str, given: str, *, whole: bool) -> float:
    try:
        value = int(given) if whole else float(given)
    except ValueError:
        raise UsageError(f"{name} is a {'whole ' if whole else ''}number, got {given!r}") from None
    if not abs(value) <= _MOST_TURNS:
        raise UsageError(f"{name} is at most {_MOST_TURNS:,}, got {given!r}")
    return value


def _day(name: str, given: str) -> date:
    try:
        if not _DATE.fullmatch(given):
            raise ValueError
        return date.fromisoformat(given)
    except ValueError:
        raise UsageError(f"{name} is a day such as 2026-01-31, got {given!r}") from None


def _micros(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000_000
