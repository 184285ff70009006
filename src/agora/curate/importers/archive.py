"""The conversations of a zip archive, such as an account's export: one JSON file, or many numbered ones."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from zlib import error as ZlibError

from agora.core.errors import DataError
from agora.core.json_rows import Row, whole_rows
from agora.core.jsonl import Rejects

_MOST_BYTES = 4 << 30  # of one unpacked file: more is no export
_NAMES = re.compile(r"(^|/)conversations?[-_ ]?\d*\.json$", re.IGNORECASE)


def is_archive(path: Path) -> bool:
    """Whether a file is a zip archive, told by its bytes."""
    return path.is_file() and zipfile.is_zipfile(path)


def archive_rows(path: Path, rejects: Rejects, start: int = 0) -> Iterator[Row]:
    """The items of the files ``conversations.json``, ``conversations-001.json``, ..., numbered on through all of them.

    Args:
        path: a zip archive.
        rejects: takes items that are no objects.
        start: pass over this many items.

    Raises:
        DataError: no such file in it, or the archive is damaged.
    """
    number = 0
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info for info in archive.infolist() if _NAMES.search(info.filename)]
            if not names:
                held = ", ".join(archive.namelist()[:5]) or "nothing"
                raise DataError(f"no conversations.json in the archive, which holds {held}", where=str(path))
            for info in sorted(names, key=lambda info: _order(info.filename)):
                if info.file_size > _MOST_BYTES:
                    raise DataError(f"{info.filename} unpacks to {info.file_size:,} bytes", where=str(path))
                inside = Path(f"{path}/{info.filename}")
                for row in whole_rows(inside, archive.read(info), 1, rejects):
                    number += 1
                    if number > start:
                        yield Row(number, row.data)
    except (zipfile.BadZipFile, ZlibError, NotImplementedError, RuntimeError) as error:  # damaged, unknown, encrypted
        raise DataError(f"the archive cannot be read ({error})", where=str(path)) from error


def _order(name: str) -> tuple[int, str]:
    digits = re.findall(r"\d+", name.rsplit("/", 1)[-1])
    return int(digits[-1]) if digits else -1, name
