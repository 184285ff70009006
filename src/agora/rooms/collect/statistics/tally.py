"""One pass over conversations: every count that the tables need. Memory grows with people, not with rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from hashlib import blake2b
from itertools import islice, pairwise
from typing import Any

from agora.core.records import JsonMap
from agora.rooms.collect.statistics.repeats import LongPrompts
from agora.rooms.collect.statistics.sizes import Count, Sample, Spread
from agora.rooms.collect.statistics.told import Told, Utterance

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

    def add(self, told: Sequence[Told]) -> None:
        """Count conversations, many at once: counters are quick with lists and slow with single values."""
        rounds = [one.rounds for one in told]
        self.conversations += len(told)
        self.rounds.add(rounds)
        self.multi += sum(n > 1 for n in rounds)
        self.over_ten += sum(n > 10 for n in rounds)
        self.subjects.update([blake2b(one.subject.encode(), digest_size=8).digest() for one in told if one.subject])
        self.models.update([one.model for one in told if one.model])
        self.countries.update([one.country for one in told if one.country])
        self.prompt_categories.update([one.category for one in told if one.category])
        self._times(told)
        for role, part in PARTS.items():
            self._utterances(part, [u for one in told for u in one.utterances if u.role == role])
        for one in told:
            first = next((u.content for u in one.utterances if u.role == "user"), None)
            if first is not None:
                self.sample.add(first, one.id)
            if self.choices.long_chars:
                self._long_prompts(one)

    def _times(self, told: Sequence[Told]) -> None:
        """Days, and by month: conversations, turns, and what the classifiers say."""
        days = [one.created[:10] for one in told if one.created]
        if days:
            self.first = min([self.first or days[0], *days])
            self.last = max([self.last or days[0], *days])
        verdicts: Counter[tuple[str, str, tuple[tuple[str, bool], ...]]] = Counter()
        for one in told:
            month = one.created[:7] if one.created else ""
            questions = sum([u.role == "user" for u in one.utterances])
            self.turns += questions
            if month:
                held = self.months.get(month)
                if held is None:
                    held = self.months[month] = Month()
                held.conversations += 1
                held.turns += questions
            verdicts.update([(month, u.role, tuple(u.flagged.items())) for u in one.utterances])
        for (month, role, said), times in verdicts.items():
            self.toxic[PARTS[role]].add(dict(said), times)
            if month:
                self.months[month].toxic[PARTS[role]].add(dict(said), times)

    def _utterances(self, part: str, said: Sequence[Utterance]) -> None:
        texts = [u.content for u in said]
        self.sizes["words", part].add([len(text.split()) for text in texts])
        self.sizes["characters", part].add([len(text) for text in texts])
        if self.choices.tokens:
            self.sizes["tokens", part].add([self.choices.tokens(text) for text in texts])
        self.empty += sum([not text or text.isspace() for text in texts])
        languages = [u.language for u in said if u.language]
        self.turn_languages.update(languages)
        if part == "user":
            self.prompt_languages.update(languages)
        for utterance in said:
            if utterance.detoxify or utterance.categories:
                self._details(part, utterance)

    def _details(self, part: str, utterance: Utterance) -> None:
        if utterance.detoxify:
            self.detail_seen["detoxify"] += 1
            self.detoxify.update(n for n, score in utterance.detoxify.items() if score > self.choices.threshold)
        if utterance.categories:
            self.detail_seen["openai_moderation"] += 1
            self.categories.update({name.partition("/")[0] for name, flag in utterance.categories.items() if flag})
            if part == "user" and utterance.flagged.get("openai_moderation"):
                self.flagged_prompts += 1
                self.flagged_sexual += any(f and n.startswith("sexual") for n, f in utterance.categories.items())

    def _long_prompts(self, one: Told) -> None:
        for before, utterance in pairwise(one.utterances):
            if before.role == "user" and utterance.role == "assistant":
                toxic = any(utterance.flagged.values()) if utterance.flagged else None
                self.long.add(before.content, one.subject, toxic_reply=toxic)

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
        tally.add(batch)
    return tally


def shares(counts: Counter[str]) -> JsonMap:
    """Of each value, most frequent first."""
    total = sum(counts.values())
    return (
        {name: n / total for name, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))} if total else {}
    )
