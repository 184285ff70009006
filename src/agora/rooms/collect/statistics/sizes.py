"""Running counts and sizes: mean and spread of lengths, a fair sample, how varied its words are. Constant memory."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from agora.core.records import JsonMap
from agora.curate.text import words

Count = Callable[[str], int]


@dataclass(slots=True)
class Spread:
    """Mean and standard deviation (of the population) of whole numbers that are seen once; the sums are exact."""

    n: int = 0
    total: int = 0
    squares: int = 0

    def add(self, value: int) -> None:
        """See one number."""
        self.n += 1
        self.total += value
        self.squares += value * value

    @property
    def mean(self) -> float | None:
        """None when nothing was seen."""
        return self.total / self.n if self.n else None

    @property
    def sd(self) -> float | None:
        """None when nothing was seen."""
        if not self.n:
            return None
        return math.sqrt(max(self.squares * self.n - self.total * self.total, 0)) / self.n


@dataclass(slots=True)
class Sample:
    """A fair sample of texts that are seen once (reservoir): the same seed and texts give the same sample."""

    size: int
    seed: int = 0
    seen: int = 0
    texts: list[str] = field(default_factory=list)
    _rng: random.Random | None = None

    def add(self, text: str) -> None:
        """See one text."""
        self._rng = self._rng or random.Random(self.seed)
        self.seen += 1
        if len(self.texts) < self.size:
            self.texts.append(text)
        elif (place := self._rng.randrange(self.seen)) < self.size:
            self.texts[place] = text


def diversity(texts: Iterable[str]) -> JsonMap:
    """How varied the words of some texts are: entropy of single words in bits, and distinct among 1, 2 and 3 in a row.

    Both grow and fall with the amount of text, so only samples of equal size may be compared; ``words`` says how many.
    """
    ones: Counter[str] = Counter()
    runs: dict[int, set[tuple[str, ...]]] = {2: set(), 3: set()}
    totals: Counter[int] = Counter()
    n_texts = 0
    for text in texts:
        n_texts += 1
        found = words(text)
        ones.update(found)
        for n, held in runs.items():
            held.update(zip(*(found[i:] for i in range(n)), strict=False))
            totals[n] += max(len(found) - n + 1, 0)
    total = sum(ones.values())
    entropy = -sum(c / total * math.log2(c / total) for c in ones.values()) if total else None
    return {
        "texts": n_texts,
        "words": total,
        "unigram_entropy_bits": entropy,
        "distinct_1": len(ones) / total if total else None,
        **{f"distinct_{n}": len(held) / totals[n] if totals[n] else None for n, held in runs.items()},
    }
