"""For each test item the rows that are most like it: by TF-IDF of characters or words, or by embeddings.

Rows are looked through in shards of a table, so memory does not grow with the file. A lexical method weighs hashed
n-grams by their rarity among up to 50,000 evenly drawn rows and leaves out those that most rows share. It is blind to
translations. The cost of a lexical method grows with items times rows; ten thousand rows a second and core is typical
for a thousand items.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from agora.core.errors import UsageError
from agora.core.files import atomic_file, sha256_file
from agora.core.jobs import Shard, make_shards, run_tasks
from agora.core.records import stable_id
from agora.core.tables import read_slice
from agora.curate.embeddings import embed_texts, find_embedder, write_texts
from agora.curate.embeddings.store import read_vectors
from agora.curate.hashed_ngrams import ngram_counts, unit_length

if TYPE_CHECKING:
    import numpy as np

LEXICAL: dict[str, tuple[Any, tuple[int, ...]]] = {"chars": ("chars", (3, 4, 5)), "words": ("words", (1, 2))}
_BITS = 20
_ROWS_PER_SHARD = 4096
_IDF_ROWS = 50_000
_COMMON = 0.2  # n-grams in more rows than this share tell nothing, and cost most of the time
_FEW_ROWS = 1000  # among so few a share tells nothing either


class Candidates(NamedTuple):
    """For each item the numbers of the most similar rows and their similarity, the best first; -1 fills up."""

    rows: np.ndarray  # (items, k) int64
    scores: np.ndarray  # (items, k) float32


def retrieve(
    items: Sequence[str],
    texts: Path,
    k: int,
    *,
    method: str = "chars",
    folder: Path,
    without: Collection[int] = (),
    on: str = "local",
    workers: int | None = None,
) -> Candidates:
    """The ``k`` rows of a table that are most like each item.

    Args:
        items: texts of test items.
        texts: rows with ``id`` and ``text`` (see :func:`agora.curate.embeddings.write_texts`).
        k: at least 1.
        method: ``chars``, ``words``, or an embedder's name.
        folder: for vectors and parts; what is there from an earlier call is not made again.
        without: numbers of rows that are not looked at.
        on: see :func:`agora.core.jobs.run_tasks`.
        workers: see :func:`agora.core.jobs.run_tasks`.

    Raises:
        UsageError: ``k`` is under 1, or no such method.
    """
    if k < 1:
        raise UsageError(f"at least 1 row an item, got {k}")
    folder = Path(folder).absolute()
    if method in LEXICAL:
        parts = _lexical_parts(items, texts, k, method, folder, sorted(without), on, workers)
    else:
        parts = _vector_parts(items, texts, k, method, folder, sorted(without), on, workers)
    return _best(parts, len(items), k)


@dataclass(frozen=True, slots=True)
class _Task:
    """One shard of rows to be compared with all items; ``shard`` for texts, ``vectors`` for their vectors."""

    query: Path
    method: str
    k: int
    start: int
    without: tuple[int, ...]
    out: Path
    shard: Shard | None = None
    vectors: Path | None = None

    def __str__(self) -> str:
        return f"retrieval from {self.shard or self.vectors}"


def _lexical_parts(
    items: Sequence[str],
    texts: Path,
    k: int,
    method: str,
    folder: Path,
    without: list[int],
    on: str,
    workers: int | None,
) -> list[Path]:
    import numpy as np

    shards = [replace(s, path=s.path.absolute()) for s in make_shards(texts, _ROWS_PER_SHARD)]
    own = folder / f"retrieved-{stable_id(method, k, list(items), sha256_file(texts), without)}"
    own.mkdir(parents=True, exist_ok=True)
    query = own / "query.npz"
    if not query.exists():
        counts = ngram_counts(items, *LEXICAL[method], _BITS)
        idf = _rarity(shards, method, counts)
        found = _weighed(counts, idf)
        with atomic_file(query) as out:
            np.savez(out, idf=idf, data=found.data, indices=found.indices, indptr=found.indptr)
    tasks = [
        _Task(query, method, k, s.start, _within(without, s.start, s.stop), own / f"{s.index:06d}.npz", shard=s)
        for s in shards
    ]
    run_tasks(_look, [t for t in tasks if not t.out.exists()], on=on, workers=workers, label="retrieval")
    return [task.out for task in tasks]


def _vector_parts(
    items: Sequence[str],
    texts: Path,
    k: int,
    method: str,
    folder: Path,
    without: list[int],
    on: str,
    workers: int | None,
) -> list[Path]:
    import numpy as np

    embedder = find_embedder(method)
    store = embed_texts(texts, embedder, folder, on=on, workers=workers)
    own = folder / f"retrieved-{stable_id(method, k, list(items), store.folder.name, without)}"
    own.mkdir(parents=True, exist_ok=True)
    query = own / "query.npz"
    if not query.exists():
        if method == "tfidf":
            embedder = replace(embedder, fitted=store.folder / "tfidf.npz")
        vectors = embedder.open().embed(items)
        with atomic_file(query) as out:
            np.savez(out, vectors=vectors)
    starts = np.concatenate([[0], np.cumsum(store.sizes)]).tolist()
    tasks = [
        _Task(query, method, k, starts[n], _within(without, starts[n], starts[n + 1]), own / f"{n:06d}.npz", vectors=f)
        for n, f in enumerate(store.files)
    ]
    run_tasks(_look, [t for t in tasks if not t.out.exists()], on=on, workers=workers, label="retrieval")
    return [task.out for task in tasks]


def _within(rows: list[int], start: int, stop: int) -> tuple[int, ...]:
    return tuple(row for row in rows if start <= row < stop)


def _rarity(shards: Sequence[Shard], method: str, items: Any) -> np.ndarray:
    """Inverse document frequencies of the hashed n-grams, items included; 0 for those that many texts share."""
    import numpy as np

    step = max(1, -(-len(shards) * _ROWS_PER_SHARD // _IDF_ROWS))
    seen, rows = np.bincount(items.indices, minlength=1 << _BITS), items.shape[0]
    for shard in shards[::step]:
        counts = ngram_counts(_texts(shard), *LEXICAL[method], _BITS)
        seen += np.bincount(counts.indices, minlength=1 << _BITS)
        rows += counts.shape[0]
    idf = np.log((1 + rows) / (1 + seen)) + 1
    if rows > _FEW_ROWS:
        idf[seen > _COMMON * rows] = 0
    rarity: np.ndarray = idf.astype(np.float32)
    return rarity


def _weighed(counts: Any, idf: np.ndarray) -> Any:
    """Counts times rarity, at unit length, without what has no weight."""
    counts.data *= idf[counts.indices]
    counts.eliminate_zeros()
    return unit_length(counts)


def _texts(shard: Shard) -> list[str]:
    return [row.data["text"] for row in read_slice(shard.path, shard.start, shard.stop, offset=shard.offset)]


def _look(task: _Task) -> None:
    """Compare a shard with all items and write the best of each; runs in a worker process."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        if task.vectors is not None:
            scores = _vectors(task.query) @ read_vectors(task.vectors).T
        else:
            assert task.shard is not None
            idf, items = _query(task.query)
            rows = _weighed(ngram_counts(_texts(task.shard), *LEXICAL[task.method], _BITS), idf)
            scores = (items @ rows.T.tocsr()).toarray()
    scores[:, [row - task.start for row in task.without]] = -2
    best = np.argsort(-scores, axis=1, kind="stable")[:, : task.k]
    top = np.take_along_axis(scores, best, axis=1)
    with atomic_file(task.out) as out:
        np.savez(out, rows=np.where(top > -2, best + task.start, -1), scores=top.astype(np.float32))


@lru_cache(maxsize=1)
def _query(path: Path) -> tuple[np.ndarray, Any]:
    import numpy as np
    from scipy import sparse

    with np.load(path, allow_pickle=False) as stored:
        shape = (len(stored["indptr"]) - 1, 1 << _BITS)
        items = sparse.csr_matrix((stored["data"], stored["indices"], stored["indptr"]), shape=shape)
        return stored["idf"], items


@lru_cache(maxsize=1)
def _vectors(path: Path) -> np.ndarray:
    import numpy as np

    with np.load(path, allow_pickle=False) as stored:
        vectors: np.ndarray = stored["vectors"]
        return vectors


def _best(parts: Sequence[Path], items: int, k: int) -> Candidates:
    """The best over all parts; equal scores go to the smaller row."""
    import numpy as np

    rows, scores = np.full((items, k), -1, dtype=np.int64), np.full((items, k), -2, dtype=np.float32)
    for path in parts:
        with np.load(path, allow_pickle=False) as part:
            rows = np.concatenate([rows, part["rows"]], axis=1)
            scores = np.concatenate([scores, part["scores"]], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        rows, scores = np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1)
    return Candidates(rows, scores)


__all__ = ["LEXICAL", "Candidates", "retrieve", "write_texts"]
