"""MinHash signatures of texts: equal keys in one band make two texts candidates for being alike.

Character 5-grams, 32 bands of 4 rows (128 permutations, seed 42). Two texts of Jaccard similarity s meet with
probability 1 - (1 - s^4)^32: 0.87 at 0.5, 0.988 at 0.6, 0.9998 at 0.7.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from sys import byteorder
from typing import TYPE_CHECKING, Any, NamedTuple

from agora.curate.text import shingles

if TYPE_CHECKING:
    import numpy as np

BANDS, ROWS_PER_BAND, SEED = 32, 4, 42
WIDE_BANDS, WIDE_ROWS, WIDE_FROM = 21, 6, 0.75
_CHUNK_TEXTS = 1024
_CACHED_SHINGLES = 5_000_000  # about 0.5 GB
_MULTIPLIERS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93)
# An estimate from 128 permutations has a standard error of at most 0.045: 4.5 of them lie between a pair at the
# threshold and one that is skipped without a look at its texts.
_MARGIN = 0.2


class Signatures(NamedTuple):
    """One row per text: 32 band keys (uint64, never equal across bands) and the low byte of 128 minima (uint8)."""

    keys: np.ndarray
    low: np.ndarray


def signatures(texts: Sequence[str]) -> Signatures:
    """The signatures of normalized texts."""
    import numpy as np

    keys = np.empty((len(texts), BANDS), dtype=np.uint64)
    low = np.empty((len(texts), BANDS * ROWS_PER_BAND), dtype=np.uint8)
    for start in range(0, len(texts), _CHUNK_TEXTS):
        minima = np.array([sketch_of(t).digest() for t in texts[start : start + _CHUNK_TEXTS]], dtype=np.uint32)
        end = start + len(minima)
        low[start:end] = minima  # the low byte: uint8 wraps
        keys[start:end] = _fold(minima)
    return Signatures(keys, low)


def wide_keys(low: np.ndarray) -> np.ndarray:
    """Keys of 21 bands of 6 rows, out of the low bytes of the minima, one row per text (uint64).

    Two texts of similarity s meet with probability 1 - (1 - s^6)^21: 0.998 at 0.8, 0.984 at 0.75, but 0.28 at 0.5,
    where the 32 bands of 4 rows give 0.87. Among texts of one template they spare most of the comparisons.
    """
    import numpy as np

    parts = low[:, : WIDE_BANDS * WIDE_ROWS].reshape(-1, WIDE_BANDS, WIDE_ROWS).astype(np.uint64)
    keys = np.broadcast_to(np.arange(WIDE_BANDS, dtype=np.uint64), parts.shape[:2]).copy()
    for row in range(WIDE_ROWS):
        keys = (keys << np.uint64(8)) | parts[:, :, row]
    return keys


def sketch_of(text: str) -> Any:
    """The library's own sketch of one normalized text, as :class:`BandIndex` takes it."""
    from rensa import RMinHash

    # one by one: the library's matrix calls wake a thread pool, which costs more than it brings on a busy machine
    sketch = RMinHash(BANDS * ROWS_PER_BAND, SEED)
    sketch.update(shingles(text))
    return sketch


def low_bytes(sketch: Any) -> bytes:
    """The low bytes of a sketch's 128 minima."""
    raw = array("I", sketch.digest())
    first = 0 if byteorder == "little" else raw.itemsize - 1
    return raw.tobytes()[first :: raw.itemsize]


class BandIndex:
    """Texts by the 32 bands of their sketches, in the library's own tables."""

    def __init__(self) -> None:
        from rensa import RMinHashLSH

        self._tables = RMinHashLSH(threshold=0.5, num_perm=BANDS * ROWS_PER_BAND, num_bands=BANDS)

    def add(self, index: int, sketch: Any) -> None:
        """Take a text in."""
        self._tables.insert(index, sketch)

    def meet(self, sketch: Any) -> list[int]:
        """The texts that share a band with a sketch, each once, in no order."""
        met: list[int] = self._tables.query(sketch)
        return met


def promising(low: np.ndarray, text: int, others: np.ndarray, threshold: float) -> np.ndarray:
    """Those of ``others`` whose estimated similarity to ``text`` does not rule the threshold out, ascending.

    Args:
        low: low bytes of the minima, one row per text.
    """
    import numpy as np

    same = low.take(others, axis=0) == low[text]
    equal = np.add.reduce(same.view(np.uint8), axis=1, dtype=np.uint8)  # 128 at most
    return np.sort(others[equal >= (threshold - _MARGIN) * low.shape[1]])


def _fold(minima: np.ndarray) -> np.ndarray:
    import numpy as np

    values = minima.astype(np.uint64).reshape(-1, BANDS, ROWS_PER_BAND)
    keys = np.broadcast_to(np.arange(BANDS, dtype=np.uint64), values.shape[:2]).copy()
    for row, multiplier in enumerate(_MULTIPLIERS):
        keys = (keys ^ values[:, :, row]) * np.uint64(multiplier)
        keys ^= keys >> np.uint64(29)
    return keys


class ShingleSets:
    """The distinct shingles of texts, the latest kept in memory, and the exact Jaccard similarity between two."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._texts = list(texts)
        self._recent: dict[int, frozenset[str]] = {}
        self._held = 0

    def append(self, text: str) -> int:
        """Add a text; returns its index."""
        self._texts.append(text)
        return len(self._texts) - 1

    def pop(self) -> None:
        """Take the last text away again."""
        self._texts.pop()

    def _of(self, index: int) -> frozenset[str]:
        found = self._recent.pop(index, None)
        if found is None:
            found = frozenset(shingles(self._texts[index]))
            self._held += len(found)
            while self._held > _CACHED_SHINGLES and self._recent:
                self._held -= len(self._recent.pop(next(iter(self._recent))))
        self._recent[index] = found  # now the latest
        return found

    def alike(self, text: int, others: Iterable[int], at_least: float) -> Iterator[tuple[int, float]]:
        """Those of ``others`` whose Jaccard similarity to ``text`` is ``at_least`` that, with the similarity."""
        own = frozenset(shingles(self._texts[text]))  # not kept in memory: most texts are looked up only once
        for other in others:
            theirs = self._of(other)
            few, many = (len(own), len(theirs)) if len(own) < len(theirs) else (len(theirs), len(own))
            if few and few >= at_least * many:
                shared = len(own & theirs)
                similarity = shared / (few + many - shared)
                if similarity >= at_least:
                    yield other, similarity
