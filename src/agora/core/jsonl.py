"""JSON Lines and JSON files: growing by whole lines, or written at once."""

from __future__ import annotations

import codecs
import gzip
import os
import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from agora.core.errors import DataError, UsageError
from agora.core.files import BLOCK, atomic_file, make_folder, open_plain, require_file, write_bytes, write_failed
from agora.core.json_text import dumps, loads
from agora.core.schemas import to_row


class JsonlWriter:
    """Append rows to a JSON Lines file; what was written survives a killed process.

    Opening repairs the tail that a killed writer left: a last line that is no whole object is cut off, a whole one that
    lacks its line end gets it (``repaired`` is True for both). Each row is handed to the system in one piece, so a
    reader never sees two rows mixed. Threads may share a writer; processes may not.

    Raises:
        AgoraError: the disk is full or the folder cannot be written. The file then ends after the last whole row.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if self.path.suffix in (".gz", ".zst"):
            raise UsageError("a growing table is not compressed", where=str(path), hint="use write_jsonl at the end")
        make_folder(self.path.parent)
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        except OSError as err:
            raise write_failed(self.path, err) from err
        self._lock = threading.Lock()
        self.repaired = self._repair()

    def _repair(self) -> bool:
        tail, start = self._tail()
        if not tail:
            return False
        with suppress(ValueError):
            if isinstance(loads(tail), dict):
                self._append(b"\n")
                return True
        os.ftruncate(self._fd, start)
        return True

    def _tail(self) -> tuple[bytes, int]:
        """The bytes after the last line end, and where they start."""
        start = os.fstat(self._fd).st_size
        tail = b""
        while start > 0:
            step = min(BLOCK, start)
            block = os.pread(self._fd, step, start - step)
            cut = block.rfind(b"\n")
            if cut >= 0:
                return block[cut + 1 :] + tail, start - step + cut + 1
            tail, start = block + tail, start - step
        return tail, 0

    def write(self, row: Any) -> int:
        """Append one record (or dictionary) and flush it to the system; returns the line's length in bytes."""
        line = dumps(to_row(row) if hasattr(type(row), "SCHEMA") else row) + b"\n"
        with self._lock:
            self._append(line)
        return len(line)

    def _append(self, line: bytes) -> None:
        written = 0
        try:
            while written < len(line):
                written += os.write(self._fd, line[written:])
        except OSError as err:
            if written:
                with suppress(OSError):
                    os.ftruncate(self._fd, os.fstat(self._fd).st_size - written)
            raise write_failed(self.path, err) from err

    def close(self) -> None:
        """Flush to the disk itself and close; closing twice is fine."""
        if self._fd >= 0:
            with suppress(OSError):
                os.fsync(self._fd)
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()


class Rejects:
    """Rows that were not taken, each with its place and reason; counted, and kept in a file where one is named.

    A file of an earlier pass over the same data is replaced; it appears with the first rejected row.

    Args:
        path: the file; None counts only.
        keep: go on after this many bytes of the file, what an earlier pass that was cut short knew of (``size``).
    """

    def __init__(self, path: Path | None = None, *, keep: int = 0) -> None:
        self.path = Path(path) if path is not None else None
        self.count = 0
        self.size = 0  # of the file, in bytes
        self.by_reason: Counter[str] = Counter()
        self._writer: JsonlWriter | None = None
        if self.path is not None:
            with suppress(FileNotFoundError, NotADirectoryError):
                if keep and self.path.stat().st_size >= keep:
                    os.truncate(self.path, keep)
                    self.size = keep
                else:
                    self.path.unlink()

    def add(self, where: str, reason: str, raw: object = None, *, detail: str | None = None) -> None:
        """Keep one rejected row.

        Args:
            where: ``FILE:LINE`` or an id.
            reason: a short phrase shared by all rows that fail alike; it is what is counted.
            raw: the row as it was met.
            detail: what is particular to this row.
        """
        self.count += 1
        self.by_reason[reason] += 1
        if self.path is None:
            return
        if self._writer is None:
            self._writer = JsonlWriter(self.path)
        raw = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
        row = {"where": where, "reason": reason, "raw": raw}
        self.size += self._writer.write(row if detail is None else row | {"detail": detail})

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()


def write_jsonl(path: Path, rows: Iterable[Any]) -> int:
    """Write records or dictionaries as JSON Lines, atomically; ``.gz`` and ``.zst`` names are compressed.

    The same rows give the same bytes.

    Returns:
        How many rows were written.

    Raises:
        AgoraError: the disk is full; nothing is left behind.
    """
    path = Path(path)
    written = 0
    with atomic_file(path) as out, _compressor(path, out) as stream:
        for row in rows:
            stream.write(dumps(to_row(row) if hasattr(type(row), "SCHEMA") else row) + b"\n")
            written += 1
    return written


def _compressor(path: Path, out: BinaryIO) -> Any:
    if path.suffix == ".gz":
        return gzip.GzipFile(filename="", mode="wb", fileobj=out, mtime=0, compresslevel=6)
    if path.suffix == ".zst":
        import zstandard

        return zstandard.ZstdCompressor(level=3, write_checksum=True).stream_writer(out, closefd=False)
    return nullcontext(out)


def write_json(path: Path, value: Any) -> None:
    """Write one JSON document atomically, indented, keys in their order."""
    write_bytes(Path(path), dumps(value, indent=True) + b"\n")


def read_json(path: Path) -> Any:
    """Read one JSON document (plain, gzip or Zstandard).

    Raises:
        MissingError: no such file.
        DataError: not valid JSON; says where.
    """
    path = Path(path)
    require_file(path)
    with open_plain(path) as source:
        text = source.read().removeprefix(codecs.BOM_UTF8)
    try:
        return loads(text)
    except ValueError as err:
        raise DataError(f"not valid JSON ({err})", where=str(path)) from None
