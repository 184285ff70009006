"""Files of conversations in, records out; every refused row is kept with its place and reason."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from agora.core.errors import DataError, UsageError
from agora.core.progress import Progress, progress
from agora.core.records import Conversation, JsonMap, stable_id
from agora.core.tables import Rejects, Row, read_rows, read_slice, write_parquet
from agora.curate.importers.archive import archive_rows, is_archive
from agora.curate.importers.base import Format, Origin, RowError, clean_json
from agora.curate.importers.detect import detect_format, format_named

_FIRST_ROWS = 1000
_MAX_BAD_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did. ``n_read = n_imported + n_rejected``; ``reasons`` counts the rejected rows by reason."""

    path: Path
    format: str
    detected: str | None
    licence: str
    licence_note: str
    n_read: int
    n_imported: int
    n_rejected: int
    reasons: dict[str, int]
    n_messages: int
    n_leaves: int
    out: Path
    rejects_path: Path | None

    def as_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}


def import_conversations(
    path: Path, *, format: str = "auto", rejects: Rejects, limit: int | None = None
) -> Iterator[Conversation]:
    """Read conversations from a file in any known format, one at a time.

    Ids are unique within a file: a row that repeats an earlier one gets its own id and ``meta["repeats"]``.

    Args:
        path: JSON Lines, a JSON array or object, or Parquet; plain, gzip or zstd; or a zip archive of an account.
        format: a name in ``FORMATS``, or ``auto``.
        rejects: takes each refused row as ``file:line``, reason and the row itself.
        limit: how many readable rows to take at most.

    Raises:
        MissingError: no such file.
        DataError: unknown format, an empty file, no row imported at all, or more than half of the first 1,000 rows
            refused (the wrong format was chosen).
        UsageError: unknown format name.
    """
    return (conversation for _, conversation in import_lines(path, format=format, rejects=rejects, limit=limit))


def import_lines(
    path: Path,
    *,
    format: str = "auto",
    rejects: Rejects,
    limit: int | None = None,
    start: int = 0,
    seen: set[str] | None = None,
) -> Iterator[tuple[int, Conversation]]:
    """As :func:`import_conversations`, each with its 1-based line; an import that was cut short can go on.

    Args:
        path: as there.
        format: as there.
        rejects: as there.
        limit: as there.
        start: pass over this many lines (rows, items).
        seen: the ids of the conversations that an earlier try read.
    """
    path = Path(path)
    chosen = format_named(detect_format(path).format if format == "auto" else format)
    return _lines(path, chosen, rejects, limit, start, seen or set())


def _lines(
    path: Path, chosen: Format, rejects: Rejects, limit: int | None, start: int, seen: set[str]
) -> Iterator[tuple[int, Conversation]]:
    watch = BadRows(path, chosen, rejects)
    for row in islice(_rows(path, rejects, start), limit):
        watch.look()
        if (conversation := convert_row(path, chosen, row, rejects)) is not None:
            watch.n_imported += 1
            yield row.line, with_own_id(conversation, seen, row.line)
    watch.end()


def convert_row(path: Path, chosen: Format, row: Row, rejects: Rejects, *, clean: bool = False) -> Conversation | None:
    """The conversation of a row; None where it is refused. For ``clean`` see :class:`Origin`."""
    origin = Origin(str(path), row.line, clean)
    try:
        return chosen.convert(row.data, origin)
    except RowError as error:
        rejects.add(str(origin), error.reason, _storable(row.data), detail=error.detail or None)
        return None


