"""Finished work on disk, appended as it arrives: what is in a journal is never paid for again."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

from agora.core.errors import DataError
from agora.core.json_text import loads
from agora.core.schemas import from_row
from agora.core.tables import JsonlWriter


class Entry(Protocol):
    """A record with an id."""

    SCHEMA: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def id(self) -> str:
        """What the entry is found by."""


T = TypeVar("T", bound=Entry)


class Journal(Generic[T]):
    """Records by id in an append-only JSON Lines file; their order in the file says nothing.

    Only ids and offsets of earlier runs stay in memory. A half-written last line is dropped (``repaired``), and its
    record counts as not done.

    Args:
        path: the file; None keeps the records in memory alone.
        record_type: what the rows are.
    """

    def __init__(self, path: Path | None, record_type: type[T]) -> None:
        self.path = path
        self.record_type = record_type
        self.repaired = False
        self._fresh: dict[str, T] = {}  # added in this session and not yet handed out
        self._offsets: dict[str, int] = {}  # of what earlier sessions wrote
        self._taken: set[str] = set()
        self._writer: JsonlWriter | None = None
        if path is not None:
            self._writer = JsonlWriter(path)
            self.repaired = self._writer.repaired
            self._scan(path)
            self._source = path.open("rb")

    def _scan(self, path: Path) -> None:
        offset = 0
        with path.open("rb") as lines:
            for line in lines:
                with suppress(ValueError, KeyError, TypeError):  # a damaged line is work to do again
                    self._offsets.setdefault(loads(line)["id"], offset)
                offset += len(line)

    def __contains__(self, id: str) -> bool:
        return id in self._fresh or id in self._offsets or id in self._taken

    def add(self, record: T) -> None:
        """Append a finished record; it is on its way to the disk when this returns."""
        if self._writer is not None:
            self._writer.write(record)
        self._fresh[record.id] = record

    def take(self, id: str) -> T:
        """The record of ``id``. One added in this session is handed out once and then forgotten in memory.

        Raises:
            KeyError: there is none, or it was handed out before.
            DataError: the row on disk is not one of this journal's.
        """
        if id in self._fresh:
            self._taken.add(id)
            return self._fresh.pop(id)
        self._source.seek(self._offsets[id])
        try:
            return from_row(self.record_type, loads(self._source.readline()))
        except (ValueError, DataError) as error:
            raise DataError(f"a journal row does not read back: {error}", where=str(self.path)) from error

    def read(self, id: str) -> T:
        """The record of ``id``, as often as it is asked for.

        Raises:
            KeyError: there is none.
            DataError: the row on disk is not one of this journal's.
        """
        return self._fresh[id] if id in self._fresh else self.take(id)

    def close(self) -> None:
        """Flush and close; closing twice is fine."""
        if self._writer is not None:
            self._writer.close()
            self._source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()
