"""Running counts and sizes: mean and spread of lengths, a fair sample, how varied its words are. Constant memory."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from heapq import heapify, heappush, heapreplace, nlargest
from typing import Any

from agora.core.records import JsonMap
from agora.curate.text import words

Count = Callable[[str], int]
_CHARS_AT_ONCE = 60_000  # larger pieces do not fit the processor's cache
_BLANK = bytes(i < 128 and chr(i).isspace() for i in range(256))  # 1 for what separates words


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


def count_words(texts: Sequence[str]) -> list[int]:
    """How many words each text has: what stands between white space, as :meth:`str.split` cuts it."""
    counts = [0] * len(texts)
    plain: list[int] = []  # texts of ASCII, of which many are counted at once
    chars = 0
    for i, text in enumerate(texts):
        if not text.isascii():
            counts[i] = len(text.split())
            continue
        plain.append(i)
        chars += len(text)
        if chars > _CHARS_AT_ONCE:
            _count_plain(texts, plain, counts)
            plain, chars = [], 0
    _count_plain(texts, plain, counts)
    return counts


def _count_plain(texts: Sequence[str], places: Sequence[int], counts: list[int]) -> None:
    """Fill in the counts of some texts of ASCII: how many of their characters begin a word."""
    import numpy as np

    if not places:
        return
    own = [texts[i] for i in places]
    ends = np.cumsum([len(text) + 1 for text in own])
    space = np.frombuffer("\n".join(own).encode().translate(_BLANK), np.bool_)
    begins = ~space
    begins[1:] &= space[:-1]
    before = np.searchsorted(np.flatnonzero(begins), ends)
    for i, n in zip(places, np.diff(before, prepend=0).tolist(), strict=True):
        counts[i] = n


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
        hashed = _keyed(self.seed).copy()
        hashed.update(name.encode("utf-8", "replace"))
        rank = -int.from_bytes(hashed.digest(), "big")
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


@lru_cache(maxsize=4)
def _keyed(seed: int) -> Any:
    return blake2b(digest_size=7, key=b"%d" % seed)


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
