"""One pass over a part of the store: which of its conversations may come into a release, and what they tell of people.

Texts are not read, except where a name was found: whether it is of public knowledge depends on how many people wrote
it. What is found is written as it comes, so that memory does not grow with the store.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson
import zstandard
from sqlalchemy import Connection, Select, bindparam, case, func, select

from agora.core.files import atomic_file
from agora.core.garbage import rare_collections
from agora.rooms.collect.moderate.reviews import held_back
from agora.rooms.collect.release.asked import Asked, engine_of, value_key
from agora.rooms.collect.release.candidates import Candidates, Head, Part, Talk, day_of
from agora.rooms.collect.release.columns import neighbors
from agora.rooms.collect.release.found import Findings, Moderation, Reader, Result, annotations_column, most_frequent
from agora.rooms.collect.release.gates import Tally
from agora.rooms.collect.release.imported import Imported, fill_from_import
from agora.rooms.collect.tables import CONVERSATIONS, MESSAGES
from agora.store.prepared import plain_rows
from agora.store.tables import SUBJECTS

if TYPE_CHECKING:
    import pyarrow as pa

_NOBODY = Imported(None, {})
_BATCH = 1000
_WRITTEN_AT_ONCE = 20_000  # rows, and pairs of a name and a person
_MOST_PERSONS = 50_000  # whose pseudonyms are kept at hand
_FACTS = 10  # columns of a message
_EMPTY = sha256(b"").digest()


@dataclass(frozen=True, slots=True)
class Range:
    """A part of the store: conversations with ``low < id <= high``."""

    index: int
    low: str
    high: str


@dataclass(slots=True)
class Scanned:
    """What one part holds; its rows are in a file."""

    index: int
    rows: int
    seen: int
    tally: dict[str, Any]
    notes: dict[str, int] = field(default_factory=dict)
    iso_of: dict[str, str] = field(default_factory=dict)


#: Columns of the input list, in the order of :meth:`_Run._keep`.
TEXTS = (
    *("conversation_id", "leaf", "country", "state", "language", "user_agent", "accept_language"),
    *("source", "license", "consent_version", "consent_sha256", "dup"),
)
#: Those of them that are written as numbers of values, since values repeat.
REPEATING = tuple(name for name in TEXTS if name not in ("conversation_id", "leaf"))


def plan_schema() -> pa.Schema:
    """The columns of the input list."""
    import pyarrow as pa

    text = [(n, pa.dictionary(pa.int32(), pa.string()) if n in REPEATING else pa.string()) for n in TEXTS]
    numbers = [("rounds", pa.int32()), ("bytes", pa.int64()), ("until_us", pa.int64()), ("day", pa.int32())]
    keys = [("person", pa.binary(32)), ("order", pa.binary(16))]
    return pa.schema([*text, *numbers, ("automation", pa.float32()), *keys])


def names_schema() -> pa.Schema:
    """Who wrote which name (or other value), both as hashes, and how many must have so that it is public."""
    import pyarrow as pa

    return pa.schema([("name", pa.binary(16)), ("person", pa.binary(32)), ("least", pa.int32())])


def split_store(connection: Connection, parts: int) -> list[Range]:
    """Cut the store into parts of about equal numbers of conversations."""
    c = CONVERSATIONS.c.conversation_id
    total = connection.scalar(select(func.count()).select_from(CONVERSATIONS)) or 0
    size = max(1, -(-total // parts))
    ends = [select(c).order_by(c).offset(min(at, total) - 1).limit(1) for at in range(size, total + size, size)]
    cuts = [str(connection.scalar(end)) for end in ends] if total else []
    return [Range(i, cuts[i - 1] if i else "", high) for i, high in enumerate(cuts)]


@dataclass(frozen=True, slots=True)
class Scan:
    """Reads one part of the store; what a worker process runs."""

    asked: Asked

    def __call__(self, part: Range) -> Scanned:
        """Write the part's rows, and who wrote which name, to files; return what else was found."""
        import pyarrow as pa

        rows, names = (self.asked.folder / f"{stem}-{part.index:05d}.arrows" for stem in ("rows", "names"))
        with (
            rare_collections(),
            engine_of(self.asked.url).connect() as connection,
            connection.begin(),
            atomic_file(rows) as rows_out,
            atomic_file(names) as names_out,
            pa.ipc.new_stream(rows_out, plan_schema()) as rows_writer,
            pa.ipc.new_stream(names_out, names_schema()) as names_writer,
        ):
            run = _Run(self.asked, rows_writer, names_writer)
            for batch in _conversations(connection, part):
                run.take(connection, batch)
            run.write()
        run.notes["automated"] = run.candidates.automated
        return Scanned(part.index, run.kept, run.seen, run.tally.as_json(), dict(run.notes), run.iso_of)


