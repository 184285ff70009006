"""Whole files: written atomically, opened through compression, hashed, and missed politely."""

from __future__ import annotations

import difflib
import errno
import hashlib
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from agora.core.errors import AgoraError, DataError, MissingError

BLOCK = 1 << 20
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
TMP_SUFFIX = ".agora-tmp"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_serial = count()


def nearest(name: str, names: list[str]) -> str | None:
    """The most similar of ``names``, or None when none is close."""
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return found[0] if found else None


def missing(path: Path, what: str = "file") -> MissingError:
    """The error for a path that does not exist, with the nearest name that does."""
    parent = path.parent
    if not parent.is_dir():
        return MissingError(f"no such {what}", where=str(path), hint=f"the folder {parent} does not exist either")
    with suppress(OSError):
        near = nearest(path.name, [p.name for p in parent.iterdir()])
        if near:
            return MissingError(f"no such {what}", where=str(path), hint=f"did you mean {parent / near}?")
    return MissingError(f"no such {what}", where=str(path), hint="check the path")


def require_file(path: Path) -> None:
    """Raise unless ``path`` can be read as a file.

    Raises:
        MissingError: it does not exist.
        DataError: it is a folder, or may not be read.
    """
    if not path.exists():
        raise missing(path)
    if path.is_dir():
        raise DataError("this is a folder, not a file", where=str(path), hint="name a file in it")
    if not os.access(path, os.R_OK):
        raise DataError("may not be read (permission denied)", where=str(path), hint="check its owner and mode")


def write_failed(path: Path, err: OSError) -> AgoraError:
    """What a user is told when a write fails."""
    if err.errno in _FULL:
        hint = "free some space (or raise the limit) and run the same command again; nothing half-written was left"
        return AgoraError(f"the disk is full ({os.strerror(err.errno)})", where=str(path), hint=hint)
    return AgoraError(f"cannot write: {err.strerror or err}", where=str(path), hint="check the folder and its mode")


def is_full_disk(error: BaseException | None) -> bool:
    """Whether an error, or one that led to it, is a full disk as the system and the libraries that write files tell it.

    torch hides the system's error behind one of its own; safetensors only quotes it.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        if any(f"(os error {code})" in str(error) for code in _FULL):
            return True
        error = error.__cause__ or error.__context__
    return False


class _AtomicRaw(io.RawIOBase):
    """The temporary file. After ``discard`` it swallows writes, so that closing the buffers above it cannot fail."""

    def __init__(self, target: Path, tmp: Path) -> None:
        self.target = target
        self.discard = False
        try:
            self.fd = os.open(tmp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        except OSError as err:
            self.discard, self.fd = True, -1
            raise write_failed(target, err) from err

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        if self.discard:
            return memoryview(data).nbytes
        try:
            return os.write(self.fd, data)
        except OSError as err:
            raise write_failed(self.target, err) from err

    def sync(self) -> None:
        try:
            os.fsync(self.fd)
        except OSError as err:
            raise write_failed(self.target, err) from err

    def close(self) -> None:
        if not self.closed and self.fd >= 0:
            os.close(self.fd)
        super().close()


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A binary file that appears under ``path`` whole and flushed to disk, or not at all.

    The bytes go to a hidden file in the same folder (made if needed), which is renamed at the end and removed on any
    error or interrupt. A symbolic link stays a link.

    Raises:
        AgoraError: the disk is full or the folder cannot be written.
    """
    target = Path(os.path.realpath(path))
    make_folder(target.parent)
    tmp = target.with_name(f".{target.name[:200]}.{os.getpid()}-{next(_serial)}{TMP_SUFFIX}")
    raw = _AtomicRaw(path, tmp)
    buffered = io.BufferedWriter(raw, BLOCK)
    try:
        yield buffered
        buffered.flush()
        raw.sync()
        buffered.close()
        _rename(tmp, target)
    except BaseException:
        raw.discard = True
        buffered.close()
        with suppress(FileNotFoundError):
            tmp.unlink()
        raise


