"""The frozen input list: put together from the scans, in the order of the release, cut into shards.

Rows are ordered by what stands for their person and then by what stands for the conversation, so that the order of a
release tells nothing of time. Everything is columns in Arrow files beside the build.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agora.core.files import atomic_file
from agora.core.jsonl import read_json, write_json
from agora.core.workers import Runner
from agora.rooms.collect.release.anonymity import QUASI, Anonymous, Column, class_sizes, generalize
from agora.rooms.collect.release.gates import EXAMPLES, Tally
from agora.rooms.collect.release.scan import Asked, Scan, Scanned, engine_of, plan_schema, split_store

if TYPE_CHECKING:
    import pyarrow as pa

_PART = 100_000  # rows of the plan that are written together
_ROW_BYTES = 400  # of a round beside its text, at most, compressed
#: The quasi-identifiers that the rows of a profile show.
SHOWN: Mapping[str, tuple[str, ...]] = {
    "compat-1m": QUASI,
    "compat-4.8m": QUASI,
    "native": QUASI,
    "messages": ("language",),
    "sharegpt": ("language",),
}


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
        public_names: names that so many people wrote that they stay, as :func:`name_key` makes them.
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
    import numpy as np
    import pyarrow as pa

    tally, notes = Tally(), dict.fromkeys(("automated", "cut", "with_branches"), 0)
    iso_of: dict[str, str] = {}
    for part in scanned:
        tally.update(Tally.from_json(part.tally))
        iso_of |= part.iso_of
        for name, count in part.notes.items():
            notes[name] += count
    files = [asked.folder / f"rows-{part.index:05d}.arrow" for part in scanned]
    found = [read_arrow(file) for file in files] or [plan_schema().empty_table()]
    table = pa.concat_tables(found).unify_dictionaries()
    del found
    rounds = table["rounds"].to_numpy()
    # numbered in the order of the store, before the order of the release is known; see ReleaseKey.turn
    table = table.append_column("first_turn", pa.array(np.cumsum(rounds, dtype=np.int64) - rounds))
    order = pa.compute.sort_indices(table, sort_keys=[("person", "ascending"), ("order", "ascending")])
    size = np.cumsum((table["bytes"].to_numpy() + _ROW_BYTES * rounds)[order.to_numpy()])
    shard = ((size - 1) // (asked.settings.shard_mb * 1_000_000)).astype(np.int32)
    _write_in_order(asked.folder / "plan.arrow", table, order, shard)
    rows = table.num_rows
    del table
    pa.default_memory_pool().release_unused()
    names = _public_names(asked, len(scanned))
    for file in [*files, *asked.folder.glob("names-*.arrow")]:
        file.unlink()
    return {
        "rows": rows,
        "shards": int(shard[-1]) + 1 if len(shard) else 0,
        "seen": sum(part.seen for part in scanned),
        "tally": tally.as_json(),
        "notes": notes,
        "iso_of": dict(sorted(iso_of.items())),
        "public_names": names,
    }


def _write_in_order(path: Path, table: pa.Table, order: pa.Array, shard: Any) -> None:
    """Write the rows in an order, a part at a time: a sorted copy of a million rows would double the memory."""
    import pyarrow as pa

    schema = table.schema.append(pa.field("shard", pa.int32()))
    with atomic_file(path) as out, pa.ipc.new_file(out, schema) as writer:
        for at in range(0, table.num_rows, _PART):
            part = table.take(order[at : at + _PART])
            part = part.append_column("shard", pa.array(shard[at : at + _PART]))
            writer.write_table(part.combine_chunks())


def _public_names(asked: Asked, parts: int) -> list[str]:
    """Names that enough distinct people wrote. Counting conversations would let one person make a name public."""
    import pyarrow as pa

    if not parts:
        return []
    pairs = pa.concat_tables([read_arrow(asked.folder / f"names-{i:05d}.arrow") for i in range(parts)])
    counted = pairs.group_by(["name", "person"]).aggregate([]).group_by("name").aggregate([("person", "count")])
    known = counted.filter(pa.compute.field("person_count") >= asked.settings.redaction.public_person_subjects)
    return sorted(name.hex() for name in known["name"].to_pylist())


@dataclass(frozen=True, slots=True)
class Shown:
    """The rows that stay, with what they show of their persons.

    Args:
        table: the plan's columns; ``date`` (ordinal) and ``precision`` in place of ``day``.
        anonymous: what came of the ladder.
        dropped: ids of the rows whose class is too small even at its top, smallest first, at most :data:`EXAMPLES`.
        num_dropped: how many there are.
        k: distinct subjects in the smallest class, counted once more over the columns as the profile shows them.
    """

    table: pa.Table
    anonymous: Anonymous
    dropped: list[str]
    num_dropped: int
    k: int | None


def anonymize(plan: Plan, profile: str, k: int, gone: Collection[str]) -> Shown:
    """Take the ladder's values into the rows of a plan.

    Args:
        plan: the frozen list.
        profile: decides which quasi-identifiers there are.
        k: least number of distinct subjects in a class.
        gone: ids of conversations that were erased or withdrawn since.
    """
    import numpy as np
    import pyarrow as pa

    table = read_arrow(plan.path)
    if gone:
        table = table.filter(pa.compute.invert(pa.compute.is_in(table["conversation_id"], pa.array(sorted(gone)))))
    columns = {name: _column(table[name]) for name in SHOWN[profile]}
    subjects = _numbered(table["person"])
    found = generalize(columns, subjects, k, plan.iso_of)
    dropped = table["conversation_id"].filter(pa.array(~found.kept)).combine_chunks()
    first = pa.compute.array_sort_indices(dropped)[:EXAMPLES]
    kept = np.flatnonzero(found.kept)
    if len(kept) < table.num_rows:
        table = table.take(kept)
    for name in QUASI:
        at = table.column_names.index(name)
        if name == "day":
            table = table.remove_column(at)
            days = found.columns.get("day")
            table = table.append_column("date", _dates(days, kept)).append_column("precision", _precision(days, kept))
        elif name in found.columns:
            table = table.set_column(at, name, _texts(found.columns[name], kept))
        else:
            table = table.set_column(at, name, pa.nulls(len(kept), pa.dictionary(pa.int32(), pa.string())))
    return Shown(table, found, dropped.take(first).to_pylist(), len(dropped), _shown_k(table, profile))


def _shown_k(table: pa.Table, profile: str) -> int | None:
    """The smallest class among the rows as they will be written; a count of its own, not the ladder's word."""
    names = [name for name in SHOWN[profile] if name != "day"]
    if "day" in SHOWN[profile]:
        names += ["date", "precision"] if profile == "native" else ["date"]
    columns = {name: _column(table[name]) for name in names}
    sizes = class_sizes(columns, _numbered(table["person"]))
    return int(sizes.min()) if len(sizes) else None


