"""Rows of a file through a function, some thousand at a time: here, in several processes or on Ray, the same results.

Workers read their rows themselves where a file of our own records can be entered anywhere (plain JSON Lines, Parquet).
Of other files (formats in which a row depends on those before it, compressed ones) this process reads the rows and
hands them on. A repeated id gets a new one, which nobody knows who has not seen all rows before it: such a part is done
again.
"""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from agora.core.files import make_folder, write_bytes
from agora.core.jobs import Shard, make_shards, run_tasks
from agora.core.json_rows import Row
from agora.core.jsonl import Rejects
from agora.core.progress import progress
from agora.core.tables import read_slice
from agora.curate.rows import Source, is_own, mark_of, read_record_rows, usable_rows, with_new_id

ROWS_A_PART = 4096
PARTS = "agora-parts"  # what folders for parts are called, beside an output: nobody else's, so that they may be swept

T = TypeVar("T")
RowsFunction = Callable[[list[Row]], T]


class Aside(NamedTuple):
    """A row that is not worked on: unreadable, or ``marked`` by an earlier pass."""

    where: str
    reason: str
    raw: Any
    detail: str | None
    marked: bool


class Part(NamedTuple, Generic[T]):
    """A run of rows: how many could be read, which of them (and of the others) are not worked on, what was made."""

    n: int
    aside: list[Aside]
    result: T


def is_shared(on: str, workers: int | None) -> bool:
    """Whether rows go to other processes: on Ray, or where more than one was asked for."""
    return on != "local" or (workers or 1) > 1


def parts_of(
    source: Source, fn: RowsFunction[T], folder: Path, *, on: str = "local", workers: int | None = None, label: str
) -> Iterator[Part[T]]:
    """What a function makes of the rows of a file, in their order.

    Args:
        source: the file.
        fn: of any number of rows in order (none too); importable, and what it makes does not depend on the cut.
        folder: for what passes between the processes; all of them must see it, and it is gone afterwards.
        on: see :func:`agora.core.jobs.run_tasks`.
        workers: see :func:`agora.core.jobs.run_tasks`; without a number on this machine, this process does it.
        label: for the progress bar.

    Raises:
        DataError, MissingError: as for :func:`agora.curate.rows.read_record_rows`.
    """
    folder = Path(folder).absolute()
    shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
    if not is_shared(on, workers):
        with progress(None, label, "rows") as bar:
            for rows, n, aside in _cut(source):
                yield Part(n, aside, fn(rows))
                bar.advance(n)
        return
    make_folder(folder)
    try:
        yield from _shared(source, fn, folder, on, workers, label)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Kept(Rejects):
    """Rejected rows in a list; ``read_as`` is how a worker calls the file, which the user calls ``called``."""

    def __init__(self, read_as: Path | None = None, called: Path | None = None) -> None:
        super().__init__()
        self.aside: list[Aside] = []
        self._read_as, self._called = f"{read_as}:", f"{called}:"

    def add(self, where: str, reason: str, raw: object = None, *, detail: str | None = None) -> None:
        if where.startswith(self._read_as):
            where = self._called + where[len(self._read_as) :]
        self.aside.append(Aside(where, reason, raw, detail, marked=False))


def _cut(source: Source) -> Iterator[tuple[list[Row], int, list[Aside]]]:
    """Runs of rows, how many there were with those that are marked, and what was set aside up to there."""
    kept = _Kept()
    found = read_record_rows(source, kept)
    while True:
        rows, n = _unmarked(islice(found, ROWS_A_PART), source, kept)
        if not n and not kept.aside:
            return
        aside, kept.aside = kept.aside, []
        yield rows, n, aside


def _unmarked(found: Iterable[Row], source: Source, kept: _Kept) -> tuple[list[Row], int]:
    rows, n = [], 0
    for row in found:
        n += 1
        reason = mark_of(row.data)
        if reason is None:
            rows.append(row)
        else:
            kept.aside.append(Aside(f"{source.path}:{row.line}", reason, row.data, None, marked=True))
    return rows, n


@dataclass(frozen=True, slots=True)
class _Task:
    """A part: a shard of the source, or ``handed``, a file with its rows; ``repeated`` ids by their place among all."""

    source: Source
    out: Path
    shard: Shard | None = None
    handed: Path | None = None
    repeated: frozenset[int] = field(default_factory=frozenset)

    def __str__(self) -> str:
        return str(self.shard or f"rows of {self.source.path}")


def _shared(
    source: Source, fn: RowsFunction[T], folder: Path, on: str, workers: int | None, label: str
) -> Iterator[Part[T]]:
    tasks = _shard_tasks(source, folder) or list(_handed_tasks(source, folder))
    make = partial(_make, fn)
    ids = run_tasks(make, tasks, on=on, workers=workers, label=label)
    again = [replace(task, repeated=found) for task, found in zip(tasks, _repeated(ids), strict=True) if found]
    if again:
        run_tasks(make, again, on=on, workers=workers, label=label)
    for task in tasks:
        part: Part[T] = pickle.loads(task.out.read_bytes())
        task.out.unlink()
        yield part


def _shard_tasks(source: Source, folder: Path) -> list[_Task]:
    """One task a shard; none where a worker would have to read what is before its shard."""
    if not is_own(source) or source.path.suffix in (".gz", ".zst"):
        return []
    shards = make_shards(source.path, ROWS_A_PART)
    if source.path.suffix != ".parquet" and any(shard.offset is None for shard in shards):
        return []
    absolute = source.path.absolute()
    return [_Task(source, folder / f"{shard.index:06d}.part", shard=replace(shard, path=absolute)) for shard in shards]


def _handed_tasks(source: Source, folder: Path) -> Iterator[_Task]:
    for number, part in enumerate(_cut(source)):
        handed = folder / f"{number:06d}.rows"
        write_bytes(handed, pickle.dumps(part))
        yield _Task(source, folder / f"{number:06d}.part", handed=handed)


def _repeated(ids: Sequence[Sequence[str]]) -> Iterator[frozenset[int]]:
    seen: set[str] = set()
    for some in ids:
        found = []
        for place, name in enumerate(some):
            if name in seen:
                found.append(place)
            seen.add(name)
        yield frozenset(found)


def _make(fn: RowsFunction[T], task: _Task) -> list[str]:
    """Read a part, apply the function, write what it makes; the ids of the rows, where the worker read them itself."""
    ids: list[str] = []
    if task.handed is not None:
        rows, n, aside = pickle.loads(task.handed.read_bytes())
    else:
        assert task.shard is not None
        shard, kept = task.shard, _Kept(task.shard.path, task.source.path)
        found = read_slice(shard.path, shard.start, shard.stop, offset=shard.offset, rejects=kept)
        usable = usable_rows(found, task.source, kept)
        rows, n = _unmarked(_renamed(usable, task.repeated, ids), task.source, kept)
        aside = kept.aside
    write_bytes(task.out, pickle.dumps(Part(n, aside, fn(rows))))
    return ids


def _renamed(rows: Iterable[Row], repeated: frozenset[int], ids: list[str]) -> Iterator[Row]:
    for place, row in enumerate(rows):
        ids.append(row.data["id"])
        yield with_new_id(row) if place in repeated else row
