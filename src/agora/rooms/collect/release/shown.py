"""What the ladder of k-anonymity leaves of the input list, and each shard's part of it as it will be published."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agora.rooms.collect.release.anonymity import QUASI, Anonymous, Column, class_sizes, generalize
from agora.rooms.collect.release.asked import Asked
from agora.rooms.collect.release.columns import bytes_of, read_batches, write_batches
from agora.rooms.collect.release.gates import EXAMPLES
from agora.rooms.collect.release.plan import Plan, plan_names
from agora.rooms.collect.release.scan import plan_schema

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

_UNREAD = ("order", "shard", "bytes", "day")  # columns of the plan that no row needs
#: The quasi-identifiers that the rows of a profile show.
SHOWN: Mapping[str, tuple[str, ...]] = {
    "compat-1m": QUASI,
    "compat-4.8m": QUASI,
    "native": QUASI,
    "messages": ("language",),
    "sharegpt": ("language",),
}


@dataclass(frozen=True, slots=True)
class Shown:
    """The rows that stay, with what they show of their persons.

    Args:
        keep: which rows of the plan stay.
        columns: the quasi-identifiers of the rows that stay, as they are published.
        rows: how many stay.
        subjects: distinct people in them.
        anonymous: what came of the ladder.
        dropped: ids of the rows whose class is too small even at its top, smallest first, at most :data:`EXAMPLES`.
        num_dropped: how many there are.
        k: distinct subjects in the smallest class, counted once more over the columns as the profile shows them.
    """

    keep: NDArray[Any]
    columns: Mapping[str, Column]
    rows: int
    subjects: int
    anonymous: Anonymous
    dropped: list[str]
    num_dropped: int
    k: int | None


def anonymize(plan: Plan, profile: str, k: int, gone: Collection[str]) -> Shown:
    """What the ladder leaves of the rows of a plan.

    Args:
        plan: the frozen list.
        profile: decides which quasi-identifiers there are.
        k: least number of distinct subjects in a class.
        gone: ids of conversations that were erased or withdrawn since.
    """
    import numpy as np

    columns, subjects, there = _quasi(plan, SHOWN[profile], gone)
    found = generalize(columns, subjects, k, plan.iso_of)
    del columns
    keep = there.copy()
    keep[there] = found.kept
    shown = {name: Column(column.codes[found.kept], column.values) for name, column in found.columns.items()}
    subjects = subjects[found.kept]
    return Shown(
        keep=keep,
        columns=shown,
        rows=len(subjects),
        subjects=len(np.unique(subjects)),
        anonymous=found,
        dropped=_first_ids(plan, there & ~keep),
        num_dropped=int(np.count_nonzero(there & ~keep)),
        k=_shown_k(shown, subjects, profile),
    )


def _quasi(
    plan: Plan, names: Sequence[str], gone: Collection[str]
) -> tuple[dict[str, Column], NDArray[Any], NDArray[Any]]:
    """The quasi-identifiers and the numbered subjects of the rows that are not gone, and which those are."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute

    erased = pa.array(sorted(gone), pa.string())
    codes: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
    values: dict[str, tuple[Any, ...]] = {}
    persons, there = [np.zeros(0, np.int32)], [np.zeros(0, bool)]
    last, number = b"", -1
    for batch in read_batches(plan.path, [n for n in plan_names() if n in {"conversation_id", "person", *names}]):
        ids = batch["conversation_id"]
        here = ~pa.compute.is_in(ids, erased).to_numpy(zero_copy_only=False) if gone else np.ones(len(ids), bool)
        held = bytes_of(batch["person"])
        new = np.concatenate([[held[0].tobytes() != last], (held[1:] != held[:-1]).any(axis=1)])
        numbers = number + np.cumsum(new, dtype=np.int32)
        last, number = held[-1].tobytes(), int(numbers[-1])
        persons.append(numbers[here])
        there.append(here)
        for name in names:
            column = batch[name]
            if name == "day":
                codes[name].append(column.to_numpy()[here])
                continue
            values[name] = (*column.dictionary.to_pylist(), None)
            own = pa.compute.fill_null(column.indices, len(values[name]) - 1).to_numpy()
            codes[name].append(own[here].astype(np.int32))
    columns = {}
    for name in names:
        joined = np.concatenate([np.zeros(0, np.int32), *codes.pop(name)])
        if name == "day":
            days, joined = np.unique(joined, return_inverse=True)
            values[name] = tuple((int(day), "day") for day in days)
        columns[name] = Column(joined.astype(np.int32, copy=False), values.get(name, ()))
    return columns, np.concatenate(persons), np.concatenate(there)