def _numbered(column: pa.ChunkedArray) -> Any:
    return column.combine_chunks().dictionary_encode().indices.to_numpy()


def _column(column: pa.ChunkedArray) -> Column:
    import numpy as np
    import pyarrow as pa

    array = column.combine_chunks()
    if pa.types.is_integer(array.type):
        days, codes = np.unique(pa.compute.fill_null(array, -1).to_numpy(), return_inverse=True)
        return Column(codes.astype(np.int32), tuple((int(day), "day") if day >= 0 else None for day in days))
    values = tuple(array.dictionary.to_pylist())
    codes = pa.compute.fill_null(array.indices, len(values)).to_numpy()
    return Column(codes.astype(np.int32), (*values, None))


def _texts(column: Column, kept: Any) -> pa.Array:
    import pyarrow as pa

    known = [value for value in column.values if value is not None]
    place = {value: i for i, value in enumerate(known)}
    codes = pa.array([place.get(value) for value in column.values], pa.int32()).take(pa.array(column.codes[kept]))
    return pa.DictionaryArray.from_arrays(codes, pa.array(known, pa.string()))


def _dates(column: Column | None, kept: Any) -> pa.Array:
    import pyarrow as pa

    if column is None:
        return pa.nulls(len(kept), pa.int32())
    return pa.array([v and v[0] for v in column.values], pa.int32()).take(pa.array(column.codes[kept]))


def _precision(column: Column | None, kept: Any) -> pa.Array:
    import pyarrow as pa

    if column is None:
        return pa.nulls(len(kept), pa.dictionary(pa.int32(), pa.string()))
    return (
        pa.array([v and v[1] for v in column.values], pa.string())
        .take(pa.array(column.codes[kept]))
        .dictionary_encode()
    )


def read_arrow(path: Path) -> pa.Table:
    """A file of columns, mapped and not copied."""
    import pyarrow as pa
    import pyarrow.compute

    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def write_arrow(path: Path, table: pa.Table) -> None:
    """Write a file of columns, whole or not at all."""
    import pyarrow as pa

    with atomic_file(path) as out, pa.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table)
