"""The data card: what a set of pairs is made of, and what a model could learn from it besides the preference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from agora.core.json_text import dumps
from agora.core.records import JsonMap, PreferencePair
from agora.core.stats import Interval, wilson
from agora.curate.pairs.lengths import Count
from agora.curate.pairs.read import score_gap
from agora.curate.pairs.repeats import find_repeats
from agora.curate.pairs.split import prompt_key
from agora.curate.pairs.turns import num_chars


class Spread(NamedTuple):
    """How some numbers spread: mean, and the 5th, 50th and 95th percentiles (nearest rank)."""

    n: int
    mean: float
    p5: float
    median: float
    p95: float
    low: float
    high: float


class LongerWins(NamedTuple):
    """How often the longer answer is the chosen one; ``equal`` pairs of one length count as not longer.

    A reward model that does no better than this share has learned nothing but length.
    """

    interval: Interval
    longer: int
    equal: int


@dataclass(frozen=True, slots=True)
class DataCard:
    """Facts of a set of pairs. Lengths are in ``unit``; ties are left out of every count that needs a winner."""

    n: int
    unit: str
    sources: dict[str, int]
    label_kinds: dict[str, int]
    rules: dict[str, int]
    formats: dict[str, int]
    licences: dict[str, int]
    prompts: int
    prompt_messages: dict[int, int]
    long_answers: int
    prompts_missing: int
    lengths: dict[str, Spread]
    longer_wins: LongerWins
    longer_wins_by_source: dict[str, LongerWins]
    ties: int
    margins: Spread | None
    no_margin: int
    inverted: int
    repeated: int
    opposite: int

    def to_json(self) -> JsonMap:
        """Plain JSON values."""
        named: JsonMap = {name: getattr(self, name) for name in self.__dataclass_fields__}
        named["prompt_messages"] = {str(k): v for k, v in self.prompt_messages.items()}
        named["lengths"] = {k: v._asdict() for k, v in self.lengths.items()}
        named["margins"] = self.margins._asdict() if self.margins else None
        named["longer_wins"] = _longer_json(self.longer_wins)
        named["longer_wins_by_source"] = {k: _longer_json(v) for k, v in self.longer_wins_by_source.items()}
        return named


def _longer_json(value: LongerWins) -> JsonMap:
    return {"longer": value.longer, "equal": value.equal, **value.interval._asdict()}


def data_card(pairs: Sequence[PreferencePair], *, count: Count = num_chars, unit: str = "characters") -> DataCard:
    """Describe a set of pairs.

    Args:
        pairs: any number, also none.
        count: length of some messages; default: characters of their contents.
        unit: what ``count`` counts.
    """
    lengths = [_Lengths(count(p.prompt), count(p.chosen), count(p.rejected)) for p in pairs]
    decided = [(p, size) for p, size in zip(pairs, lengths, strict=True) if not p.tie]
    sources = _counted(_source(p) for p in pairs)
    gaps = [gap for p, _ in decided if (gap := score_gap(p)) is not None]
    repeats = find_repeats(pairs)
    return DataCard(
        n=len(pairs),
        unit=unit,
        sources=sources,
        label_kinds=_counted(p.label_kind for p in pairs),
        rules=_counted(dumps(p.meta.get("rule", "unknown")).decode() for p in pairs),
        formats=_counted(str(p.meta.get("format", "unknown")) for p in pairs),
        licences=_counted(p.provenance.licence if p.provenance else "unknown" for p in pairs),
        prompts=len({prompt_key(p.prompt) for p in pairs}),
        prompt_messages=dict(sorted(Counter(len(p.prompt) for p in pairs).items())),
        long_answers=sum(len(p.chosen) > 1 or len(p.rejected) > 1 for p in pairs),
        prompts_missing=sum(bool(p.meta.get("prompt_missing")) for p in pairs),
        lengths={
            name: spread
            for name in _Lengths._fields
            if (spread := spread_of([getattr(size, name) for size in lengths]))
        },
        longer_wins=longer_wins([size for _, size in decided]),
        longer_wins_by_source={
            name: longer_wins([size for p, size in decided if _source(p) == name]) for name in list(sources)[:50]
        },
        ties=len(pairs) - len(decided),
        margins=spread_of(gaps),
        no_margin=len(decided) - len(gaps),
        inverted=sum(gap < 0 for gap in gaps),
        repeated=len(repeats.again),
        opposite=len(repeats.opposite),
    )


class _Lengths(NamedTuple):
    prompt: int
    chosen: int
    rejected: int


def longer_wins(sizes: Sequence[Any]) -> LongerWins:
    """The share of pairs whose chosen side is the longer one, with Wilson's interval.

    Args:
        sizes: values with ``chosen`` and ``rejected`` lengths.
    """
    longer = sum(size.chosen > size.rejected for size in sizes)
    return LongerWins(wilson(longer, len(sizes)), longer, sum(size.chosen == size.rejected for size in sizes))


def spread_of(values: Sequence[float]) -> Spread | None:
    """The spread of some numbers; None for none."""
    if not values:
        return None
    ordered = sorted(values)

    def at(share: float) -> float:
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]

    mean = sum(ordered) / len(ordered)
    return Spread(len(ordered), mean, at(0.05), at(0.5), at(0.95), ordered[0], ordered[-1])


def _counted(values: Any) -> dict[str, int]:
    return dict(Counter(values).most_common())


def _source(pair: PreferencePair) -> str:
    return pair.provenance.source if pair.provenance else "unknown"
