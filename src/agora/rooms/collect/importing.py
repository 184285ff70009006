"""Files of other sources into the store: each row once, resumed after a kill, nothing dropped silently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, insert, select, update

from agora.core.files import require_file, sha256_file
from agora.core.garbage import rare_collections
from agora.core.json_text import dumps, loads
from agora.core.progress import progress
from agora.core.records import JsonMap
from agora.core.tables import Rejects
from agora.curate.importers.detect import detect_format, format_named
from agora.curate.importers.read import import_lines
from agora.rooms.collect.importing_workers import ready_lines, spans_of
from agora.rooms.collect.incoming import Added, insert_ready
from agora.rooms.collect.ready import Ready, make_ready
from agora.rooms.collect.tables import CONVERSATIONS, IMPORTS
from agora.store import Store, events
from agora.store.ids import new_id, now_us

_BATCH = 1000  # conversations in one commit: what a killed import does again at most


@dataclass
class Counts:
    """How far an import is. ``read = new + duplicate + bad``."""

    read: int = 0
    new: int = 0
    duplicate: int = 0
    bad: int = 0
    messages: int = 0
    reasons: dict[str, int] = field(default_factory=dict)  # of bad rows
    reject_bytes: int = 0


@dataclass(frozen=True, slots=True)
class StoreImport:
    """What became of a file. ``resumed_at`` is the line an earlier try had come to; its counts are in these."""

    path: Path
    format: str
    license: str
    read: int
    new: int
    duplicate: int
    bad: int
    messages: int
    reasons: dict[str, int]
    resumed_at: int | None
    rejects: Path | None

    def as_json(self) -> JsonMap:
        """The report as plain JSON values."""
        return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}

    def line(self) -> str:
        """The report for people."""
        told = f"{self.path}: {self.read:,} rows read, {self.new:,} new, {self.duplicate:,} duplicate, {self.bad:,} bad"
        resumed = f" (resumed at line {self.resumed_at:,})" if self.resumed_at else ""
        where = f"; bad rows: {self.rejects}" if self.rejects else ""
        return f"{told}{resumed}{where}"


class _Begun(NamedTuple):
    import_id: str
    next_line: int
    counts: Counts
    resumed: bool


def import_into_store(
    store: Store, path: Path, *, format: str = "auto", rejects: Path, limit: int | None = None, workers: int = 1
) -> StoreImport:
    """Import a file; doing it again adds nothing, and a killed import goes on where its last commit was.

    Args:
        store: an open store.
        path: any file that :func:`agora.curate.importers.import_conversations` reads.
        format: of the file, or ``auto``.
        rejects: the file for rows that cannot be read, each with its line and the reason; made when there is one.
        limit: how many readable rows to take at most.
        workers: processes that read and convert a Parquet file beside this one, which writes; 1 for none. Files of
            other kinds, with a limit, or with row groups of more than 4,096 rows are read by this one.

    Raises:
        AgoraError: see :func:`agora.curate.importers.import_conversations`.
    """
    path = Path(path)
    require_file(path)
    chosen = format_named(detect_format(path).format if format == "auto" else format)
    begun = _begin(store, sha256_file(path), chosen.name)
    counts = begun.counts
    seen = _seen(store, begun.import_id) if begun.resumed else set()
    with (
        rare_collections(),
        Rejects(rejects, keep=counts.reject_bytes) as refused,
        progress(None, f"importing {path.name}", unit="rows") as bar,
    ):
        before = Counter(counts.reasons)
        bad_before = counts.bad
        start = begun.next_line - 1
        spans = spans_of(path, start) if workers > 1 and limit is None else []
        if len(spans) > 1:
            lines = ready_lines(path, chosen, spans, rejects=refused, seen=seen, workers=workers)
        else:
            found = import_lines(path, format=chosen.name, rejects=refused, limit=limit, start=start, seen=seen)
            lines = ((line, make_ready(conversation)) for line, conversation in found)
        waiting: Future[Added] | None = None
        for last, batch in _batches(lines):
            done = _settle(counts, waiting)  # the next batch is made while the one before is written
            counts = Counts(**{**asdict(done), "reject_bytes": refused.size, "bad": bad_before + refused.count})
            counts.reasons = dict((before + refused.by_reason).most_common())
            waiting = store.submit(_job(begun.import_id, last + 1, counts, batch))
            bar.advance(len(batch))
        counts = _settle(counts, waiting)
        counts.bad, counts.reasons = bad_before + refused.count, dict((before + refused.by_reason).most_common())
    counts.read = counts.new + counts.duplicate + counts.bad
    store.write(lambda c: _end(c, begun.import_id, chosen.name, counts))
    return StoreImport(
        path=path,
        format=chosen.name,
        license=chosen.licence,
        read=counts.read,
        new=counts.new,
        duplicate=counts.duplicate,
        bad=counts.bad,
        messages=counts.messages,
        reasons=counts.reasons,
        resumed_at=begun.next_line if begun.resumed else None,
        rejects=rejects if counts.bad else None,
    )


def _batches(lines: Iterator[tuple[int, Ready]]) -> Iterator[tuple[int, list[Ready]]]:
    while chunk := list(islice(lines, _BATCH)):
        yield chunk[-1][0], [ready for _, ready in chunk]


def _settle(counts: Counts, waiting: Future[Added] | None) -> Counts:
    if waiting is None:
        return counts
    added = waiting.result()
    counts.new += added.new
    counts.duplicate += added.known
    counts.messages += added.messages
    return counts


def _job(import_id: str, next_line: int, counts: Counts, batch: Sequence[Ready]) -> Any:
    def write(connection: Connection) -> Added:
        added = insert_ready(connection, batch, import_id)
        now = asdict(counts)
        now |= {
            "new": counts.new + added.new,
            "duplicate": counts.duplicate + added.known,
            "messages": counts.messages + added.messages,
        }
        connection.execute(
            update(IMPORTS)
            .where(IMPORTS.c.import_id == import_id)
            .values(next_line=next_line, counts_json=dumps(now).decode(), updated_us=now_us())
        )
        return added

    return write


def _begin(store: Store, source_sha256: str, how: str) -> _Begun:
    def begin(connection: Connection) -> _Begun:
        where = (IMPORTS.c.source_sha256 == source_sha256) & (IMPORTS.c.how == how)
        found = connection.execute(select(IMPORTS).where(where)).first()
        if found is not None:
            counts = Counts(**loads(found.counts_json.encode()))
            return _Begun(found.import_id, found.next_line, counts, found.next_line > 1)
        begun = _Begun(new_id(), 1, Counts(), False)
        row = {"import_id": begun.import_id, "source_sha256": source_sha256, "how": how, "next_line": 1}
        connection.execute(
            insert(IMPORTS).values(**row, counts_json=dumps(asdict(begun.counts)).decode(), updated_us=now_us())
        )
        return begun

    return store.write(begin)


def _end(connection: Connection, import_id: str, how: str, counts: Counts) -> None:
    """A file that was read to its end is forgotten here; its event stays."""
    connection.execute(delete(IMPORTS).where(IMPORTS.c.import_id == import_id))
    payload = {
        "import_id": import_id,
        "format": how,
        **{k: v for k, v in asdict(counts).items() if k != "reject_bytes"},
    }
    events.append(connection, events.Event("import.finished", payload=payload))


def _seen(store: Store, import_id: str) -> set[str]:
    with store.reading() as connection:
        keys = select(CONVERSATIONS.c.source_key).where(CONVERSATIONS.c.import_id == import_id)
        return {key for key in connection.scalars(keys) if key is not None}
