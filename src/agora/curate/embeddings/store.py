"""Vectors of a file's texts in Parquet files of a few thousand rows; files that are there are not made again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from agora.core.errors import DataError
from agora.core.files import atomic_file, sha256_file, sweep_temporaries
from agora.core.jobs import Shard, make_shards, run_tasks
from agora.core.jsonl import write_json, write_jsonl
from agora.core.records import stable_id
from agora.core.tables import read_rows, read_slice
from agora.curate.embeddings.embedder import Embedder, EmbedderSpec

if TYPE_CHECKING:
    import numpy as np

ROWS_PER_FILE = 4096
_VERSION = 1


def write_texts(path: Path, rows: Iterable[tuple[str, str]]) -> int:
    """Write ``(id, text)`` rows as the table that vectors are made of; returns how many."""
    return write_jsonl(path, ({"id": id, "text": text} for id, text in rows))


@dataclass(frozen=True, slots=True)
class VectorStore:
    """Unit vectors in the order of the texts, ``ROWS_PER_FILE`` a file (the last one may hold fewer)."""

    folder: Path
    files: tuple[Path, ...]
    sizes: tuple[int, ...]
    dim: int

    @property
    def rows(self) -> int:
        """How many vectors there are."""
        return sum(self.sizes)

    def block(self, number: int) -> np.ndarray:
        """The vectors of one file, ``(rows, dim)`` in float32."""
        return read_vectors(self.files[number])

    def all(self) -> np.ndarray:
        """All vectors, ``(rows, dim)`` in float32: 4 bytes each number, all in memory."""
        import numpy as np

        blocks = [self.block(number) for number in range(len(self.files))]
        return np.concatenate(blocks) if blocks else np.empty((0, self.dim), dtype=np.float32)


def embed_texts(
    texts: Path, embedder: EmbedderSpec, folder: Path, *, on: str = "local", workers: int | None = None
) -> VectorStore:
    """Embed a table of texts.

    The folder gets one subfolder for each pair of texts and embedder, named by their content; called again it makes
    only the files that are missing.

    Args:
        texts: rows with ``id`` and ``text`` (see :func:`write_texts`).
        embedder: what :func:`agora.curate.embeddings.find_embedder` gave.
        folder: where vectors are kept.
        on: see :func:`agora.core.jobs.run_tasks`; each worker uses one thread.
        workers: see :func:`agora.core.jobs.run_tasks`.

    Raises:
        DataError: no text has any content (``tfidf``).
        MissingError, CapabilityError: the embedder cannot be opened.
    """
    key = stable_id(_VERSION, embedder.name, sha256_file(texts))
    own = Path(folder).absolute() / f"vectors-{key}"
    own.mkdir(parents=True, exist_ok=True)
    sweep_temporaries(own)
    if embedder.name == "tfidf":
        embedder = replace(embedder, fitted=_fitted(texts, own))
    elif embedder.cache is not None:
        embedder = replace(embedder, cache=embedder.cache.absolute())
    tasks = [
        _Task(replace(shard, path=shard.path.absolute()), embedder, own / f"{shard.index:06d}.parquet")
        for shard in make_shards(texts, ROWS_PER_FILE)
    ]
    run_tasks(_embed_shard, [t for t in tasks if not t.out.exists()], on=on, workers=workers, label="embedding")
    sizes = tuple(task.shard.stop - task.shard.start for task in tasks)
    store = VectorStore(own, tuple(task.out for task in tasks), sizes, _dim(tasks[0].out))
    write_json(own / "vectors.json", {"embedder": embedder.name, "rows": store.rows, "dim": store.dim})
    return store


def read_vectors(path: Path) -> np.ndarray:
    """The vectors of one Parquet file, ``(rows, dim)`` in float32.

    Raises:
        DataError: no vectors in it.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        column = pq.read_table(path, columns=["vector"]).column("vector").combine_chunks()
    except (pa.ArrowException, OSError, KeyError) as err:
        raise DataError(f"holds no vectors ({err})", where=str(path), hint="delete it; it is made again") from None
    values: np.ndarray = column.flatten().to_numpy(zero_copy_only=False)
    return values.reshape(len(column), column.type.list_size)


@dataclass(frozen=True, slots=True)
class _Task:
    shard: Shard
    embedder: EmbedderSpec
    out: Path

    def __str__(self) -> str:
        return f"embedding of {self.shard}"


def _embed_shard(task: _Task) -> int:
    """Embed one shard into its file; runs in a worker process."""
    from threadpoolctl import threadpool_limits

    shard = task.shard
    rows = [row.data for row in read_slice(shard.path, shard.start, shard.stop, offset=shard.offset)]
    with threadpool_limits(1):  # as many threads as workers, and sums in the same order everywhere
        vectors = _opened(task.embedder).embed([row["text"] for row in rows])
    _write_vectors(task.out, [row["id"] for row in rows], vectors)
    return len(rows)


@lru_cache(maxsize=1)
def _opened(embedder: EmbedderSpec) -> Embedder:
    return embedder.open()


def _write_vectors(path: Path, ids: list[str], vectors: np.ndarray) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    values = pa.array(np.ascontiguousarray(vectors, dtype=np.float32).ravel())
    column = pa.FixedSizeListArray.from_arrays(values, vectors.shape[1])
    table = pa.table({"id": pa.array(ids, pa.string()), "vector": column})
    with atomic_file(path) as out:
        pq.write_table(table, out, compression="none", use_dictionary=False)


def _fitted(texts: Path, folder: Path) -> Path:
    from agora.curate.embeddings.tfidf import TfidfEmbedder

    path = folder / "tfidf.npz"
    if not path.exists():
        TfidfEmbedder.fit(row.data["text"] for row in read_rows(texts)).save(path)
    return path


def _dim(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_schema(path).field("vector").type.list_size)
