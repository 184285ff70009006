"""Conversations back into the published chat layouts: same Arrow schema, same rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agora.core.errors import DataError, UsageError
from agora.core.files import atomic_file
from agora.core.records import Conversation, JsonMap, Message, stable_id
from agora.curate.contamination.reserved import without_reserved
from agora.curate.importers.schemas import published_schema
from agora.curate.importers.wildchat import conversation_hash

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 1000


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written; ``skipped`` counts, by reason, the paths that the layout cannot hold."""

    path: Path
    n_conversations: int
    n_rows: int
    skipped: dict[str, int]


def export_wildchat(conversations: Iterable[Conversation], path: Path, version: str = "1m") -> ExportReport:
    """Write conversations as a WildChat Parquet file, one row per root-to-leaf path.

    Rows imported from WildChat come out as they went in. For others the hash, the number of rounds and what the
    provenance knows are filled in; what nobody measured (moderation, geography) is null.

    Conversations with a task that ``AGORA_RESERVED`` names are withheld and counted.

    Args:
        conversations: any conversations; only user and assistant turns fit (a leading system turn is left out and
            counted, a path with other roles is skipped and counted).
        path: the Parquet file; written whole or not at all.
        version: ``1m`` or ``4.8m``.

    Raises:
        UsageError: unknown version.
        DataError: a stored field has a type that the column cannot hold.
        AgoraError: the disk is full; nothing is left behind.
    """
    if version not in ("1m", "4.8m"):
        raise UsageError(f"unknown WildChat version {version!r}", hint="choose 1m or 4.8m")
    return _export(conversations, Path(path), f"wildchat-{version}")


def export_lmsys(conversations: Iterable[Conversation], path: Path) -> ExportReport:
    """Write conversations as an LMSYS-Chat-1M Parquet file; see :func:`export_wildchat`."""
    return _export(conversations, Path(path), "lmsys-chat-1m")


def _export(conversations: Iterable[Conversation], path: Path, layout: str) -> ExportReport:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = published_schema(layout)
    skipped: Counter[str] = Counter()
    seen = n_rows = 0
    try:
        with atomic_file(path) as out, pq.ParquetWriter(out, schema) as writer:
            batch: list[JsonMap] = []
            for conversation in without_reserved(conversations, skipped):
                seen += 1
                batch.extend(_fit_row(row, schema) for row in _rows(conversation, skipped))
                if len(batch) >= _BATCH_ROWS:
                    n_rows += _write(writer, batch, schema)
            n_rows += _write(writer, batch, schema)
    except (pa.ArrowException, OverflowError) as error:
        raise DataError(f"a field does not fit the {layout} schema: {error}", where=str(path)) from None
    return ExportReport(path, seen + skipped["reserved for a benchmark"], n_rows, dict(+skipped))


def _write(writer: Any, batch: list[JsonMap], schema: pa.Schema) -> int:
    import pyarrow as pa

    n = len(batch)
    if n:
        writer.write_table(pa.Table.from_pylist(batch, schema=schema))
        batch.clear()
    return n


def _rows(conversation: Conversation, skipped: Counter[str]) -> Iterator[JsonMap]:
    paths = list(conversation.paths())
    for path in paths:
        turns = path
        while turns and turns[0].role == "system":
            turns = turns[1:]
            skipped["system turn left out"] += 1
        if any(m.role not in ("user", "assistant") for m in turns):
            skipped["path with a role other than user and assistant"] += 1
        else:
            yield _row(conversation, turns, whole=len(paths) == 1)


def _row(conversation: Conversation, turns: tuple[Message, ...], *, whole: bool) -> JsonMap:
    stored = conversation.meta.get("row")
    row: JsonMap = dict(stored) if isinstance(stored, Mapping) else {}
    origin = conversation.provenance
    pairs = [(m.role, m.content) for m in conversation.messages]
    # the id is that of the texts: when it still fits, nobody edited them and the published hash holds
    if not whole or conversation.id != stable_id(origin.source, origin.source_id, pairs):
        row["conversation_hash"] = conversation_hash(turns)
    row.setdefault("conversation_hash", conversation_hash(turns))
    row.setdefault("conversation_id", origin.source_id or conversation.id)
    row.setdefault("model", conversation.meta.get("model"))
    row.setdefault("timestamp", origin.created)
    row.setdefault("language", origin.language)
    row.setdefault("turn", sum(m.role == "user" for m in turns))
    row["conversation"] = [{**m.meta, "content": m.content, "role": m.role} for m in turns]
    return row


def _fit_row(row: JsonMap, schema: pa.Schema) -> JsonMap:
    return {f.name: _fit(row.get(f.name), f.type, f.name) for f in schema}


def _fit(value: Any, kind: pa.DataType, name: str) -> Any:
    """The value with exactly the members of an Arrow type: others are left out, missing ones are null."""
    import pyarrow.types as pt

    if value is None:
        return None
    if pt.is_struct(kind):
        if not isinstance(value, Mapping):
            raise DataError(f"field {name!r} is {type(value).__name__}, expected an object")
        return {f.name: _fit(value.get(f.name), f.type, f"{name}.{f.name}") for f in kind}
    if pt.is_list(kind):
        if not isinstance(value, (list, tuple)):
            raise DataError(f"field {name!r} is {type(value).__name__}, expected a list")
        return [_fit(v, kind.value_type, name) for v in value]
    if pt.is_timestamp(kind):
        return _moment(value, name, zoned=kind.tz is not None)
    return value


def _moment(value: Any, name: str, *, zoned: bool) -> datetime:
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise DataError(f"field {name!r} is no ISO 8601 time: {value!r:.40}") from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment if zoned else moment.replace(tzinfo=None)