class BadRows:
    """Ends an import whose first rows are mostly refused: then the wrong format was chosen.

    Args:
        path: the file.
        chosen: its format.
        rejects: takes the refused rows.
    """

    def __init__(self, path: Path, chosen: Format, rejects: Rejects) -> None:
        self.path, self.chosen, self.rejects = path, chosen, rejects
        self.n_imported = 0
        self._refused_before, self._checked = rejects.count, False

    def look(self) -> None:
        """Before each row.

        Raises:
            DataError: more than half of the first rows are refused.
        """
        if not self._checked and self._n_read >= _FIRST_ROWS:
            self._checked = True
            self._stop_if_mostly_bad()

    def end(self) -> None:
        """After the last row.

        Raises:
            DataError: as for :meth:`look`, or no row at all was taken.
        """
        if not self.n_imported or (not self._checked and self._n_read >= _FIRST_ROWS):
            self._stop_if_mostly_bad()

    @property
    def _n_read(self) -> int:
        return self.n_imported + self.rejects.count - self._refused_before

    def _stop_if_mostly_bad(self) -> None:
        n_read, chosen = self._n_read, self.chosen
        n_bad = self.rejects.count - self._refused_before
        if not n_read or n_bad <= _MAX_BAD_SHARE * n_read:
            return
        reason, n = self.rejects.by_reason.most_common(1)[0]
        other = "name another format with --format"
        with suppress(DataError):
            likely = detect_format(self.path).format
            other = f"they look like --format {likely}" if likely != chosen.name else other
        raise DataError(
            f"{n_bad} of the first {n_read} rows cannot be read as {chosen.title} ({chosen.name}); "
            f"most often: {reason} ({n})",
            where=str(self.path),
            hint=f"expected rows like {chosen.shape}; {other}",
        )


def _rows(path: Path, rejects: Rejects, start: int) -> Iterator[Row]:
    if is_archive(path):
        return archive_rows(path, rejects, start)
    return read_slice(path, start, sys.maxsize, rejects=rejects) if start else read_rows(path, rejects=rejects)


def _storable(data: JsonMap) -> JsonMap | None:
    """The row as the reject file can hold it; None when it is nested too deeply even for that."""
    try:
        clean: JsonMap = clean_json(data)
    except RowError:
        return None
    return clean


def with_own_id(conversation: Conversation, seen: set[str], line: int) -> Conversation:
    """The conversation under an id that none of its file had before; adds it to those ``seen``."""
    if conversation.id in seen:
        meta = {**conversation.meta, "repeats": conversation.id}
        conversation = replace(conversation, id=stable_id(conversation.id, line), meta=meta)
    seen.add(conversation.id)
    return conversation


def import_file(
    path: Path, out_parquet: Path, format: str = "auto", *, rejects_path: Path | None = None, limit: int | None = None
) -> ImportReport:
    """Import a file into a Parquet file of conversations, refused rows into a JSON Lines file beside it.

    Args:
        path: the file to read; see :func:`import_conversations`.
        out_parquet: written whole or not at all.
        format: a name in ``FORMATS``, or ``auto``.
        rejects_path: default ``OUT.rejects.jsonl`` beside the output; made only when a row is refused.
        limit: how many readable rows to take at most.

    Raises:
        AgoraError: see :func:`import_conversations`; also when the disk is full.
        UsageError: the output is the input.
    """
    path, out = Path(path), Path(out_parquet)
    if out.exists() and path.exists() and out.samefile(path):
        raise UsageError("the output would replace the input", where=str(out), hint="name another file with --out")
    detection = detect_format(path) if format == "auto" else None
    chosen = format_named(detection.format if detection else format)
    refused = Path(rejects_path) if rejects_path else out.with_name(f"{out.stem}.rejects.jsonl")
    tally: Counter[str] = Counter()
    with Rejects(refused) as rejects, progress(None, f"importing {path.name}", unit="rows") as bar:
        rows = import_conversations(path, format=chosen.name, rejects=rejects, limit=limit)
        n_imported = write_parquet(out, _counted(rows, tally, bar), Conversation)
    return ImportReport(
        path=path,
        format=chosen.name,
        detected=detection.reason if detection else None,
        licence=chosen.licence,
        licence_note=chosen.note,
        n_read=n_imported + rejects.count,
        n_imported=n_imported,
        n_rejected=rejects.count,
        reasons=dict(rejects.by_reason.most_common()),
        n_messages=tally["messages"],
        n_leaves=tally["leaves"],
        out=out,
        rejects_path=refused if rejects.count else None,
    )


def _counted(rows: Iterator[Conversation], tally: Counter[str], bar: Progress) -> Iterator[Conversation]:
    for conversation in rows:
        bar.advance()
        parents = {m.parent for m in conversation.messages}
        tally["messages"] += len(conversation.messages)
        tally["leaves"] += sum(m.id not in parents for m in conversation.messages)
        yield conversation
