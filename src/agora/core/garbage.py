"""Memory where rows are many: Python's search for unreachable cycles made rare, and what is freed kept for the next."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

_KEPT_BYTES = 256 << 20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc


@contextmanager
def rare_collections() -> Iterator[None]:
    """Look for cycles seldom inside the block: among many live rows the search took half of an import's time."""
    before = gc.get_threshold()
    gc.set_threshold(500_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@cache
def keep_freed_memory() -> None:
    """Let this process keep up to 256 MB of what it frees, for the next file: nothing where the C library is not glibc.

    By default glibc gives the memory of each large file back and asks for it again, page by page: a sixth of the time
    in which 48 judged files of 5 MB are read. What is needed at most does not change.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
