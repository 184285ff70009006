"""Running counts and sizes: mean and spread of lengths, a fair sample, how varied its words are. Constant memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from heapq import heapify, heappush, heapreplace, nlargest

from agora.core.records import JsonMap
from agora.curate.text import words

Count = Callable[[str], int]


@dataclass(slots=True)
class Spread:
    """Mean and standard deviation (of the population) of whole numbers that are seen once; the sums are exact."""

    n: int = 0
    total: int = 0
    squares: int = 0

    def add(self, values: Sequence[int]) -> None:
        """See some numbers."""
        self.n += len(values)
        self.total += sum(values)
        self.squares += sum([value * value for value in values])

    def merge(self, other: Spread) -> None:
        """Take in what another one saw."""
        self.n, self.total, self.squares = self.n + other.n, self.total + other.total, self.squares + other.squares

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
    """A fair sample of texts that are seen once: those whose names have the smallest keyed hashes.

    The same seed and texts give the same sample, in whatever order and in however many parts they come.
    """

    size: int
    seed: int = 0
    seen: int = 0
    drawn: list[tuple[int, str]] = field(default_factory=list)  # a heap of rank, negative, and text

    def add(self, text: str, name: str) -> None:
        """See one text; ``name`` is what sets it apart from all others."""
        self.seen += 1
        key = b"%d" % self.seed
        rank = -int.from_bytes(blake2b(name.encode("utf-8", "replace"), digest_size=7, key=key).digest(), "big")
        if len(self.drawn) < self.size:
            heappush(self.drawn, (rank, text))
        elif rank > self.drawn[0][0]:
            heapreplace(self.drawn, (rank, text))

    def merge(self, other: Sample) -> None:
        """Take in what another one saw of other texts."""
        self.seen += other.seen
        self.drawn = nlargest(self.size, [*self.drawn, *other.drawn])
        heapify(self.drawn)

    @property
    def texts(self) -> list[str]:
        """The sample, in the order of the hashes."""
        return [text for _, text in sorted(self.drawn, reverse=True)]


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
    entropy = -math.fsum(c / total * math.log2(c / total) for c in ones.values()) if total else None
    return {
        "texts": n_texts,
        "words": total,
        "unigram_entropy_bits": entropy,
        "distinct_1": len(ones) / total if total else None,
        **{f"distinct_{n}": len(held) / totals[n] if totals[n] else None for n, held in runs.items()},
    }