def _first_ids(plan: Plan, rows: NDArray[Any]) -> list[str]:
    """The smallest ids of some rows."""
    import pyarrow as pa

    if not rows.any():
        return []
    first: list[str] = []
    at = 0
    for batch in read_batches(plan.path, ["conversation_id"]):
        own = batch["conversation_id"].filter(pa.array(rows[at : at + batch.num_rows])).to_pylist()
        first, at = nsmallest(EXAMPLES, [*first, *own]), at + batch.num_rows
    return first


def _shown_k(columns: Mapping[str, Column], subjects: NDArray[Any], profile: str) -> int | None:
    """The smallest class among the rows as they will be written; a count of its own, not the ladder's word."""
    shown = dict(columns)
    if "day" in shown and profile != "native":  # only native says what a date stands for
        shown["day"] = _merged(shown["day"])
    sizes = class_sizes(shown, subjects)
    return int(sizes.min()) if len(sizes) else None


def _merged(days: Column) -> Column:
    """Days, weeks and months by the date that is written for them."""
    import numpy as np

    known: dict[int | None, int] = {}
    codes = np.array([known.setdefault(v and v[0], len(known)) for v in days.values], np.int32)
    return Column(codes[days.codes], tuple(known))


def cut_slices(asked: Asked, plan: Plan, shown: Shown) -> None:
    """Write each shard's part of the plan beside the build; a shard is done only with respect to its slice.

    Its rows have what the ladder left, ``date`` (ordinal) and ``precision`` in place of ``day``.
    """
    pieces = _pieces(plan, shown)
    piece = next(pieces, None)
    for index in range(plan.shards):

        def own(index: int = index) -> Iterator[pa.RecordBatch]:
            nonlocal piece
            while piece is not None and piece[0] == index:
                yield piece[1]
                piece = next(pieces, None)

        write_batches(slice_file(asked, index), slice_schema(), own())


def slice_file(asked: Asked, index: int) -> Path:
    """Where a shard's part of the plan is."""
    return asked.folder / f"slice-{index:05d}.arrow"


def slice_schema() -> pa.Schema:
    """The columns of a shard's part of the plan."""
    import pyarrow as pa

    kept = [f for f in plan_schema() if f.name not in _UNREAD]
    numbers = [("first_turn", pa.int64()), ("date", pa.int32())]
    return pa.schema([*kept, *numbers, ("precision", pa.dictionary(pa.int32(), pa.string()))])


def _pieces(plan: Plan, shown: Shown) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The rows that stay, by shard, in their order."""
    import numpy as np
    import pyarrow as pa

    known = {n: [v for v in column.values if v is not None] for n, column in shown.columns.items() if n != "day"}
    codes = {n: _coded(shown.columns[n], values) for n, values in known.items()}
    dictionaries = {n: pa.array(values, pa.string()) for n, values in known.items()}
    days = shown.columns.get("day") or Column(np.zeros(shown.rows, np.int32), (None,))
    dates = pa.array([v and v[0] for v in days.values], pa.int32())
    precisions = pa.array([v and v[1] for v in days.values], pa.string()).dictionary_encode()
    nothing = pa.array([], pa.string())
    at = kept_at = 0
    for batch in read_batches(plan.path):
        batch, at = batch.filter(pa.array(shown.keep[at : at + batch.num_rows])), at + batch.num_rows
        own = slice(kept_at, kept_at + batch.num_rows)
        kept_at = own.stop
        columns = {name: batch[name] for name in batch.schema.names}
        for name in QUASI:
            if name in codes:
                taken = codes[name].take(pa.array(shown.columns[name].codes[own]))
                columns[name] = pa.DictionaryArray.from_arrays(taken, dictionaries[name])
            elif name != "day":
                columns[name] = pa.DictionaryArray.from_arrays(pa.nulls(batch.num_rows, pa.int32()), nothing)
        day = pa.array(days.codes[own])
        columns |= {"date": dates.take(day)}
        columns["precision"] = pa.DictionaryArray.from_arrays(precisions.indices.take(day), precisions.dictionary)
        shard = batch["shard"].to_numpy()
        whole = pa.record_batch([columns[f.name] for f in slice_schema()], schema=slice_schema())
        for index in np.unique(shard):
            first, end = np.searchsorted(shard, (index, index + 1))
            yield int(index), whole.slice(first, end - first)


def _coded(column: Column, known: Sequence[str]) -> pa.Array:
    """The number of each value of a column among those that are not missing."""
    import pyarrow as pa

    place = {value: i for i, value in enumerate(known)}
    return pa.array([place.get(value) for value in column.values], pa.int32())
