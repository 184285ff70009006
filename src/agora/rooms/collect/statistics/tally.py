"""One pass over conversations: every count that the tables need. Memory grows with people, not with rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from hashlib import blake2b
from itertools import chain, islice, pairwise, repeat
from typing import Any

from agora.core.records import JsonMap
from agora.rooms.collect.statistics.repeats import LongPrompts
from agora.rooms.collect.statistics.sizes import Count, Sample, Spread, count_words
from agora.rooms.collect.statistics.told import Columns, Told, Verdicts, columns_of

PARTS = {"user": "user", "assistant": "chatbot"}
CLASSIFIERS = ("detoxify", "openai_moderation")
_AT_ONCE = 500
_NUMBERS = ("conversations", "turns", "multi", "over_ten", "empty", "flagged_prompts", "flagged_sexual")
_COUNTERS = (
    *("models", "countries", "prompt_categories", "prompt_languages", "turn_languages"),
    *("detoxify", "categories", "detail_seen"),
)


@dataclass(frozen=True, slots=True)
class Choices:
    """What the counts depend on.

    Args:
        name: of the data set, in the tables.
        tokens: counts the tokens of a text; None: only words and characters are counted.
        tokenizer: its name.
        threshold: a Detoxify score above it is toxic (the paper: 0.1).
        language_least: a language counts as one of the set's if more user prompts than this are in it (the paper: 100).
        long_chars: length from which repeated prompts are looked for; 0: they are not.
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

    def add(self, verdicts: Mapping[str, bool], times: int = 1) -> None:
        """See utterances of which the classifiers say the same."""
        for name, verdict in verdicts.items():
            self._see(name, verdict, times)
        if verdicts:
            self._see("either", any(verdicts.values()), times)
        if all(name in verdicts for name in CLASSIFIERS):
            self._see("both", all(verdicts[name] for name in CLASSIFIERS), times)

    def _see(self, name: str, verdict: bool, times: int) -> None:
        self.seen[name] += times
        self.flagged[name] += times * verdict

    def merge(self, other: Toxic) -> None:
        """Take in what another one saw."""
        self.seen.update(other.seen)
        self.flagged.update(other.flagged)

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
    """All counts of a data set. The counts of its parts can be added up, whatever the parts."""

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

    def add(self, told: Columns) -> None:
        """Count conversations, many at once: counters are quick with lists and slow with single values."""
        self.conversations += len(told.ids)
        self.rounds.add(told.rounds)
        self.multi += sum([n > 1 for n in told.rounds])
        self.over_ten += sum([n > 10 for n in told.rounds])
        subjects = {subject for subject in told.subjects if subject}
        self.subjects.update([blake2b(subject.encode(), digest_size=8).digest() for subject in subjects])
        self.models.update(filter(None, told.models))
        self.countries.update(filter(None, told.countries))
        self.prompt_categories.update(filter(None, told.categories))
        self._times(told)
        for role, part in PARTS.items():
            own = [i for i, found in enumerate(told.roles) if found == role]
            self._texts(part, [told.texts[i] for i in own], [told.languages[i] for i in own])
        for role, own_verdicts in zip(told.roles, told.verdicts, strict=True):
            if own_verdicts.detoxify or own_verdicts.categories:
                self._details(PARTS[role], own_verdicts)
        for i, (start, end) in enumerate(pairwise(told.starts)):
            first = next((at for at in range(start, end) if told.roles[at] == "user"), None)
            if first is not None:
                self.sample.add(told.texts[first], told.ids[i])
            if self.choices.long_chars:
                self._long_prompts(told, told.subjects[i], start, end)

    def _times(self, told: Columns) -> None:
        """Days, and by month: conversations, turns, and what the classifiers say."""
        days = [created[:10] for created in told.created if created]
        days += [day for day in (self.first, self.last) if day]
        self.first, self.last = min(days, default=None), max(days, default=None)
        months = [created[:7] if created else "" for created in told.created]
        self.turns += told.roles.count("user")
        for month, talks in Counter(months).items():
            if month:
                self.months.setdefault(month, Month()).conversations += talks
        lengths = [end - start for start, end in pairwise(told.starts)]
        of_utterance = chain.from_iterable(map(repeat, months, lengths))
        # equal verdicts are often the same object, and what is told of an object is looked up once
        by_object = {id(found): tuple(found.flagged.items()) for found in told.verdicts}
        said: Counter[tuple[str, str, tuple[tuple[str, bool], ...]]] = Counter()
        same = Counter(zip(of_utterance, told.roles, map(id, told.verdicts), strict=True))
        for (month, role, key), times in same.items():
            said[month, role, by_object[key]] += times
        for (month, role, flagged), times in said.items():
            self.toxic[PARTS[role]].add(dict(flagged), times)
            if month:
                held = self.months[month]
                held.turns += times * (role == "user")
                held.toxic[PARTS[role]].add(dict(flagged), times)

    def _texts(self, part: str, texts: Sequence[str], languages: Sequence[str | None]) -> None:
        words = count_words(texts)
        self.sizes["words", part].add(words)
        self.sizes["characters", part].add([len(text) for text in texts])
        if self.choices.tokens:
            self.sizes["tokens", part].add([self.choices.tokens(text) for text in texts])
        self.empty += words.count(0)
        self.turn_languages.update(filter(None, languages))
        if part == "user":
            self.prompt_languages.update(filter(None, languages))

    def _details(self, part: str, found: Verdicts) -> None:
        if found.detoxify:
            self.detail_seen["detoxify"] += 1
            self.detoxify.update(n for n, score in found.detoxify.items() if score > self.choices.threshold)
        if found.categories:
            self.detail_seen["openai_moderation"] += 1
            self.categories.update({name.partition("/")[0] for name, flag in found.categories.items() if flag})
            if part == "user" and found.flagged.get("openai_moderation"):
                self.flagged_prompts += 1
                self.flagged_sexual += any(f and n.startswith("sexual") for n, f in found.categories.items())

    def _long_prompts(self, told: Columns, subject: str | None, start: int, end: int) -> None:
        for before, at in pairwise(range(start, end)):
            if told.roles[before] == "user" and told.roles[at] == "assistant":
                flagged = told.verdicts[at].flagged
                toxic = any(flagged.values()) if flagged else None
                self.long.add(told.texts[before], subject, toxic_reply=toxic)

    def merge(self, other: Tally) -> None:
        """Add the counts of another part of the data set. Repeated long prompts are not among them."""
        for name in _NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _COUNTERS:
            getattr(self, name).update(getattr(other, name))
        self.rounds.merge(other.rounds)
        for key, spread in other.sizes.items():
            self.sizes[key].merge(spread)
        self.subjects |= other.subjects
        for part, toxic in other.toxic.items():
            self.toxic[part].merge(toxic)
        for name, month in other.months.items():
            held = self.months.setdefault(name, Month())
            held.conversations += month.conversations
            held.turns += month.turns
            for part, toxic in month.toxic.items():
                held.toxic[part].merge(toxic)
        days = [day for day in (self.first, other.first, self.last, other.last) if day]
        self.first, self.last = min(days, default=None), max(days, default=None)
        self.sample.merge(other.sample)

    def as_json(self) -> JsonMap:
        """For a file beside a part that is done; :meth:`from_json` reads it."""
        return {
            **{name: getattr(self, name) for name in (*_NUMBERS, "first", "last")},
            **{name: dict(sorted(getattr(self, name).items())) for name in _COUNTERS},
            "rounds": astuple(self.rounds),
            "sizes": [[*key, *astuple(spread)] for key, spread in self.sizes.items()],
            "subjects": sorted(subject.hex() for subject in self.subjects),
            "toxic": _toxic_json(self.toxic),
            "months": {n: [m.conversations, m.turns, _toxic_json(m.toxic)] for n, m in sorted(self.months.items())},
            "sample": [self.sample.seen, self.sample.drawn],
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any], choices: Choices) -> Tally:
        """What :meth:`as_json` gave."""
        tally = cls(choices)
        for name in (*_NUMBERS, "first", "last"):
            setattr(tally, name, found[name])
        for name in _COUNTERS:
            setattr(tally, name, Counter(found[name]))
        tally.rounds = Spread(*found["rounds"])
        tally.sizes = {(unit, part): Spread(*sums) for unit, part, *sums in found["sizes"]}
        tally.subjects = {bytes.fromhex(subject) for subject in found["subjects"]}
        tally.toxic = _toxic_of(found["toxic"])
        tally.months = {n: Month(talks, turns, _toxic_of(t)) for n, (talks, turns, t) in found["months"].items()}
        seen, drawn = found["sample"]
        tally.sample = Sample(choices.sample, choices.seed, seen, [(rank, text) for rank, text in drawn])
        return tally


def _toxic_json(toxic: Mapping[str, Toxic]) -> JsonMap:
    return {part: [dict(sorted(one.seen.items())), dict(sorted(one.flagged.items()))] for part, one in toxic.items()}


def _toxic_of(found: Mapping[str, Any]) -> dict[str, Toxic]:
    return {part: Toxic(Counter(seen), Counter(flagged)) for part, (seen, flagged) in found.items()}


def count(told: Iterable[Told], choices: Choices | None = None) -> Tally:
    """Count conversations."""
    tally, told = Tally(choices or Choices()), iter(told)
    while batch := list(islice(told, _AT_ONCE)):
        tally.add(columns_of(batch))
    return tally


def shares(counts: Counter[str]) -> JsonMap:
    """Of each value, most frequent first."""
    total = sum(counts.values())
    return (
        {name: n / total for name, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))} if total else {}
    )
