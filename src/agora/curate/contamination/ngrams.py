"""Texts of tests, found again in other texts: whole, or by a shared run of words.

Words are ``\\w+``, lower case. Texts are looked through in batches: words become numbers (those of no test become 0),
runs of ``n`` numbers become one 64-bit hash each, and a run that meets a hash is compared word for word, so there are
no false hits. Runs of words find copies and near copies; they are blind to paraphrases and to other languages.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from agora.core.errors import ConfigError
from agora.curate.text import normalize, words

if TYPE_CHECKING:
    import numpy as np

    from agora.curate.contamination.items import Part

RUN_WORDS = 13
_BATCH_CHARS = 1 << 20
_FILTER_BITS = 22
_LISTED = 20  # a run that more items share is the test's own wording; the first so many are named
_SPREAD, _BASE = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93


class Overlap(NamedTuple):
    """What a text shares with one test item.

    ``test`` is the item's name, ``shared`` the first shared run of words (or the whole text), ``runs`` how many runs of
    the text the item holds too (1 when the texts are equal).
    """

    test: str
    kind: Literal["exact", "ngram"]
    shared: str
    runs: int = 1


class NgramIndex:
    """The texts of one or several tests, ready to be met.

    Args:
        n: words in a run. A text of fewer words is only compared whole.

    Raises:
        ConfigError: ``n`` is under 2.

    Example:
        >>> index = NgramIndex(n=4)
        >>> index.add("How many legs does a spider have?", "animals:1")
        >>> index.meet("Say, how many legs does it take?").shared
        'how many legs does'
    """

    def __init__(self, n: int = RUN_WORDS) -> None:
        if n < 2:
            raise ConfigError(f"a run must have at least 2 words, got {n}")
        self.n = n
        self._names: list[str] = []
        self._whole: dict[str, int] = {}
        self._longest = 0  # words of the longest whole text
        self._vocabulary: dict[str, int] = {}
        self._texts: list[list[int]] = []
        self._runs: _Runs | None = None

    @property
    def num_texts(self) -> int:
        """How many texts were taken in."""
        return len(self._names)

    def add(self, text: str, name: str) -> None:
        """Take in a text; ``name`` says in overlaps where it is from. Texts of one name count as one item."""
        item = len(self._names)
        self._names.append(name)
        if whole := normalize(text):
            self._whole.setdefault(whole, item)
        number = self._vocabulary.setdefault
        self._texts.append([number(word, len(self._vocabulary) + 1) for word in words(text)])
        self._longest = max(self._longest, len(self._texts[-1]))
        self._runs = None

    def add_file(self, path: Path, part: Part = "instruction") -> None:
        """Take in a table's prompts, its answers, or both; an item is called ``FILE:LINE``.

        Raises:
            MissingError: no such file.
            DataError: no column with a prompt; names the columns.
        """
        from agora.curate.contamination.items import read_items

        for item in read_items(path):
            for text in item.texts(part):
                self.add(text, item.name)

    def meet(self, text: str) -> Overlap | None:
        """The first test item that a text equals or shares a run of words with."""
        found = next(self.meet_each([text]))
        return found[0] if found else None

    def meet_each(self, texts: Iterable[str]) -> Iterator[list[Overlap]]:
        """For each text what it shares with which items: the equal one first, then in the order they were added.

        Reads ahead by about a million characters; that is far quicker than asking text by text.
        """
        batch: list[str] = []
        chars = 0
        for text in texts:
            batch.append(text)
            chars += len(text)
            if chars >= _BATCH_CHARS:
                yield from self._meet_batch(batch)
                batch, chars = [], 0
        yield from self._meet_batch(batch)

    def _meet_batch(self, texts: Sequence[str]) -> Iterator[list[Overlap]]:
        if not texts:
            return
        if self._runs is None:
            self._runs = _Runs(self._texts, self.n)
        number = self._vocabulary.get
        # split and numbered text by text: a million words would no longer be in the processor's cache
        numbered = [list(map(number, words(text), repeat(0))) for text in texts]
        met: dict[int, list[_Hit]] = {}
        for hit in self._runs.find(numbered) if len(self._runs) else ():
            met.setdefault(hit.text, []).append(hit)
        for i, text in enumerate(texts):
            found: dict[str, Overlap] = {}
            if len(numbered[i]) <= self._longest or not text.isascii():  # else it is longer than any
                equal = self._whole.get(normalize(text))
                if equal is not None:
                    found[self._names[equal]] = Overlap(self._names[equal], "exact", text.strip())
            for hit in met.get(i, ()):
                name = self._names[hit.item]
                if name not in found:
                    run = words(text)[hit.start : hit.start + self.n]
                    found[name] = Overlap(name, "ngram", " ".join(run), hit.runs)
            yield list(found.values())


@dataclass(frozen=True, slots=True)
class _Hit:
    """A text of a batch and an item that share ``runs`` runs, the first at word ``start`` of the text."""

    text: int
    item: int
    start: int
    runs: int


class _Runs:
    """All runs of ``n`` words of the items, sorted by hash."""

    def __init__(self, texts: Sequence[Sequence[int]], n: int) -> None:
        import numpy as np

        self._n = n
        self._words, owners, starts = _windows(texts, n)
        hashes = _hashes(self._words, n)[starts]
        order = np.lexsort((owners[starts], hashes))
        hashes, items, starts = hashes[order], owners[starts][order], starts[order]
        # one entry per run and item, and of a run that many items share the first few
        first = np.ones(len(hashes), dtype=bool)
        first[1:] = (hashes[1:] != hashes[:-1]) | (items[1:] != items[:-1])
        hashes, self._items, self._starts = hashes[first], items[first], starts[first]
        self._distinct, self._from, counts = np.unique(hashes, return_index=True, return_counts=True)
        self._counts = np.minimum(counts, _LISTED)
        self._filter = np.zeros(1 << _FILTER_BITS, dtype=bool)
        self._filter[self._distinct >> np.uint64(64 - _FILTER_BITS)] = True

    def __len__(self) -> int:
        return len(self._distinct)

    def find(self, texts: Sequence[Sequence[int]]) -> list[_Hit]:
        """The hits in a batch of texts, by text and then by item."""
        import numpy as np

        words, owners, starts = _windows(texts, self._n)
        hashes = _hashes(words, self._n)[starts]
        maybe = np.flatnonzero(self._filter[hashes >> np.uint64(64 - _FILTER_BITS)])
        places = np.searchsorted(self._distinct, hashes[maybe])
        places[places == len(self._distinct)] = 0
        same = self._distinct[places] == hashes[maybe]
        places, where = places[same], starts[maybe[same]]
        # every run with every item that it may be in, compared word for word
        counts = self._counts[places]
        rank = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        entries = np.repeat(self._from[places], counts) + rank
        where = np.repeat(where, counts)
        span = np.arange(self._n)
        equal = (words[where[:, None] + span] == self._words[self._starts[entries][:, None] + span]).all(axis=1)
        where, items = where[equal], self._items[entries[equal]]
        if not len(where):
            return []
        keys = np.stack([owners[where], items], axis=1)
        pairs, first, runs = np.unique(keys, axis=0, return_index=True, return_counts=True)
        begins = where[first] - np.searchsorted(owners, pairs[:, 0])
        return [_Hit(*hit) for hit in zip(*pairs.T.tolist(), begins.tolist(), runs.tolist(), strict=True)]


def _windows(texts: Sequence[Sequence[int]], n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The words of all texts in a row, the text of each word, and the places where a run within one text begins."""
    import numpy as np

    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    words = np.fromiter(chain.from_iterable(texts), dtype=np.int64, count=int(lengths.sum()))
    owners = np.repeat(np.arange(len(texts)), lengths)
    last = len(words) - n + 1
    starts = np.flatnonzero(owners[:last] == owners[n - 1 :]) if last > 0 else np.empty(0, dtype=np.int64)
    return words, owners, starts


def _hashes(words: np.ndarray, n: int) -> np.ndarray:
    """A polynomial hash of the run of ``n`` words that begins at each word, by doubling; the last n - 1 are junk."""
    import numpy as np

    letters = words.astype(np.uint64) * np.uint64(_SPREAD)
    power = letters ^ (letters >> np.uint64(29))  # hashes of runs of 1, 2, 4, ... words
    width, factor = 1, _BASE
    total, done = np.zeros_like(power), 0
    while True:
        if n & width:
            total = total * np.uint64(factor) + _shifted(power, done)
            done += width
        if done == n:
            return total
        power = power * np.uint64(factor) + _shifted(power, width)
        width, factor = width * 2, factor * factor & 0xFFFFFFFFFFFFFFFF


def _shifted(values: np.ndarray, by: int) -> np.ndarray:
    import numpy as np

    moved = np.zeros_like(values)
    moved[: max(len(values) - by, 0)] = values[by:]
    return moved
