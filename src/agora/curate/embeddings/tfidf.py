"""The offline default: hashed character n-grams weighed by TF-IDF, reduced by a truncated SVD of a sample.

Nothing is downloaded and nothing depends on the order of the texts: the sample are the texts of the lowest hashes, in
the order of these. It sees shared spelling, not meaning; for paraphrases use a model.
"""

from __future__ import annotations

import heapq
import zipfile
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agora.core.errors import DataError
from agora.core.files import atomic_file, require_file
from agora.curate.embeddings.embedder import unit_rows
from agora.curate.hashed_ngrams import ngram_counts, unit_length
from agora.curate.text import normalize

if TYPE_CHECKING:
    import numpy as np

BITS, DIM, SAMPLE_TEXTS = 16, 256, 5_000
NGRAMS = (3, 4, 5)
_SVD_PASSES = 1


def _counts(texts: Sequence[str]) -> Any:
    return ngram_counts(texts, "chars", NGRAMS, BITS)


class TfidfEmbedder:
    """Made by :meth:`fit` or :meth:`load`."""

    def __init__(self, idf: np.ndarray, components: np.ndarray) -> None:
        self._idf = idf  # (features,)
        self._components = components  # (features, dim)

    @classmethod
    def fit(cls, texts: Iterable[str]) -> TfidfEmbedder:
        """Fit to texts, of which at most 5,000 distinct ones are used.

        Vectors have as many dimensions as the sample has texts, at most 256.

        Raises:
            DataError: no text has any content.
        """
        import numpy as np
        from sklearn.utils.extmath import randomized_svd

        sample = _sample(texts)
        if not sample:
            raise DataError("no text has any content", hint="look at the file: are its user turns empty?")
        counts = _counts(sample)
        seen = np.bincount(counts.indices, minlength=1 << BITS)
        idf = (np.log((1 + len(sample)) / (1 + seen)) + 1).astype(np.float32)
        weighed = _weighed(counts, idf)
        dim = min(DIM, len(sample))
        _, _, components = randomized_svd(weighed, n_components=dim, n_iter=_SVD_PASSES, random_state=0)
        return cls(idf, np.ascontiguousarray(components.T, dtype=np.float32))

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """See :class:`agora.curate.embeddings.embedder.Embedder`."""
        return unit_rows(_weighed(_counts(texts), self._idf) @ self._components)

    def save(self, path: Path) -> None:
        """Write it whole."""
        import numpy as np

        with atomic_file(path) as out:
            np.savez(out, idf=self._idf, components=self._components)

    @classmethod
    def load(cls, path: Path) -> TfidfEmbedder:
        """Read what :meth:`save` wrote.

        Raises:
            MissingError: no such file.
            DataError: it is damaged.
        """
        import numpy as np

        require_file(path)
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls(stored["idf"], stored["components"])
        except (ValueError, KeyError, OSError, zipfile.BadZipFile) as err:
            raise DataError(f"not a fitted embedder ({err})", where=str(path), hint="delete it") from None


def _weighed(counts: Any, idf: np.ndarray) -> Any:
    """Counts times inverse document frequency, rows of length 1."""
    counts.data *= idf[counts.indices]
    return unit_length(counts)


def _sample(texts: Iterable[str]) -> list[str]:
    """The distinct texts with content of the lowest hashes, by hash."""
    keyed = (
        (blake2b(t.encode("utf-8", "surrogatepass"), digest_size=8).digest(), t) for t in map(normalize, texts) if t
    )
    distinct: list[str] = []
    for _, text in heapq.nsmallest(2 * SAMPLE_TEXTS, keyed):  # copies stand side by side
        if not distinct or distinct[-1] != text:
            distinct.append(text)
    return distinct[:SAMPLE_TEXTS]
