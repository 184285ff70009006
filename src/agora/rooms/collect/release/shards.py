"""The files of a release: one process writes one, and what is finished once is not written again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zstandard

from agora.core.errors import AgoraError, DataError, MissingError
from agora.core.files import atomic_file, make_folder, sha256_file
from agora.core.garbage import rare_collections
from agora.core.json_text import dumps
from agora.core.jsonl import read_json, write_json
from agora.rooms.collect.release.asked import Asked, engine_of
from agora.rooms.collect.release.found import Reader
from agora.rooms.collect.release.gates import EXAMPLES
from agora.rooms.collect.release.planned import Planned, read_planned
from agora.rooms.collect.release.profiles import RowMaker
from agora.rooms.collect.release.said import Said, moderation_of, read_said
from agora.rooms.collect.release.shown import slice_file
from agora.rooms.collect.release.texts import Taken, redact_all
from agora.rooms.collect.statistics.tally import Choices, Tally

if TYPE_CHECKING:
    import pyarrow as pa

MOST_BYTES = 256_000_000
_GROUP = 2000  # conversations that are read together and written as one row group


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

    def take(self, said: Said) -> None:
        """Count some conversations."""
        self.conversations += len(said.spans)
        self.messages += len(said.roles)
        self.redacted += sum(said.any_of(said.redacted))
        self.redacted_messages += sum(said.redacted)
        self.toxic += sum(said.any_of(said.toxic))
        self.toxic_messages.update(compress(said.roles, said.toxic))
        self.by_role.update(said.roles)
        telling = [found for found in said.found if found.telling]
        self.moderated["openai"] += sum(found.openai is not None for found in telling)
        self.moderated["detoxify"] += sum(found.detoxify is not None for found in telling)

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

        maker, counted, taken, tally = RowMaker(self.asked), Counted(), Taken(), Tally(choices_of(self.asked))
        with (
            atomic_file(path) as out,
            atomic_file(hashes) as names_out,
            pq.ParquetWriter(out, maker.schema, compression="zstd") as writer,
            pa.ipc.new_file(names_out, hashes_schema()) as names,
        ):
            for planned, said in self._conversations(index, taken, counted):
                try:
                    made = maker.make(planned, said)
                except (pa.ArrowException, OverflowError) as err:
                    raise AgoraError(f"a row does not fit the profile's schema: {err}") from err
                writer.write_batch(made.rows)
                called = self._called(planned, said, made.sha256)
                names.write_batch(pa.record_batch(called, schema=hashes_schema()))
                counted.take(said)
                tally.add(maker.tell(planned, said))
        counted.spans, counted.late_spans, counted.residual = taken.spans, taken.late, taken.residual
        counted.residual_ids, counted.exempt = sorted(taken.residual_ids), taken.exempt
        return counted, tally

    def _called(self, planned: Planned, said: Said, digests: list[bytes]) -> list[Any]:
        """The columns of :func:`hashes_schema`."""
        pack = zstandard.ZstdCompressor(3).compress
        texts = [b""] * len(planned)
        if self.asked.texts_on_site:
            turns = list(zip(said.roles, said.texts, strict=True))
            texts = [pack(dumps(turns[start:end])) for start, end in said.spans]
        names = [planned.column("conversation_id"), digests, planned.column("person")]
        return [*names, planned.column("language"), said.last_models, texts]

    def _conversations(self, index: int, taken: Taken, counted: Counted) -> Iterator[tuple[Planned, Said]]:
        """What is written together, as one row group."""
        reader = Reader(self.asked.wanted, moderation_of(self.asked))
        with engine_of(self.asked.url).connect() as connection:
            for planned in read_planned(slice_file(self.asked, index), _GROUP):
                with connection.begin():
                    said, gone = read_said(connection, self.asked, planned, reader)
                if gone:  # erased since it was planned
                    ids = planned.values("conversation_id")
                    counted.gone += [ids[place] for place in gone]
                    planned, said = planned.without(gone), said.without(gone)
                if len(planned):
                    ids = planned.values("conversation_id")
                    redact_all(self.asked, ids, said, self.public_names, taken)
                    yield planned, said


def choices_of(asked: Asked) -> Choices:
    """How a release is counted; of repeated prompts it would have to hold too many to count them."""
    return Choices(asked.name, threshold=asked.settings.selection.toxicity_threshold, long_chars=0)


def hashes_schema() -> pa.Schema:
    """Conversation, row hash and pseudonym of each row, and what is shown of it on the site."""
    import pyarrow as pa

    names = [("conversation_id", pa.string()), ("row_sha256", pa.binary(32)), ("person", pa.binary(32))]
    return pa.schema([*names, ("language", pa.string()), ("model", pa.string()), ("turns_zstd", pa.binary())])


def examples_of(shards: Sequence[Shard]) -> list[str]:
    """The first ids of conversations in which something was found after redaction."""
    return sorted(i for shard in shards for i in shard.counted.residual_ids)[:EXAMPLES]
