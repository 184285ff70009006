"""One shard of a job: which rows it is, what a step does to them, and what is left when it is done."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agora.core.errors import AgoraError, DataError, UsageError
from agora.core.jsonl import Rejects, read_json, write_json, write_jsonl
from agora.core.tables import find_slices, read_slice

Rows = Iterator[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Step:
    """A named, versioned, pure function from rows to rows.

    Args:
        fn: takes an iterator of rows (and ``params`` as keywords) and yields rows; importable, so that it can be sent
            to another process; it keeps no state between shards.
        name: how it is called in errors; the function's own name by default.
        version: raise it when the function's results change.
        params: JSON-like; they are part of the job's identity.
    """

    fn: Callable[..., Iterable[dict[str, Any]]]
    name: str = ""
    version: int = 1
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The given name, or the function's."""
        return self.name or str(getattr(self.fn, "__name__", type(self.fn).__name__))

    def __call__(self, rows: Rows) -> Iterable[dict[str, Any]]:
        """The step's rows."""
        return self.fn(rows, **self.params)


@dataclass(frozen=True, slots=True)
class Shard:
    """Lines ``start + 1`` to ``stop`` of a file (items of an array, rows of Parquet)."""

    index: int
    path: Path
    start: int
    stop: int
    offset: int | None = None  # bytes, where a seek finds the first line

    def __str__(self) -> str:
        return f"shard {self.index} ({self.path}, rows {self.start + 1}-{self.stop})"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a finished shard was and left."""

    index: int
    rows_in: int
    rows_out: int
    rejected: int


def make_shards(path: Path, rows_per_shard: int, *, first_index: int = 0) -> list[Shard]:
    """Cut a table into shards of consecutive rows.

    Args:
        path: anything :func:`agora.core.tables.read_rows` reads; uncompressed JSON Lines and Parquet are entered
            without reading what is before a shard.
        rows_per_shard: at least 1; the number of lines for JSON Lines (blank ones count).
        first_index: for the shards of a second file, continue the numbers of the first.

    Raises:
        MissingError, DataError: as for ``read_rows``.
    """
    if rows_per_shard < 1:
        raise UsageError(f"rows_per_shard must be at least 1, got {rows_per_shard}")
    slices = find_slices(Path(path), rows_per_shard)
    return [Shard(n, Path(path), start, stop, offset) for n, (start, stop, offset) in enumerate(slices, first_index)]


def shard_file(out: Path, index: int, kind: str) -> Path:
    """Where a shard's file of a kind is: ``rows.jsonl``, ``rejects.jsonl`` or ``done.json``."""
    return out / "shards" / f"{index:06d}.{kind}"


def outcome_of(out: Path, shard: Shard) -> Outcome | None:
    """What a finished shard left, None for an unfinished one; its note is written after its rows."""
    note = shard_file(out, shard.index, "done.json")
    if not note.exists() or not shard_file(out, shard.index, "rows.jsonl").exists():
        return None
    return Outcome(shard.index, **read_json(note))


def run_shard(steps: Sequence[Step], out: Path, tolerant: bool, shard: Shard) -> Outcome:
    """Read a shard, apply the steps, write its rows whole. Runs in a worker process.

    Raises:
        AgoraError: names the shard, the step and the error; the trace is in a note.
    """
    with Rejects(shard_file(out, shard.index, "rejects.jsonl")) as rejects:
        try:
            rows_out = write_jsonl(shard_file(out, shard.index, "rows.jsonl"), _rows(steps, shard, rejects, tolerant))
        except Exception as err:
            kind = type(err) if isinstance(err, AgoraError) else AgoraError
            failure = kind(f"{shard}: {_says(err)}")
            failure.add_note("".join(traceback.format_exception(err)))
            raise failure from err
    note = {"rows_in": shard.stop - shard.start, "rows_out": rows_out, "rejected": rejects.count}
    write_json(shard_file(out, shard.index, "done.json"), note)
    return Outcome(shard.index, **note)


def _says(err: Exception) -> str:
    return str(err) if isinstance(err, AgoraError) else f"{type(err).__name__}: {err}"


def _rows(steps: Sequence[Step], shard: Shard, rejects: Rejects, tolerant: bool) -> Rows:
    found = read_slice(shard.path, shard.start, shard.stop, offset=shard.offset, rejects=rejects if tolerant else None)
    rows: Rows = (row.data for row in found)
    for step in steps:
        rows = _named(step, rows)
    return rows


def _named(step: Step, rows: Rows) -> Rows:
    """A step's rows; what goes wrong in it carries its name."""
    source = _Source(rows)
    try:
        for row in step(source):
            if not isinstance(row, dict):
                raise DataError(f"rows must be dictionaries, got {type(row).__name__}")
            yield row
    except Exception as err:
        if source.error is err:  # it came from before this step
            raise
        kind = type(err) if isinstance(err, AgoraError) else AgoraError
        raise kind(f'step "{step.title}" failed: {_says(err)}') from err


class _Source:
    """An iterator that remembers the error it ended with, so that a step is not blamed for what it was fed."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.error: BaseException | None = None

    def __iter__(self) -> _Source:
        return self

    def __next__(self) -> dict[str, Any]:
        try:
            return next(self._rows)
        except StopIteration:
            raise
        except Exception as err:
            self.error = err
            raise