def _conversations(connection: Connection, part: Range) -> Iterator[Sequence[Head]]:
    c, s = CONVERSATIONS.c, SUBJECTS.c
    held = c.conversation_id.in_(held_back(connection)).label("held")
    imported = case((c.subject_id.is_(None), c.imported_zstd))
    query = (
        select(c.conversation_id, c.subject_id, c.source, c.source_license, c.reserved_for, c.automation_score)
        .add_columns(c.dup_cluster, held, imported.label("imported_zstd"))
        .add_columns(s.consent_state, s.consent_version, s.consent_sha256, s.header_json)
        .join(SUBJECTS, s.subject_id == c.subject_id, isouter=True)
        .where(c.state != "deleted", c.conversation_id > bindparam("low"), c.conversation_id <= bindparam("high"))
        .order_by(c.conversation_id)
        .limit(_BATCH)
    )
    low = part.low
    while rows := plain_rows(connection, query, {"low": low, "high": part.high}):
        yield list(map(Head._make, rows))
        low = rows[-1][0]


class _Run:
    """What a part has given so far, and where it is written."""

    def __init__(self, asked: Asked, rows_writer: Any, names_writer: Any) -> None:
        self.asked = asked
        self.candidates = Candidates(asked)
        self.reader = Reader(asked.wanted, _moderation(asked))
        self.rows: list[tuple[Any, ...]] = []
        self.names: set[tuple[bytes, bytes, int]] = set()
        self.tally = Tally()
        self.notes: Counter[str] = Counter()
        self.iso_of: dict[str, str] = {}
        self.seen = self.kept = 0
        self._writers = rows_writer, names_writer
        self._sources = frozenset(asked.settings.selection.sources)
        self._messages = _messages_query(asked)
        self._persons: dict[str, bytes] = {}

    def take(self, connection: Connection, batch: Sequence[Head]) -> None:
        """Judge a batch of conversations, neighbors by id."""
        wrote_names: list[tuple[str, Findings, bytes]] = []
        for talk, brought in self._talks(connection, batch):
            row = talk.row
            self.seen += 1
            reason, part = self.candidates.judge(talk)
            if reason is not None or part is None:
                self.tally.add(reason or "no_sound_reply", row.conversation_id)
                continue
            person = self._person(row.subject_id or f"{row.source}\0{brought.person or row.conversation_id}")
            headers = brought.headers if row.subject_id is None else _headers(row.header_json)
            self._keep(talk, part, person, headers)
            for i in part.tree:
                pii = talk.found[i].pii
                if pii and any(self.asked.subjects_that_make_public(span["type"]) for span in pii):
                    wrote_names.append((talk.ids[i], talk.found[i], person))
        self._read_names(connection, wrote_names)
        if len(self.rows) >= _WRITTEN_AT_ONCE or len(self.names) >= _WRITTEN_AT_ONCE:
            self.write()

    def _talks(self, connection: Connection, batch: Sequence[Head]) -> Iterator[tuple[Talk, Imported]]:
        """The conversations of a batch with their messages, and what imported ones that are asked for brought along."""
        between = {"low": batch[0].conversation_id, "high": batch[-1].conversation_id}
        as_of_us = self.asked.as_of_us
        rows = [row for row in plain_rows(connection, self._messages, between) if row[-1] <= as_of_us]
        conversations, told, *facts = zip(*rows, strict=True) if rows else [()] * _FACTS
        found = list(map(self.reader.read, told))
        places = neighbors(conversations)
        for row in batch:
            place = places.get(row.conversation_id, range(0))
            whole = slice(place.start, place.stop)
            own, brought = found[whole], _NOBODY
            if row.subject_id is None and row.imported_zstd is not None and row.source in self._sources:
                own = list(map(copy, own))  # others may have the same
                brought = fill_from_import(row.imported_zstd, own)
            yield Talk._make((row, *[fact[whole] for fact in facts], own)), brought

    def _person(self, subject: str) -> bytes:
        known = self._persons.get(subject)
        if known is None:
            if len(self._persons) >= _MOST_PERSONS:
                self._persons.clear()
            known = self._persons[subject] = self.asked.key.person(subject)
        return known

    def _keep(self, talk: Talk, part: Part, person: bytes, headers: Mapping[str, str]) -> None:
        row, found = talk.row, talk.found
        self.notes["cut"] += part.cut
        self.notes["with_branches"] += len(part.tree) > len(part.path)
        asking = [i for i in part.shown if talk.roles[i] == "user"]
        places = [found[i].geo for i in asking]
        country = _of_most(places, "country")
        own = places if _are_one(places) else [place for place in places if place.get("country") == country]
        if country and country not in self.iso_of:
            iso = next((p.get("country_iso") for p in places if p.get("country") == country), None)
            self.iso_of |= {country: iso} if iso else {}
        self.rows.append(
            (
                row.conversation_id,
                talk.ids[part.leaf],
                country,
                _of_most(own, "state"),
                _of_most([found[i].lang for i in part.shown], "name"),
                headers.get("user-agent"),
                headers.get("accept-language"),
                row.source,
                row.source_license,
                row.consent_version,
                row.consent_sha256,
                row.dup_cluster,
                len(asking),
                sum([talk.sizes[i] for i in part.shown]),
                max([talk.done_us[i] for i in part.tree]),
                day_of(talk.done_us[part.leaf]),
                row.automation_score,
                person,
                self.asked.key.conversation(row.conversation_id),
            )
        )

    def _read_names(self, connection: Connection, wrote: Sequence[tuple[str, Findings, bytes]]) -> None:
        if not wrote:
            return
        ids = [message for message, _, _ in wrote]
        query = select(MESSAGES.c.message_id, MESSAGES.c.content_zstd).where(MESSAGES.c.message_id.in_(ids))
        texts = {row.message_id: row.content_zstd for row in connection.execute(query)}
        for message, found, person in wrote:
            text = zstandard.decompress(texts[message]).decode("utf-8")
            for span in found.pii:
                if least := self.asked.subjects_that_make_public(span["type"]):
                    self.names.add((value_key(span["type"], text[span["start"] : span["end"]]), person, least))

    def write(self) -> None:
        """Write what is held, and forget it."""
        import pyarrow as pa

        for writer, rows in zip(self._writers, (self.rows, sorted(self.names)), strict=True):
            if rows:
                schema = plan_schema() if rows is self.rows else names_schema()
                columns = [pa.array(values, f.type) for values, f in zip(zip(*rows, strict=True), schema, strict=True)]
                writer.write_batch(pa.record_batch(columns, schema=schema))
        self.kept += len(self.rows)
        self.rows.clear()
        self.names.clear()


