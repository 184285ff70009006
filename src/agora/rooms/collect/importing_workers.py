"""A Parquet file read, converted and packed by other processes; one process takes the rows in their order.

Only what a single process must know is left to it: which ids the file had before, and the rows that were refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from agora.core.garbage import rare_collections
from agora.core.parquet import parquet_holds_json, parquet_spans
from agora.core.tables import Rejects, read_slice
from agora.core.workers import LocalRunner
from agora.curate.importers.base import Format
from agora.curate.importers.detect import format_named
from agora.curate.importers.read import BadRows, convert_row, with_own_id
from agora.rooms.collect.ready import Ready, make_ready

_MAGIC = b"PAR1"
_SPAN_ROWS = 1024  # what a worker makes at once: the fewer, the sooner the first are written and the last are made


class Span(NamedTuple):
    """Rows ``start + 1`` to ``stop`` of a file; spans are numbered from 0."""

    number: int
    start: int
    stop: int


class _Refused(NamedTuple):
    where: str
    reason: str
    raw: object
    detail: str | None


class _Noted(Rejects):
    """Keeps refused rows for the process that writes them down."""

    def __init__(self) -> None:
        super().__init__()
        self.last: _Refused | None = None

    def add(self, where: str, reason: str, raw: object = None, *, detail: str | None = None) -> None:
        """See :meth:`Rejects.add`."""
        self.last = _Refused(where, reason, raw, detail)


@dataclass(frozen=True, slots=True)
class _Made:
    number: int
    rows: list[tuple[int, Ready | _Refused]]  # by line


@dataclass(frozen=True, slots=True)
class _MakeReady:
    """Makes the rows of a span; what a worker process runs."""

    path: Path
    format: str
    clean: bool  # its rows hold JSON's own values

    def __call__(self, span: Span) -> _Made:
        chosen, rows = format_named(self.format), []
        noted = _Noted()
        with rare_collections():
            for row in read_slice(self.path, span.start, span.stop, finite=self.clean):
                conversation = convert_row(self.path, chosen, row, noted, clean=self.clean)
                made = noted.last if conversation is None else make_ready(conversation)
                assert made is not None
                rows.append((row.line, made))
        return _Made(span.number, rows)


def spans_of(path: Path, start: int) -> list[Span]:
    """The parts of a file that processes can share, from row ``start`` on; none where one process must read it all."""
    with path.open("rb") as file:
        if file.read(len(_MAGIC)) != _MAGIC:
            return []
    left = [(max(first, start), stop) for first, stop in parquet_spans(path, _SPAN_ROWS) or () if stop > start]
    return [Span(i, first, stop) for i, (first, stop) in enumerate(left)]


def ready_lines(
    path: Path, chosen: Format, spans: list[Span], *, rejects: Rejects, seen: set[str], workers: int
) -> Iterator[tuple[int, Ready]]:
    """As :func:`agora.curate.importers.read.import_lines`, made ready for the store.

    Args:
        path: a Parquet file.
        chosen: its format.
        spans: of it, see :func:`spans_of`.
        rejects: takes the rows that cannot be read.
        seen: ids that an earlier try read; those of this one are added.
        workers: processes beside this one.
    """
    watch, waiting, due = BadRows(path, chosen, rejects), dict[int, _Made](), 0
    make = _MakeReady(path, chosen.name, parquet_holds_json(path))
    with closing(LocalRunner(workers).map(make, spans)) as results:
        for made in results:
            waiting[made.number] = made
            while due in waiting:
                for line, row in waiting.pop(due).rows:
                    watch.look()
                    if isinstance(row, Ready):
                        watch.n_imported += 1
                        yield line, _once(path, chosen, line, row, seen)
                    else:
                        rejects.add(row.where, row.reason, row.raw, detail=row.detail)
                due += 1
    watch.end()


def _once(path: Path, chosen: Format, line: int, ready: Ready, seen: set[str]) -> Ready:
    """The row, under an id of its own where an earlier one of the file has the same."""
    if ready.key not in seen:
        seen.add(ready.key)
        return ready
    (row,) = read_slice(path, line - 1, line)
    conversation = convert_row(path, chosen, row, Rejects())
    assert conversation is not None, "it was read before"
    return make_ready(with_own_id(conversation, seen, line))
