"""One pass over conversations: every count that the tables need. Memory grows with people, not with rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

from agora.core.records import JsonMap
from agora.rooms.collect.statistics.repeats import LongPrompts
from agora.rooms.collect.statistics.sizes import Count, Sample, Spread
from agora.rooms.collect.statistics.told import Told, Utterance

PARTS = {"user": "user", "assistant": "chatbot"}
CLASSIFIERS = ("detoxify", "openai_moderation")


@dataclass(frozen=True, slots=True)
class Choices:
    """What the counts depend on.

    Args:
        name: of the data set, in the tables.
        tokens: counts the tokens of a text; None: only words and characters are counted.
        tokenizer: its name.
        threshold: a Detoxify score above it is toxic (the paper: 0.1).
        language_least: a language counts as one of the set's if more user prompts than this are in it (the paper: 100).
        long_chars: length from which repeated prompts are looked for.
        sample: first prompts that the diversity of words is measured on.
        seed: of that sample.
    """

    name: str = "ours"
    tokens: Count | None = None
    tokenizer: str = ""
    threshold: float = 0.1
    language_least: int = 100
    long_chars: int = 500
    sample: int = 10_000
    seed: int = 0


@dataclass(slots=True)
class Toxic:
    """Verdicts over utterances. A share is of those that the classifier saw."""

    seen: Counter[str] = field(default_factory=Counter)
    flagged: Counter[str] = field(default_factory=Counter)

    def add(self, utterance: Utterance) -> None:
        """See one utterance."""
        for name, verdict in utterance.flagged.items():
            self.seen[name] += 1
            self.flagged[name] += verdict
        if utterance.flagged:
            self.seen["either"] += 1
            self.flagged["either"] += any(utterance.flagged.values())
        if all(name in utterance.flagged for name in CLASSIFIERS):
            self.seen["both"] += 1
            self.flagged["both"] += all(utterance.flagged[name] for name in CLASSIFIERS)

    def share(self, name: str) -> float | None:
        """None when the classifier saw nothing."""
        return self.flagged[name] / self.seen[name] if self.seen[name] else None


@dataclass(slots=True)
class Month:
    """Counts of one month."""

    conversations: int = 0
    turns: int = 0
    toxic: dict[str, Toxic] = field(default_factory=lambda: {part: Toxic() for part in PARTS.values()})


class Tally:
    """All counts of a data set."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.conversations = self.turns = self.multi = self.over_ten = 0
        self.rounds = Spread()
        self.subjects: set[bytes] = set()
        self.units = ["words", "characters"] + (["tokens"] if choices.tokens else [])
        self.sizes = {(unit, part): Spread() for unit in self.units for part in PARTS.values()}
        self.models: Counter[str] = Counter()
        self.countries: Counter[str] = Counter()
        self.prompt_categories: Counter[str] = Counter()
        self.prompt_languages: Counter[str] = Counter()
        self.turn_languages: Counter[str] = Counter()
        self.toxic = {part: Toxic() for part in PARTS.values()}
        self.detoxify: Counter[str] = Counter()
        self.categories: Counter[str] = Counter()
        self.detail_seen: Counter[str] = Counter()
        self.flagged_prompts = self.flagged_sexual = 0
        self.months: dict[str, Month] = {}
        self.first: str | None = None
        self.last: str | None = None
        self.sample = Sample(choices.sample, choices.seed)
        self.long = LongPrompts(choices.long_chars)
        self.empty = 0

    def add(self, told: Told) -> None:
        """Count one conversation."""
        self.conversations += 1
        questions = sum(u.role == "user" for u in told.utterances)
        self.turns += questions
        self.rounds.add(told.rounds)
        self.multi += told.rounds > 1
        self.over_ten += told.rounds > 10
        if told.subject:
            self.subjects.add(blake2b(told.subject.encode(), digest_size=8).digest())
        for counter, value in (
            (self.models, told.model),
            (self.countries, told.country),
            (self.prompt_categories, told.category),
        ):
            if value:
                counter[value] += 1
        month = self._month(told, questions)
        before: Utterance | None = None
        for utterance in told.utterances:
            self._utterance(utterance, month)
            if utterance.role == "assistant" and before is not None and before.role == "user":
                toxic = any(utterance.flagged.values()) if utterance.flagged else None
                self.long.add(before.content, told.subject, toxic_reply=toxic)
            before = utterance
        first = next((u.content for u in told.utterances if u.role == "user"), None)
        if first is not None:
            self.sample.add(first)

    def _month(self, told: Told, questions: int) -> Month | None:
        if not told.created:
            return None
        day = told.created[:10]
        self.first = min(self.first or day, day)
        self.last = max(self.last or day, day)
        month = self.months.setdefault(day[:7], Month())
        month.conversations += 1
        month.turns += questions
        return month

    def _utterance(self, utterance: Utterance, month: Month | None) -> None:
        part, text = PARTS[utterance.role], utterance.content
        self.sizes["words", part].add(len(text.split()))
        self.sizes["characters", part].add(len(text))
        if self.choices.tokens:
            self.sizes["tokens", part].add(self.choices.tokens(text))
        self.empty += not text.strip()
        if utterance.language:
            self.turn_languages[utterance.language] += 1
            if part == "user":
                self.prompt_languages[utterance.language] += 1
        self.toxic[part].add(utterance)
        if month is not None:
            month.toxic[part].add(utterance)
        if utterance.detoxify:
            self.detail_seen["detoxify"] += 1
            self.detoxify.update(n for n, score in utterance.detoxify.items() if score > self.choices.threshold)
        if utterance.categories:
            self.detail_seen["openai_moderation"] += 1
            self.categories.update({name.partition("/")[0] for name, flag in utterance.categories.items() if flag})
            if part == "user" and utterance.flagged.get("openai_moderation"):
                self.flagged_prompts += 1
                self.flagged_sexual += any(f and n.startswith("sexual") for n, f in utterance.categories.items())


def count(told: Iterable[Told], choices: Choices | None = None) -> Tally:
    """Count conversations."""
    tally = Tally(choices or Choices())
    for one in told:
        tally.add(one)
    return tally


def shares(counts: Counter[str]) -> JsonMap:
    """Of each value, most frequent first."""
    total = sum(counts.values())
    return (
        {name: n / total for name, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))} if total else {}
    )
