"""The files of a release: one process writes one, and what is finished once is not written again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zstandard

from agora.core.errors import AgoraError, DataError, MissingError
from agora.core.files import atomic_file, make_folder, sha256_file
from agora.core.garbage import rare_collections
from agora.core.json_text import dumps
from agora.core.jsonl import read_json, write_json
from agora.rooms.collect.release.asked import Asked, engine_of
from agora.rooms.collect.release.columns import read_batches
from agora.rooms.collect.release.found import Reader
from agora.rooms.collect.release.gates import EXAMPLES
from agora.rooms.collect.release.profiles import RowMaker, schema_of
from agora.rooms.collect.release.shown import slice_file
from agora.rooms.collect.release.texts import Taken, Utterance, read_utterances, redact_conversation
from agora.rooms.collect.statistics.tally import Choices, Tally
from agora.rooms.collect.statistics.told import Told

if TYPE_CHECKING:
    import pyarrow as pa

MOST_BYTES = 256_000_000
_BATCH = 500  # conversations read together, and written as one row group four at a time
_GROUP = 2000


@dataclass(slots=True)
class Counted:
    """What a shard holds beside what every data set is counted by, in numbers that add up over shards."""

    conversations: int = 0
    messages: int = 0
    redacted: int = 0
    redacted_messages: int = 0
    toxic: int = 0
    toxic_messages: Counter[str] = field(default_factory=Counter)  # by role
    by_role: Counter[str] = field(default_factory=Counter)
    moderated: Counter[str] = field(default_factory=Counter)  # messages by provider that a compat column is of
    spans: Counter[str] = field(default_factory=Counter)
    late_spans: int = 0
    exempt: Counter[str] = field(default_factory=Counter)  # spans that the published rules leave
    residual: Counter[str] = field(default_factory=Counter)
    residual_ids: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    def take(self, talks: Sequence[Sequence[Utterance]]) -> None:
        """Count conversations, many at once."""
        every = [u for said in talks for u in said]
        self.conversations += len(talks)
        self.messages += len(every)
        self.redacted += sum(any(u.redacted for u in said) for said in talks)
        self.redacted_messages += sum([u.redacted for u in every])
        self.toxic += sum(any(u.toxic for u in said) for said in talks)
        self.toxic_messages.update([u.role for u in every if u.toxic])
        self.by_role.update([u.role for u in every])
        self.moderated["openai"] += sum([u.found.openai is not None for u in every])
        self.moderated["detoxify"] += sum([u.found.detoxify is not None for u in every])

    def add(self, other: Counted) -> None:
        """Add another shard's counts."""
        for name in self.__slots__:
            mine, theirs = getattr(self, name), getattr(other, name)
            if isinstance(mine, Counter):
                mine.update(theirs)
            else:
                setattr(self, name, mine + theirs)

    def as_json(self) -> dict[str, Any]:
        """For the note beside a shard."""
        return {
            name: dict(sorted(value.items())) if isinstance(value := getattr(self, name), Counter) else value
            for name in self.__slots__
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Counted:
        """What :meth:`as_json` gave."""
        values: dict[str, Any] = {n: Counter(v) if isinstance(v, dict) else v for n, v in found.items()}
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Shard:
    """A file that is done."""

    index: int
    name: str
    sha256: str
    size: int
    counted: Counted
    tally: Path  # counts as of any data set, see agora.rooms.collect.statistics
    hashes: Path  # conversation, row hash and pseudonym of each row

    @property
    def rows(self) -> int:
        """Conversations in it."""
        return self.counted.conversations


def shard_name(index: int, of: int) -> str:
    """The file's name, as programs that read data sets expect it."""
    return f"train-{index:05d}-of-{of:05d}.parquet"


@dataclass(frozen=True, slots=True)
class WriteShard:
    """Writes one shard; what a worker process runs. A shard that is done already is only read."""

    asked: Asked
    of: int
    public_names: frozenset[bytes]

    def __call__(self, index: int) -> Shard:
        """The shard, whole and on disk.

        Raises:
            DataError: the file became larger than 256 MB.
        """
        folder, name = self.asked.folder, shard_name(index, self.of)
        note, tally = folder / f"shard-{index:05d}.json", folder / f"tally-{index:05d}.json"
        path, hashes = folder / "data" / name, folder / f"hashes-{index:05d}.arrow"
        of_slice = sha256_file(slice_file(self.asked, index))
        with suppress(MissingError):
            found = read_json(note)
            if (
                (found["slice"], found.get("texts")) == (of_slice, self.asked.texts_on_site)
                and path.exists()
                and sha256_file(path) == found["sha256"]
            ):
                counted = Counted.from_json(found["counted"])
                return Shard(index, name, found["sha256"], path.stat().st_size, counted, tally, hashes)
        make_folder(path.parent)
        with rare_collections():
            counted, counts = self._write(index, path, hashes)
        size, digest = path.stat().st_size, sha256_file(path)
        if size > MOST_BYTES:
            raise DataError(f"{size:,} bytes are more than a shard may have", where=name, hint="lower release.shard_mb")
        write_json(tally, counts.as_json())
        write_json(
            note, {"slice": of_slice, "texts": self.asked.texts_on_site, "sha256": digest, "counted": counted.as_json()}
        )
        return Shard(index, name, digest, size, counted, tally, hashes)

    def _write(self, index: int, path: Path, hashes: Path) -> tuple[Counted, Tally]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema, maker, counted = schema_of(self.asked.settings.profile), RowMaker(self.asked), Counted()
        rows: list[dict[str, Any]] = []
        called: list[tuple[str, bytes, bytes, str | None, str | None, bytes]] = []
        pack = zstandard.ZstdCompressor(3).compress
        talks: list[list[Utterance]] = []
        told: list[Told] = []
        taken, tally = Taken(), Tally(choices_of(self.asked))

        def write() -> None:
            if not rows:
                return
            _write_rows(writer, rows, schema)
            names.write_batch(pa.record_batch(list(zip(*called, strict=True)), schema=hashes_schema()))
            counted.take(talks)
            tally.add(told)
            for held in (rows, called, talks, told):
                held.clear()

        with (
            atomic_file(path) as out,
            atomic_file(hashes) as names_out,
            pq.ParquetWriter(out, schema, compression="zstd") as writer,
            pa.ipc.new_file(names_out, hashes_schema()) as names,
        ):
            for planned, said in self._conversations(index, taken, counted):
                made = maker.make(planned, said)
                talks.append(said)
                told.append(maker.tell(planned, said))
                text = pack(dumps([(u.role, u.text) for u in said])) if self.asked.texts_on_site else b""
                rows.append(made.row)
                shown = (planned["language"], told[-1].model, text)
                called.append((planned["conversation_id"], made.sha256, planned["person"], *shown))
                if len(rows) == _GROUP:
                    write()
            write()
        counted.spans, counted.late_spans, counted.residual = taken.spans, taken.late, taken.residual
        counted.residual_ids, counted.exempt = sorted(taken.residual_ids), taken.exempt
        return counted, tally

    def _conversations(
        self, index: int, taken: Taken, counted: Counted
    ) -> Iterator[tuple[Mapping[str, Any], list[Utterance]]]:
        reader = Reader(self.asked.wanted)
        with engine_of(self.asked.url).connect() as connection:
            for planned in _at_once(read_batches(slice_file(self.asked, index))):
                with connection.begin():
                    read = read_utterances(connection, self.asked, planned, reader)
                for row in planned:
                    said = read.get(row["conversation_id"])
                    if said is None:  # erased since it was planned
                        counted.gone.append(row["conversation_id"])
                        continue
                    redact_conversation(self.asked, row["conversation_id"], said, self.public_names, taken)
                    yield row, said


def choices_of(asked: Asked) -> Choices:
    """How a release is counted; of repeated prompts it would have to hold too many to count them."""
    return Choices(asked.name, threshold=asked.settings.selection.toxicity_threshold, long_chars=0)


def hashes_schema() -> pa.Schema:
    """Conversation, row hash and pseudonym of each row, and what is shown of it on the site."""
    import pyarrow as pa

    names = [("conversation_id", pa.string()), ("row_sha256", pa.binary(32)), ("person", pa.binary(32))]
    return pa.schema([*names, ("language", pa.string()), ("model", pa.string()), ("turns_zstd", pa.binary())])


def _at_once(batches: Iterator[pa.RecordBatch]) -> Iterator[list[dict[str, Any]]]:
    for batch in batches:
        for at in range(0, batch.num_rows, _BATCH):
            part = batch.slice(at, _BATCH)
            rows = zip(*map(_values, part.columns), strict=True)
            yield [dict(zip(part.schema.names, row, strict=True)) for row in rows]


def _values(column: pa.Array) -> list[Any]:
    """A column as a list; one that repeats values reads each of them once."""
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        whole = pa.types.is_integer(column.type) and not column.null_count
        return list(column.to_numpy().tolist() if whole else column.to_pylist())
    values = [*column.dictionary.to_pylist(), None]
    codes: list[int] = column.indices.fill_null(len(values) - 1).to_numpy().tolist()
    return [values[i] for i in codes]


def _write_rows(writer: Any, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    import pyarrow as pa

    try:
        writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))
    except (pa.ArrowException, OverflowError) as err:
        raise AgoraError(f"a row does not fit the profile's schema: {err}") from err


def examples_of(shards: Sequence[Shard]) -> list[str]:
    """The first ids of conversations in which something was found after redaction."""
    return sorted(i for shard in shards for i in shard.counted.residual_ids)[:EXAMPLES]
