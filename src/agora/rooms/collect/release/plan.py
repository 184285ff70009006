"""The frozen input list: put together from the scans, in the order of the release, with the number of each shard.

Rows are ordered by what stands for their person and then by what stands for the conversation, so that the order of a
release tells nothing of time. They are dealt into files by the first digits of their person's pseudonym and sorted one
file after another, so that memory does not grow with the list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agora.core.jsonl import read_json, write_json
from agora.core.workers import Runner
from agora.rooms.collect.release.asked import Asked, engine_of
from agora.rooms.collect.release.columns import bytes_of, read_stream, write_batches
from agora.rooms.collect.release.gates import Tally
from agora.rooms.collect.release.scan import REPEATING, Scan, Scanned, plan_schema, split_store

if TYPE_CHECKING:
    import pyarrow as pa

_DEALT = 50_000  # rows of a file that is sorted at once
_MOST_FILES = 200
_ROW_BYTES = 400  # of a round beside its text, at most, compressed


@dataclass(frozen=True, slots=True)
class Plan:
    """What was frozen; its rows are in ``plan.arrow``.

    Args:
        path: the file of rows.
        rows: how many.
        shards: how many files the release has.
        seen: conversations that were looked at.
        tally: why others are not among the rows.
        notes: further counts: ``automated``, ``cut``, ``with_branches``.
        iso_of: ISO codes of the countries' names.
        public_names: names that so many people wrote that they stay, as :func:`value_key` makes them; by the
            published rules other values too.
    """

    path: Path
    rows: int
    shards: int
    seen: int
    tally: Tally
    notes: Mapping[str, int]
    iso_of: Mapping[str, str]
    public_names: frozenset[bytes]


def freeze(asked: Asked, runner: Runner, parts: int) -> Plan:
    """Scan the store and write the plan, unless that was done before.

    Args:
        asked: what decides about the list.
        runner: does the parts.
        parts: how many.
    """
    done = asked.folder / "frozen.json"
    if not done.exists():
        with engine_of(asked.url).connect() as connection, connection.begin():
            ranges = split_store(connection, parts)
        scanned = sorted(runner.map(Scan(asked), ranges), key=lambda part: part.index)
        write_json(done, _put_together(asked, scanned))
    found = read_json(done)
    assert isinstance(found, dict)
    return Plan(
        path=asked.folder / "plan.arrow",
        rows=found["rows"],
        shards=found["shards"],
        seen=found["seen"],
        tally=Tally.from_json(found["tally"]),
        notes=found["notes"],
        iso_of=found["iso_of"],
        public_names=frozenset(bytes.fromhex(name) for name in found["public_names"]),
    )


def _put_together(asked: Asked, scanned: Sequence[Scanned]) -> dict[str, Any]:
    tally, notes = Tally(), dict.fromkeys(("automated", "cut", "with_branches"), 0)
    iso_of: dict[str, str] = {}
    for part in scanned:
        tally.update(Tally.from_json(part.tally))
        iso_of |= part.iso_of
        for name, count in part.notes.items():
            notes[name] += count
    rows = sum(part.rows for part in scanned)
    files = min(_MOST_FILES, -(-rows // _DEALT))
    values = _deal(asked.folder, [part.index for part in scanned], files)
    shards = _sort(asked, files, values)
    names = _public_names(asked, [part.index for part in scanned])
    for pattern in ("rows-*", "names-*", "dealt-*"):
        for file in asked.folder.glob(pattern):
            file.unlink()
    return {
        "rows": rows,
        "shards": shards,
        "seen": sum(part.seen for part in scanned),
        "tally": tally.as_json(),
        "notes": notes,
        "iso_of": dict(sorted(iso_of.items())),
        "public_names": names,
    }


def _dealt_schema() -> pa.Schema:
    """The plan with numbers in the place of values that repeat, and the number of each row's first round."""
    import pyarrow as pa

    plain = [(f.name, pa.int32() if f.name in REPEATING else f.type) for f in plan_schema()]
    return pa.schema([*plain, ("first_turn", pa.int64())])