def _are_one(results: Sequence[Result]) -> bool:
    """Whether results are the same object; equal ones mostly are, since they are read once."""
    return len({id(result) for result in results}) < 2


def _of_most(results: Sequence[Result], name: str) -> str | None:
    """What most results say, see :func:`most_frequent`."""
    if results and _are_one(results):
        value: str | None = results[0].get(name)
        return value
    return most_frequent([result.get(name) for result in results])


@lru_cache(maxsize=4096)
def _headers(header_json: str | None) -> Mapping[str, str]:
    found: Mapping[str, str] = orjson.loads(header_json) if header_json else {}
    return found


def _moderation(asked: Asked) -> Moderation:
    return "verdicts" if asked.settings.selection.without_toxic else "asked"


def _messages_query(asked: Asked) -> Select[Any]:
    """The messages of neighbors by id: conversation, annotations, and the facts of :class:`Talk`.

    What came after the moment of the release does not exist for it.
    """
    m = MESSAGES.c
    facts = (func.length(m.content_zstd), m.content_sha256 == _EMPTY, m.message_id, m.parent_id, m.role, m.status)
    times = (m.created_us, func.coalesce(m.completed_us, m.created_us))
    return (
        select(m.conversation_id, annotations_column(_moderation(asked), ("topic", "category")), *facts, *times)
        .where(m.conversation_id.between(bindparam("low"), bindparam("high")), m.created_us <= asked.as_of_us)
        .order_by(m.conversation_id, m.message_id)
    )
