"""Conversations and prompts out of any file: samples of a run, our own records, or a log in a known format."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from agora.core.errors import DataError
from agora.core.records import Conversation, JsonMap, Message, PromptItem, Sample
from agora.core.schemas import from_row
from agora.core.tables import Rejects, read_records, read_rows
from agora.curate.rows import mark_of, open_source, read_record_rows

Record = Sample | Conversation
INSTRUCTIONS = "instructions.jsonl"
ANSWERED = "answered.jsonl"


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is to be answered: messages that end with a user's (or tool's) turn."""

    id: str
    messages: tuple[Message, ...]

    def as_chat(self) -> list[dict[str, str]]:
        """Role/content pairs."""
        return [message.as_chat() for message in self.messages]


def read_threads(path: Path, rejects: Rejects, *, limit: int | None = None) -> Iterator[Record]:
    """The kept records of a file; those marked by an earlier step are passed over.

    Args:
        path: samples, conversations, a log in any format of ``agora data import``, or the folder of a run.
        rejects: takes rows that cannot be read.
        limit: records to take at most.

    Raises:
        MissingError: no such file.
        DataError: the file is empty, or its format unknown.
    """
    source = open_source(source_file(path))
    kept = (row.data for row in read_record_rows(source, rejects) if mark_of(row.data) is None)
    for row in islice(kept, limit):
        yield from_row(source.record_type, row)


def source_file(path: Path) -> Path:
    """The file that a path stands for: of a run's folder its answered samples, or the drawn ones if none are."""
    if not path.is_dir():
        return path
    answered = path / ANSWERED
    return answered if answered.exists() else path / INSTRUCTIONS


def read_samples(path: Path, rejects: Path) -> Iterator[Sample]:
    """The samples of a file as they are; of prompts and conversations, samples whose last turn is the user's.

    Args:
        path: a file.
        rejects: file for rows that cannot be read.

    Raises:
        DataError: the file holds neither samples nor prompts.
    """
    if _first_row(path).get("schema") == Sample.SCHEMA:
        yield from read_records(path, Sample)
        return
    for index, prompt in enumerate(read_prompts(path, rejects)):
        yield Sample(
            id=prompt.id,
            run_id="file",
            slice=path.stem,
            index=index,
            seed=0,
            messages=prompt.messages,
            raw_text=prompt.messages[-1].content,
            finish_reason="stop_token",
        )


def main_path(record: Record) -> tuple[Message, ...]:
    """The messages of a record; of a branched conversation the first path."""
    if isinstance(record, Conversation) and not record.is_linear:
        return next(record.paths())
    return record.messages


def read_prompts(path: Path, rejects: Path, *, limit: int | None = None) -> list[Prompt]:
    """What to answer in a file: prompt items as they are, of everything else all up to the last user turn.

    Equal prompts count once; ids are unique.

    Args:
        path: as in :func:`read_threads`, or prompt items.
        rejects: file for rows that cannot be read.
        limit: prompts to take at most.

    Raises:
        DataError: no prompt at all.
    """
    seen: set[str] = set()
    found: dict[str, Prompt] = {}
    with Rejects(rejects) as refused:
        for prompt in _prompts(path, refused):
            words = repr(prompt.as_chat())
            if prompt.messages and words not in seen and prompt.id not in found:
                seen.add(words)
                found[prompt.id] = prompt
            if limit is not None and len(found) == limit:
                break
    if not found:
        raise DataError("no prompt that ends with a user's turn", where=str(path), hint="check the file's format")
    return list(found.values())


def _prompts(path: Path, rejects: Rejects) -> Iterator[Prompt]:
    file = source_file(path)
    if _first_row(file).get("schema") == PromptItem.SCHEMA:
        yield from (Prompt(item.id, item.prompt) for item in read_records(file, PromptItem, rejects=rejects))
        return
    for record in read_threads(file, rejects):
        messages = main_path(record)
        last = max((i for i, m in enumerate(messages) if m.role in ("user", "tool")), default=-1)
        yield Prompt(record.id, tuple(messages[: last + 1]))


def _first_row(path: Path) -> JsonMap:
    return next((row.data for row in islice(read_rows(path, rejects=Rejects()), 1)), {})
