"""MinHash band keys of texts: equal keys in one band make two texts candidates for being alike.

Character 5-grams, 32 bands of 4 rows (128 permutations, seed 42). Two texts of Jaccard similarity s meet with
probability 1 - (1 - s^4)^32: 0.87 at 0.5, 0.988 at 0.6, 0.9998 at 0.7.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from agora.curate.text import shingles

if TYPE_CHECKING:
    import numpy as np

BANDS, ROWS_PER_BAND, SEED = 32, 4, 42
_CHUNK_TEXTS = 256  # shingles of one chunk fit the cache: twice as fast as 8,192 at a time
_CACHED_SETS = 10_000
_MULTIPLIERS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93)


def band_keys(texts: Sequence[str]) -> np.ndarray:
    """One row of 32 keys (uint64) per text; keys of different bands never mean the same.

    Args:
        texts: normalized texts.
    """
    import numpy as np

    chunks = [_chunk_keys(texts[i : i + _CHUNK_TEXTS]) for i in range(0, len(texts), _CHUNK_TEXTS)]
    return np.concatenate(chunks) if chunks else np.empty((0, BANDS), dtype=np.uint64)


def _chunk_keys(texts: Sequence[str]) -> np.ndarray:
    import numpy as np
    from rensa import RMinHash

    digests: Any = RMinHash.digest_matrix_from_token_sets([shingles(t) for t in texts], BANDS * ROWS_PER_BAND, SEED)
    values = np.array(digests.to_rows(), dtype=np.uint64).reshape(len(texts), BANDS, ROWS_PER_BAND)
    keys = np.broadcast_to(np.arange(BANDS, dtype=np.uint64), (len(texts), BANDS)).copy()
    for row, multiplier in enumerate(_MULTIPLIERS):
        keys = (keys ^ values[:, :, row]) * np.uint64(multiplier)
        keys ^= keys >> np.uint64(29)
    return keys


class ShingleSets:
    """Distinct shingles of growing list of texts, the latest used in memory, and exact Jaccard similarity between them."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._texts = list(texts)
        self._recent: OrderedDict[int, frozenset[str]] = OrderedDict()

    def append(self, text: str) -> int:
        """Add a text; returns its index."""
        self._texts.append(text)
        return len(self._texts) - 1

    def pop(self) -> None:
        """Take the last text away again."""
        self._texts.pop()
        self._recent.pop(len(self._texts), None)

    def of(self, index: int) -> frozenset[str]:
        """The distinct shingles of one text."""
        found = self._recent.get(index)
        if found is None:
            found = self._recent[index] = frozenset(shingles(self._texts[index]))
            if len(self._recent) > _CACHED_SETS:
                self._recent.popitem(last=False)
        else:
            self._recent.move_to_end(index)
        return found

    def jaccard(self, a: int, b: int, at_least: float = 0.0) -> float:
        """Shared over all shingles of two texts; 0.0 when their numbers alone rule out ``at_least``."""
        left, right = self.of(a), self.of(b)
        few, many = sorted((len(left), len(right)))
        if not few or few < at_least * many:
            return 0.0
        shared = len(left & right)
        return shared / (few + many - shared)
