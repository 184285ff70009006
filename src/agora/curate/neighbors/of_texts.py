"""From texts to neighbors in one call: a table, its vectors, their neighbors, all kept in one folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from agora.core.lock import FolderLock
from agora.curate.embeddings import embed_texts, find_embedder, write_texts
from agora.curate.neighbors.search import EXACT_UP_TO, PAIRS_FROM, Neighbors, find_neighbors


def neighbors_of_texts(
    rows: Iterable[tuple[str, str]],
    folder: Path,
    *,
    embedder: str = "tfidf",
    pairs_from: float = PAIRS_FROM,
    exact_up_to: int = EXACT_UP_TO,
    on: str = "local",
    workers: int | None = None,
) -> Neighbors:
    """Embed ``(id, text)`` rows and find their neighbors; row numbers are those of the rows.

    Args:
        rows: at least one.
        folder: for the table, vectors and neighbors; what is there from the same rows and values is not made again.
        embedder: see :mod:`agora.curate.embeddings.embedder`.
        pairs_from: see :func:`agora.curate.neighbors.find_neighbors`.
        exact_up_to: see there.
        on: see :func:`agora.core.jobs.run_tasks`.
        workers: see there.

    Raises:
        UsageError: no such embedder.
        MissingError: its package is not installed.
        AgoraError: another process works in the folder.
    """
    spec = find_embedder(embedder)
    if ":" in embedder and not embedder.startswith("st:"):
        spec = replace(spec, cache=Path(folder) / "embeddings.sqlite")  # an engine: no text is paid for twice
    lock = FolderLock(Path(folder))
    try:
        table = Path(folder) / "texts.jsonl"
        write_texts(table, rows)
        store = embed_texts(table, spec, folder, on=on, workers=workers)
        return find_neighbors(store, folder, pairs_from=pairs_from, exact_up_to=exact_up_to, on=on, workers=workers)
    finally:
        lock.release()
