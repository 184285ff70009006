"""One pass over a part of the store: which of its conversations may come into a release, and what they tell of people.

Texts are not read, except where a name was found: whether it is of public knowledge depends on how many people wrote
it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from hashlib import blake2b, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import zstandard
from sqlalchemy import Connection, Engine, Row, case, func, select

from agora.core.files import atomic_file
from agora.core.garbage import rare_collections
from agora.rooms.collect.moderate.reviews import held_back
from agora.rooms.collect.release.found import NOTHING, Findings, Wanted, collect, kinds_mask, most_frequent
from agora.rooms.collect.release.gates import Tally
from agora.rooms.collect.release.imported import Imported, fill_from_import
from agora.rooms.collect.release.licenses import compatible
from agora.rooms.collect.release.paths import Chosen, Node, alternates, choose
from agora.rooms.collect.release.pseudonyms import ReleaseKey
from agora.rooms.collect.release.settings import ReleaseSettings
from agora.rooms.collect.tables import ANNOTATIONS, CONVERSATIONS, MESSAGES
from agora.store.consent import ConsentState
from agora.store.tables import SUBJECTS

if TYPE_CHECKING:
    import pyarrow as pa

DAY_US = 86_400_000_000
EPOCH_ORDINAL = 719_163  # date(1970, 1, 1).toordinal()
#: A message, the size of its compressed text in bytes, whether the text is empty.
Held = tuple[Node, int, bool]
NOBODY = Imported(None, {})
_BATCH = 1000
_MOST_PERSONS = 50_000  # whose pseudonyms are kept at hand
_EMPTY = sha256(b"").digest()


@dataclass(frozen=True, slots=True)
class Asked:
    """All that decides which conversations come in. Sent to every process that helps."""

    url: str
    folder: Path
    key: ReleaseKey
    settings: ReleaseSettings
    license: str
    quarantine_us: int
    as_of_us: int
    wanted: Wanted

    @property
    def linear(self) -> bool:
        """Whether a row holds one thread and not a tree."""
        return self.settings.profile != "native"

    @property
    def strict(self) -> bool:
        """Whether a row must go user, assistant, user, ..."""
        return self.settings.profile.startswith("compat")


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


#: Columns of the input list, in the order of :func:`_record`.
_TEXTS = (
    *("conversation_id", "leaf", "country", "state", "language", "user_agent", "accept_language"),
    *("source", "license", "consent_version", "consent_sha256", "dup"),
)
_REPEATING = frozenset(_TEXTS) - {"conversation_id", "leaf"}


def plan_schema() -> pa.Schema:
    """The columns of the input list."""
    import pyarrow as pa

    text = [(n, pa.dictionary(pa.int32(), pa.string()) if n in _REPEATING else pa.string()) for n in _TEXTS]
    numbers = [("rounds", pa.int32()), ("bytes", pa.int64()), ("until_us", pa.int64()), ("day", pa.int32())]
    keys = [("person", pa.binary(32)), ("order", pa.binary(16))]
    return pa.schema([*text, *numbers, ("automation", pa.float32()), *keys])


def split_store(connection: Connection, parts: int) -> list[Range]:
    """Cut the store into parts of about equal numbers of conversations."""
    c = CONVERSATIONS.c.conversation_id
    total = connection.scalar(select(func.count()).select_from(CONVERSATIONS)) or 0
    size = max(1, -(-total // parts))
    ends = [select(c).order_by(c).offset(min(at, total) - 1).limit(1) for at in range(size, total + size, size)]
    cuts = [str(connection.scalar(end)) for end in ends] if total else []
    return [Range(i, cuts[i - 1] if i else "", high) for i, high in enumerate(cuts)]


@cache
def engine_of(url: str) -> Engine:
    """One engine a process."""
    from agora.store.database import open_database

    return open_database(url)


@dataclass(frozen=True, slots=True)
class Scan:
    """Reads one part of the store; what a worker process runs."""

    asked: Asked

    def __call__(self, part: Range) -> Scanned:
        """Write the part's rows, and who wrote which name, to files; return what else was found."""
        import pyarrow as pa

        run = _Run(self.asked)
        with rare_collections(), engine_of(self.asked.url).connect() as connection, connection.begin():
            for batch in _conversations(connection, part):
                run.take(connection, batch)
        schema = plan_schema()
        rows = pa.table([pa.array(run.columns[f.name], f.type) for f in schema], schema=schema)
        names = pa.table([pa.array(column, pa.binary()) for column in run.who_wrote_what()], names=["name", "person"])
        for stem, table in (("rows", rows), ("names", names)):
            path = self.asked.folder / f"{stem}-{part.index:05d}.arrow"
            with atomic_file(path) as out, pa.ipc.new_file(out, table.schema) as writer:
                writer.write_table(table)
        return Scanned(part.index, rows.num_rows, run.seen, run.tally.as_json(), dict(run.notes), run.iso_of)


