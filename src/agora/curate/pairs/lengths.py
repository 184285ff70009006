"""How long pairs are, and those that are too long. A pair is never cut: a cut answer teaches the wrong end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from agora.core.errors import ConfigError, DataError
from agora.core.records import Message, PreferencePair
from agora.curate.pairs.turns import num_chars

Count = Callable[[Sequence[Message]], int]

_KEPT_SHARE = 0.95


@dataclass(frozen=True, slots=True)
class LengthLimit:
    """The longest prompt, answer and whole side that are kept, both sides of a pair alike.

    Args:
        prompt, answer, total: limits, None for none.
        count: length of some messages; default: characters of their contents. For tokens pass the tokenizer's count.
        unit: what ``count`` counts, for reasons and reports.
    """

    prompt: int | None = None
    answer: int | None = None
    total: int | None = None
    count: Count = num_chars
    unit: str = "characters"

    def __post_init__(self) -> None:
        for name in ("prompt", "answer", "total"):
            limit = getattr(self, name)
            if limit is not None and limit < 1:
                raise ConfigError(f"the longest {name} must be at least 1 {self.unit}, got {limit}")

    def reason(self, pair: PreferencePair) -> str | None:
        """Why a pair is too long; None when it is not."""
        prompt, answer = self._lengths(pair)
        for name, limit, length in (
            ("prompt", self.prompt, prompt),
            ("answer", self.answer, answer),
            ("pair", self.total, prompt + answer),
        ):
            if limit is not None and length > limit:
                return f"{name} over {limit:,} {self.unit}"
        return None

    def _lengths(self, pair: PreferencePair) -> tuple[int, int]:
        return self.count(pair.prompt), max(self.count(pair.chosen), self.count(pair.rejected))

    def would_keep(self, pairs: Sequence[PreferencePair]) -> str:
        """The limits that would keep 95 % of the pairs, in words."""
        lengths = [self._lengths(pair) for pair in pairs]
        parts = [
            f"{name} {sorted(values)[min(int(_KEPT_SHARE * len(values)), len(values) - 1)]:,}"
            for name, limit, values in (
                ("prompt", self.prompt, [p for p, _ in lengths]),
                ("answer", self.answer, [a for _, a in lengths]),
                ("total", self.total, [p + a for p, a in lengths]),
            )
            if limit is not None
        ]
        return ", ".join(parts)


class Fitting(NamedTuple):
    """The pairs that are short enough, and how many are not, by reason."""

    pairs: list[PreferencePair]
    reasons: Counter[str]


def drop_long(pairs: Iterable[PreferencePair], limit: LengthLimit) -> Fitting:
    """Leave out the pairs over a limit.

    Raises:
        DataError: none is left; says which limits would keep 95 %.
    """
    all_pairs = list(pairs)
    reasons: Counter[str] = Counter()
    kept = []
    for pair in all_pairs:
        reason = limit.reason(pair)
        if reason is None:
            kept.append(pair)
        else:
            reasons[reason] += 1
    if all_pairs and not kept:
        listed = ", ".join(f"{reason} ({n:,})" for reason, n in reasons.most_common())
        hint = f"these limits would keep 95 %: {limit.would_keep(all_pairs)} {limit.unit}"
        raise DataError(f"all {len(all_pairs):,} pairs are too long: {listed}", hint=hint)
    return Fitting(kept, reasons)
