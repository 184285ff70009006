"""Any readable file as rows of one record type: ours pass as they are, others through their importer.

A row is what :func:`agora.core.schemas.to_row` makes of a :class:`~agora.core.records.Sample` or a
:class:`~agora.core.records.Conversation`. Curation works on rows, not on records: nothing that a step does not know is
lost or rewritten, and a million rows need not become objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from agora.core.json_rows import Row
from agora.core.records import ROLES, Conversation, JsonMap, Provenance, Sample, stable_id
from agora.core.schemas import from_row, to_row
from agora.core.tables import Rejects, read_rows
from agora.curate.importers import import_conversations

RecordType = type[Sample] | type[Conversation]
_OWN: dict[str, RecordType] = {Sample.SCHEMA: Sample, Conversation.SCHEMA: Conversation}
_REQUIRED = {
    Sample.SCHEMA: frozenset({"id", "run_id", "slice", "index", "seed", "messages", "raw_text", "finish_reason"}),
    Conversation.SCHEMA: frozenset({"id", "messages", "provenance"}),
}
_MAPS = ("tags", "scores", "meta", "gen", "answer_gen", "provenance")


class Source(NamedTuple):
    """A file and how it is read: ``format`` is the schema of our own records, else an importer's name or ``auto``."""

    path: Path
    format: str
    record_type: RecordType


def open_source(path: Path, format: str = "auto") -> Source:
    """Find out what a file holds.

    Args:
        path: samples, conversations, or a file in any format of ``agora.curate.importers``.
        format: an importer's name, or ``auto``.

    Raises:
        MissingError: no such file.
        DataError: the file is empty or damaged. An unknown format is found when the rows are read.
    """
    path = Path(path)
    if format == "auto":
        rows = read_rows(path, rejects=Rejects())
        first = next((row.data for row in rows), None)
        rows.close()  # type: ignore[attr-defined]  # it holds the file open
        schema = None if first is None else first.get("schema")
        if isinstance(schema, str) and schema in _OWN:
            return Source(path, schema, _OWN[schema])
    return Source(path, format, Conversation)


def read_record_rows(source: Source, rejects: Rejects, *, limit: int | None = None) -> Iterator[Row]:
    """The rows of a source with their place; what cannot be read goes to ``rejects``.

    Our own rows pass as they stand once they have what curation looks at; an id that an earlier row had is made anew.

    Raises:
        DataError: unknown format, an empty file, or most rows cannot be read.
        UsageError: unknown format name.
    """
    if not is_own(source):
        for conversation in import_conversations(source.path, format=source.format, rejects=rejects, limit=limit):
            yield Row(conversation.provenance.line or 0, to_row(conversation))
        return
    seen: set[int] = set()  # hashes, which take a fraction of the ids
    for row in usable_rows(read_rows(source.path, rejects=rejects, limit=limit), source, rejects):
        known = hash(row.data["id"])
        yield with_new_id(row) if known in seen else row
        seen.add(known)


def is_own(source: Source) -> bool:
    """Whether a file holds our own records; then each of its rows can be read by itself, but for repeated ids."""
    return source.format in _OWN


def usable_rows(rows: Iterable[Row], source: Source, rejects: Rejects) -> Iterator[Row]:
    """Those of some rows of a file of our own records that have what curation looks at."""
    for row in rows:
        problem = _problem(row.data, source.format)
        if problem is None:
            yield row
        else:
            rejects.add(f"{source.path}:{row.line}", f"not a {source.format} row", row.data, detail=problem)


def with_new_id(row: Row) -> Row:
    """A row whose id an earlier one had, with an id made of that and its line."""
    return Row(row.line, {**row.data, "id": stable_id(row.data["id"], row.line)})


def _problem(row: JsonMap, schema: str) -> str | None:
    """What a row lacks of what curation looks at; None for a usable one."""
    if row.get("schema") != schema:
        return f"its schema is {str(row.get('schema'))[:40]!r}"
    if not _REQUIRED[schema] <= row.keys():
        return f"it has no {min(_REQUIRED[schema] - row.keys())!r}"
    messages = row["messages"]
    if type(row["id"]) is not str or type(messages) is not list:
        return "its id is no text, or its messages are no list"
    asked = False
    for message in messages:
        role = message.get("role") if type(message) is dict else None
        if role not in ROLES or type(message.get("content")) is not str:
            return "a message has no known role, or no text"
        asked = asked or role == "user"
    if not asked:
        return "no user turn"
    wrong = [name for name in _MAPS if type(row.get(name, {})) is not dict]
    return f"{wrong[0]!r} is no object" if wrong else None


def conversation_of(row: JsonMap) -> Conversation:
    """A row as a conversation: a sample's labels and scores become tags, how it was drawn stays in its meta.

    Raises:
        DataError: the row is of no record type.
    """
    if row.get("schema") != Sample.SCHEMA:
        return from_row(Conversation, row)
    sample = from_row(Sample, row)
    provenance = Provenance("magpie", sample.id, language=(tag_of(row, "language") or {}).get("value"))
    turns = [(m.role, m.content) for m in sample.messages]
    tags = {**sample.tags, **{name: {**score, "status": "ok"} for name, score in sample.scores.items()}}
    if not sample.kept:
        tags |= {"kept": False, "reason": sample.reason}
    meta = {
        "model": sample.gen.get("model"),
        "gen": {**sample.gen, "seed": sample.seed},
        "answer_gen": sample.answer_gen,
    }
    return Conversation.linear(turns, provenance, id=sample.id, tags=tags, meta=meta)


def instruction_of(row: JsonMap) -> str:
    """The first user turn; empty when there is none."""
    return next((str(m["content"]) for m in row["messages"] if m["role"] == "user"), "")


def answer_of(row: JsonMap) -> str | None:
    """The last assistant turn; None where nobody answered."""
    return next((str(m["content"]) for m in reversed(row["messages"]) if m["role"] == "assistant"), None)


def user_turns(row: JsonMap) -> list[str]:
    """The texts of all user turns, in order."""
    return [str(m["content"]) for m in row["messages"] if m["role"] == "user"]


def mark_of(row: JsonMap) -> str | None:
    """The reason why an earlier pass marked the row as not to be used; None for a row that is kept."""
    marks = row if "kept" in row else row.get("tags") or {}
    return None if marks.get("kept", True) is not False else str(marks.get("reason") or "unknown")


def tag_of(row: JsonMap, name: str) -> JsonMap | None:
    """A row's tag as an object; None where it has none. A bare value becomes ``{"value": ..., "status": "ok"}``."""
    tag = (row.get("tags") or {}).get(name)
    if tag is None or isinstance(tag, dict):
        return tag
    return {"value": tag, "status": "ok"}


def with_tag(row: JsonMap, name: str, tag: JsonMap) -> JsonMap:
    """A copy of the row with one more tag."""
    return {**row, "tags": {**(row.get("tags") or {}), name: tag}}