def _deal(folder: Path, parts: Sequence[int], files: int) -> dict[str, dict[str, int]]:
    """Write each row to the file of its person's first digits; the values that repeat come back, numbered."""
    import numpy as np
    import pyarrow as pa

    schema, rounds_before = _dealt_schema(), 0
    values: dict[str, dict[str, int]] = {name: {} for name in REPEATING}
    with ExitStack() as stack:
        out = [
            stack.enter_context(pa.ipc.new_stream(stack.enter_context(pa.OSFile(str(_dealt(folder, i)), "w")), schema))
            for i in range(files)
        ]
        for part in parts:
            for batch in read_stream(folder / f"rows-{part:05d}.arrows"):
                rounds = batch["rounds"].to_numpy()
                # numbered in the order of the store, before the order of the release is known; see ReleaseKey.turn
                first_turn = rounds_before + np.cumsum(rounds, dtype=np.int64) - rounds
                rounds_before += int(rounds.sum())
                columns = [_numbered(batch[n], values[n]) if n in REPEATING else batch[n] for n in batch.schema.names]
                numbered = pa.record_batch([*columns, pa.array(first_turn)], schema=schema)
                digits = np.ascontiguousarray(bytes_of(batch["person"])[:, :4]).view(">u4")[:, 0]
                place = (digits.astype(np.uint64) * np.uint64(files)) >> np.uint64(32)
                for i in np.unique(place):
                    out[int(i)].write_batch(numbered.filter(pa.array(place == i)))
    return values


def _dealt(folder: Path, index: int) -> Path:
    return folder / f"dealt-{index:05d}.arrows"


def _numbered(column: pa.DictionaryArray, known: dict[str, int]) -> pa.Array:
    import pyarrow as pa

    codes = [known.setdefault(value, len(known)) for value in column.dictionary.to_pylist()]
    return pa.array(codes, pa.int32()).take(column.indices)


def _sort(asked: Asked, files: int, values: Mapping[str, Mapping[str, int]]) -> int:
    """Sort the dealt files one after another into the plan, and number the shards; how many there are."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute

    schema = plan_schema().append(pa.field("first_turn", pa.int64())).append(pa.field("shard", pa.int32()))
    held = {name: pa.array(list(known), pa.string()) for name, known in values.items()}
    most, size, last = asked.settings.shard_mb * 1_000_000, 0, -1

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal size, last
        for index in range(files):
            dealt = pa.Table.from_batches(read_stream(_dealt(asked.folder, index)), _dealt_schema())
            if not dealt.num_rows:
                continue
            order = pa.compute.sort_indices(dealt, sort_keys=[("person", "ascending"), ("order", "ascending")])
            (batch,) = dealt.take(order).combine_chunks().to_batches()
            sizes = size + np.cumsum(batch["bytes"].to_numpy() + _ROW_BYTES * batch["rounds"].to_numpy())
            shard = ((sizes - 1) // most).astype(np.int32)
            size, last = int(sizes[-1]), int(shard[-1])
            columns = [
                pa.DictionaryArray.from_arrays(batch[n], held[n]) if n in held else batch[n] for n in batch.schema.names
            ]
            yield pa.record_batch([*columns, pa.array(shard)], schema=schema)

    write_batches(asked.folder / "plan.arrow", schema, batches())
    return last + 1


def _public_names(asked: Asked, parts: Sequence[int]) -> list[str]:
    """Names that enough distinct people wrote. Counting conversations would let one person make a name public."""
    import pyarrow as pa
    import pyarrow.compute

    found = [batch for part in parts for batch in read_stream(asked.folder / f"names-{part:05d}.arrows")]
    if not found:
        return []
    pairs = pa.Table.from_batches(found)
    once = pairs.group_by(["name", "person", "least"]).aggregate([])
    counted = once.group_by(["name", "least"]).aggregate([("person", "count")])
    known = counted.filter(pa.compute.field("person_count") >= pa.compute.field("least"))
    return sorted(name.hex() for name in known["name"].to_pylist())


def plan_names() -> list[str]:
    """The columns of the plan's file, in its order."""
    return [*plan_schema().names, "first_turn", "shard"]
