"""Who may label: a model behind any engine, or a labeler that another package has entered by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from agora.core.records import JsonMap
from agora.curate.labels.by_model import ModelLabeler, Spent
from agora.curate.labels.kinds import LabelKind
from agora.curate.providers import LABELERS


class Labeler(Protocol):
    """Gives rows their labels, in order; a label it cannot give has status ``failed``."""

    name: str
    spent: Spent

    def label(self, rows: Iterable[JsonMap], kinds: Sequence[LabelKind]) -> Iterator[JsonMap]:
        """The rows, each with a tag a kind."""


def open_labeler(
    uri: str, *, cache: Path, seed: int = 0, max_tokens: int = 512, **engine_options: Any
) -> tuple[Labeler, Callable[[], None]]:
    """A labeler by its URI, and what closes it.

    Args:
        uri: a name in ``LABELERS``, or any engine URI.
        cache: a SQLite file of replies to use and fill.
        seed: of the prompts' codes.
        max_tokens: longest reply of a model.
        engine_options: for :func:`agora.engines.open_engine` (budget, prices, concurrency, ...).

    Raises:
        AgoraError: the engine cannot be opened.
    """
    if uri in LABELERS:
        return LABELERS[uri](), lambda: None
    from agora.engines import open_engine

    engine = open_engine(uri, cache=cache, **engine_options)
    return ModelLabeler(engine, seed=seed, max_tokens=max_tokens), engine.close