def _conversations(connection: Connection, part: Range) -> Iterator[Sequence[Row[Any]]]:
    c, s = CONVERSATIONS.c, SUBJECTS.c
    known = (c.conversation_id, c.subject_id, c.source, c.source_license, c.reserved_for, c.automation_score)
    held = c.conversation_id.in_(held_back(connection)).label("held")
    of_person = (s.consent_state, s.consent_version, s.consent_sha256, s.header_json)
    imported = case((c.subject_id.is_(None), c.imported_zstd))
    query = (
        select(*known, c.dup_cluster, held, imported.label("imported_zstd"), *of_person)
        .join(SUBJECTS, s.subject_id == c.subject_id, isouter=True)
        .where(c.state != "deleted", c.conversation_id <= part.high)
        .order_by(c.conversation_id)
        .limit(_BATCH)
    )
    low = part.low
    while rows := connection.execute(query.where(c.conversation_id > low)).all():
        yield rows
        low = rows[-1].conversation_id


class _Run:
    """What a part has given so far."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.columns: dict[str, list[Any]] = {name: [] for name in plan_schema().names}
        self.tally = Tally()
        self.notes: Counter[str] = Counter()
        self.iso_of: dict[str, str] = {}
        self.names: set[tuple[bytes, bytes]] = set()
        self.seen = 0
        self.excluded = frozenset(asked.settings.selection.exclude)
        self.sources = frozenset(asked.settings.selection.sources)
        self.required = kinds_mask(asked.settings.require)
        self.required_of_all = self.required & ~kinds_mask(("geo", "dup"))  # those are known of people's messages only
        self.persons: dict[str, bytes] = {}

    def take(self, connection: Connection, batch: Sequence[Row[Any]]) -> None:
        """Judge a batch of conversations, neighbors by id."""
        low, high = batch[0].conversation_id, batch[-1].conversation_id
        nodes = _nodes(connection, low, high, self.asked.as_of_us)
        found = _findings(connection, low, high, self.asked.wanted)
        wrote_names: list[tuple[str, bytes]] = []
        for row in batch:
            self.seen += 1
            held = nodes.get(row.conversation_id, [])
            brought = self._brought(row, held, found)
            reason, chosen = self._judge(row, held, found)
            if reason is not None or chosen is None:
                self.tally.add(reason or "no_sound_reply", row.conversation_id)
                continue
            person = self._person(row.subject_id or f"{row.source}\0{brought.person or row.conversation_id}")
            headers = brought.headers if row.subject_id is None else _headers(row.header_json)
            self._keep(row, held, chosen, found, person, headers)
            named = [i for i in chosen.tree if _names_someone(found.get(i))]
            wrote_names += [(i, person) for i in named]
        self._read_names(connection, wrote_names, found)

    def _person(self, subject: str) -> bytes:
        known = self.persons.get(subject)
        if known is None:
            if len(self.persons) >= _MOST_PERSONS:
                self.persons.clear()
            known = self.persons[subject] = self.asked.key.person(subject)
        return known

    def _brought(self, row: Row[Any], held: Sequence[Held], found: dict[str, Findings]) -> Imported:
        """What an imported conversation that is asked for knows of itself."""
        if row.subject_id is not None or row.imported_zstd is None or row.source not in self.sources:
            return NOBODY
        return fill_from_import(row.imported_zstd, sorted(node.id for node, _, _ in held), found)

    def _judge(
        self, row: Row[Any], held: Sequence[Held], found: Mapping[str, Findings]
    ) -> tuple[str | None, Chosen | None]:
        """Why a conversation stays out, or which of its messages come in."""
        chosen_by = self.asked.settings.selection
        if row.conversation_id in self.excluded:
            return "excluded", None
        if reason := self._without_consent(row):
            return reason, None
        last_us = max((max(node.at_us, node.done_us) for node, _, _ in held), default=0)
        if last_us > self.asked.as_of_us - self.asked.quarantine_us:
            return "too_recent", None
        if row.reserved_for:
            return "reserved", None
        if row.held:
            return "held_back", None
        if (row.automation_score or 0.0) >= chosen_by.automation_threshold:
            self.notes["automated"] += 1
            if not chosen_by.include_automated:
                return "automated", None
        chosen = choose([node for node, _, _ in held], chosen_by.statuses)
        if not chosen.path:
            return "no_sound_reply", None
        by_id = {node.id: node for node, _, _ in held}
        path = self._path(chosen, by_id)
        if self.asked.strict and not alternates([by_id[i].role for i in path]):
            return "roles_do_not_alternate", None
        day = by_id[chosen.path[-1]].done_us // DAY_US + EPOCH_ORDINAL
        if (chosen_by.since and day < chosen_by.since.toordinal()) or (
            chosen_by.until and day >= chosen_by.until.toordinal()
        ):
            return "outside_dates", None
        if row.source_license and not compatible(
            row.source_license, self.asked.license, self.asked.settings.allowed_licenses
        ):
            return "incompatible_license", None
        return self._by_annotations(chosen, held, found), chosen

    def _without_consent(self, row: Row[Any]) -> str | None:
        """Why a person's word does not cover a conversation; an imported one is covered by the operator's asking."""
        chosen_by = self.asked.settings.selection
        if row.subject_id is None:
            return None if row.source in self.sources else "source_not_asked_for"
        if row.consent_state != ConsentState.PUBLISH:
            return str(row.consent_state)
        if chosen_by.consent_versions and row.consent_version not in chosen_by.consent_versions:
            return "other_words"
        return None

    def _by_annotations(self, chosen: Chosen, held: Sequence[Held], found: Mapping[str, Findings]) -> str | None:
        settings, ids = self.asked.settings, chosen.path if self.asked.linear else chosen.tree
        chosen_ids = set(ids)
        for node, _, empty in held:
            required = self.required if node.role == "user" else self.required_of_all
            if not empty and node.id in chosen_ids and found.get(node.id, NOTHING).kinds & required != required:
                return "not_enriched"
        if any(found.get(node.id, NOTHING).minors for node, _, _ in held):
            return "sexual_minors"
        threshold = settings.selection.toxicity_threshold
        if settings.selection.without_toxic and any(found.get(i, NOTHING).is_toxic(threshold) for i in ids):
            return "toxic"
        return None

    def _path(self, chosen: Chosen, by_id: Mapping[str, Node]) -> Sequence[str]:
        """The path without what a profile with two roles has no place for."""
        return [i for i in chosen.path if by_id[i].role != "system"] if self.asked.strict else chosen.path

    def _keep(
        self,
        row: Row[Any],
        held: Sequence[Held],
        chosen: Chosen,
        found: Mapping[str, Findings],
        person: bytes,
        headers: Mapping[str, str],
    ) -> None:
        by_id = {node.id: node for node, _, _ in held}
        sizes = {node.id: size for node, size, _ in held}
        ids = self._path(chosen, by_id) if self.asked.linear else chosen.tree
        self.notes["cut"] += chosen.cut
        self.notes["with_branches"] += len(chosen.tree) > len(chosen.path)
        places = [found.get(i, NOTHING).geo for i in ids if by_id[i].role == "user"]
        country = most_frequent([place.get("country") for place in places])
        state = most_frequent([place.get("state") for place in places if place.get("country") == country])
        if country and country not in self.iso_of:
            iso = next((p.get("country_iso") for p in places if p.get("country") == country), None)
            self.iso_of |= {country: iso} if iso else {}
        values = {
            "conversation_id": row.conversation_id,
            "leaf": chosen.path[-1],
            "country": country,
            "state": state,
            "language": most_frequent([found.get(i, NOTHING).lang.get("name") for i in ids]),
            "user_agent": headers.get("user-agent"),
            "accept_language": headers.get("accept-language"),
            "source": row.source,
            "license": row.source_license,
            "consent_version": row.consent_version,
            "consent_sha256": row.consent_sha256,
            "dup": row.dup_cluster,
            "rounds": sum(by_id[i].role == "user" for i in ids),
            "bytes": sum(sizes[i] for i in ids),
            "until_us": max(by_id[i].done_us for i in chosen.tree),
            "day": by_id[chosen.path[-1]].done_us // DAY_US + EPOCH_ORDINAL,
            "automation": row.automation_score,
            "person": person,
            "order": self.asked.key.conversation(row.conversation_id),
        }
        for name, value in values.items():
            self.columns[name].append(value)

    def _read_names(
        self, connection: Connection, wrote: Sequence[tuple[str, bytes]], found: Mapping[str, Findings]
    ) -> None:
        if not wrote:
            return
        ids = [message for message, _ in wrote]
        query = select(MESSAGES.c.message_id, MESSAGES.c.content_zstd).where(MESSAGES.c.message_id.in_(ids))
        texts = {row.message_id: row.content_zstd for row in connection.execute(query)}
        for message, person in wrote:
            text = zstandard.decompress(texts[message]).decode("utf-8")
            for span in found[message].pii:
                if span["type"] == "PERSON":
                    self.names.add((name_key(text[span["start"] : span["end"]]), person))

    def who_wrote_what(self) -> tuple[list[bytes], list[bytes]]:
        """Names (as hashes) and who wrote them, each pair once, in order."""
        pairs = sorted(self.names)
        return [name for name, _ in pairs], [person for _, person in pairs]


def _names_someone(found: Findings | None) -> bool:
    return found is not None and any(span["type"] == "PERSON" for span in found.pii)


def name_key(name: str) -> bytes:
    """What a name is counted by: 16 bytes that are equal for equal names but for case and spaces."""
    return blake2b(" ".join(name.lower().split()).encode(), digest_size=16).digest()


@lru_cache(maxsize=4096)
def _headers(header_json: str | None) -> Mapping[str, str]:
    found: Mapping[str, str] = orjson.loads(header_json) if header_json else {}
    return found


def _nodes(connection: Connection, low: str, high: str, as_of_us: int) -> dict[str, list[Held]]:
    """The messages of neighbors by id, with the size of their compressed text and whether it is empty.

    What came after the moment of the release does not exist for it.
    """
    m = MESSAGES.c
    query = (
        select(
            m.conversation_id,
            m.message_id,
            m.parent_id,
            m.role,
            m.status,
            m.created_us,
            func.coalesce(m.completed_us, m.created_us),
            func.length(m.content_zstd),
            m.content_sha256 == _EMPTY,
        )
        .where(m.conversation_id.between(low, high), m.created_us <= as_of_us)
        .order_by(m.conversation_id, m.message_id)
    )
    nodes: dict[str, list[Held]] = defaultdict(list)
    for conversation, message, parent, role, status, at_us, done_us, size, empty in connection.execute(query).all():
        if done_us <= as_of_us:
            nodes[conversation].append((Node(message, parent, role, status, at_us, done_us), size, bool(empty)))
    return nodes


def _findings(connection: Connection, low: str, high: str, wanted: Wanted) -> dict[str, Findings]:
    """What annotations say of the messages of neighbors by id."""
    a = ANNOTATIONS.c
    query = (
        select(a.message_id, a.kind, a.pipeline_version, a.result_json)
        .join(MESSAGES, MESSAGES.c.message_id == a.message_id)
        .where(MESSAGES.c.conversation_id.between(low, high))
    )
    return collect(connection.execute(query).all(), wanted)