def _rename(tmp: Path, target: Path) -> None:
    try:
        tmp.replace(target)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name itself must survive a power cut
        finally:
            os.close(folder)
    except OSError as err:
        raise write_failed(target, err) from err


def write_bytes(path: Path, data: bytes) -> None:
    """Write a small file atomically."""
    with atomic_file(path) as out:
        out.write(data)


def make_folder(path: Path) -> None:
    """Make a folder and its parents; an existing one is fine."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise write_failed(path, err) from err


def sweep_temporaries(folder: Path) -> int:
    """Remove what killed writers left anywhere below ``folder``; only for the holder of its lock."""
    left = list(folder.rglob(f".*{TMP_SUFFIX}"))
    for tmp in left:
        with suppress(OSError):
            tmp.unlink()
    return len(left)


def open_plain(path: Path) -> io.BufferedReader:
    """Open for reading through gzip or Zstandard, told by the first bytes and never by the name.

    Reading the result raises DataError when the compressed data is damaged or cut off.
    """
    try:
        raw = cast(io.BufferedReader, path.open("rb", buffering=BLOCK))
    except OSError as err:
        raise DataError(f"cannot be read: {err.strerror or err}", where=str(path)) from err
    magic = raw.peek(4)[:4]
    if magic[:2] == GZIP or magic == ZSTD:
        return io.BufferedReader(_Decompressed(raw, path, gzipped=magic != ZSTD), BLOCK)
    return raw


class _Decompressed(io.RawIOBase):
    """Decompress a stream of gzip members or Zstandard frames; unlike the libraries' readers, notices a cut-off end."""

    def __init__(self, source: IO[bytes], path: Path, *, gzipped: bool) -> None:
        self._source, self._path, self._gzipped = source, path, gzipped
        self._part = self._new_part()
        self._fresh = True  # no byte of the current part has been read
        self._ready = memoryview(b"")

    def _new_part(self) -> Any:
        if self._gzipped:
            import zlib

            return zlib.decompressobj(wbits=31)
        import zstandard

        return zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._ready:
            block = self._next_block()
            if not block:
                return 0
            try:
                self._ready = memoryview(self._part.decompress(block))
            except Exception as err:  # zlib.error and zstandard.ZstdError share no base
                raise self._damaged(f"damaged ({err})") from err
        n = min(len(buffer), len(self._ready))
        buffer[:n] = self._ready[:n]
        self._ready = self._ready[n:]
        return n

    def _next_block(self) -> bytes:
        block = b""
        if self._part.eof:
            block = self._part.unused_data
            self._part, self._fresh = self._new_part(), True
        while not (block := self._without_padding(block)):
            block = self._source.read(1 << 14)  # small, since a hostile block may expand ten thousandfold
            if not block and not self._fresh:
                raise self._damaged("cut off")
            if not block:
                return b""
        self._fresh = False
        return block

    def _without_padding(self, block: bytes) -> bytes:
        """Tapes pad with zeros between gzip members."""
        return block.lstrip(b"\0") if self._gzipped and self._fresh else block

    def _damaged(self, how: str) -> DataError:
        return DataError(f"the compressed data is {how}", where=str(self._path), hint="copy or download the file again")

    def close(self) -> None:
        if not self.closed:
            self._source.close()
        super().close()


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in blocks of 1 MiB."""
    require_file(path)
    digest = hashlib.sha256()
    try:
        with path.open("rb", buffering=0) as source:
            while block := source.read(BLOCK):
                digest.update(block)
    except OSError as err:
        raise DataError(f"cannot be read: {err.strerror or err}", where=str(path)) from err
    return digest.hexdigest()


def sha256_path(path: Path) -> str:
    """Hex SHA-256 of a file, or of a folder's relative names and contents in order."""
    if not path.exists():
        raise missing(path)
    if not path.is_dir():
        return sha256_file(path)
    digest = hashlib.sha256()
    for inner in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(os.fsencode(inner.relative_to(path)) + b"\0" + sha256_file(inner).encode() + b"\n")
    return digest.hexdigest()


def printable(text: str) -> str:
    """``text`` without control characters, so that a foreign file cannot drive the terminal."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", text)
