"""Files that trainings read: conversations, preference pairs and prompts, in any format that Agora knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from agora.core.errors import DataError
from agora.core.records import Message, PreferencePair, PromptItem, Sample, Task
from agora.core.tables import Rejects, read_records, read_rows

Turns = tuple[Message, ...]


def read_conversations(path: Path, *, rejects: Rejects) -> list[tuple[str, Turns]]:
    """(id, messages) of every conversation to learn from.

    Takes Agora's samples, the chosen side of Agora's preference pairs, and every format of ``agora data import``; where
    a conversation branches, each path is one row.

    Raises:
        DataError: the file holds no conversation.
    """
    from agora.curate.importers import import_conversations

    schema = _schema_of(path)
    if schema == Sample.SCHEMA:
        rows = read_records(path, Sample, rejects=rejects)
        found = [(sample.id, sample.messages) for sample in rows if sample.kept and sample.answer]
    elif schema == PreferencePair.SCHEMA:
        found = [
            (pair.id, (*pair.prompt, *pair.chosen)) for pair in read_records(path, PreferencePair, rejects=rejects)
        ]
    else:
        found = [
            (conversation.id if conversation.is_linear else f"{conversation.id}/{i}", _to_last_answer(messages))
            for conversation in import_conversations(path, rejects=rejects)
            for i, messages in enumerate(conversation.paths())
        ]
    found = [(id_, messages) for id_, messages in found if messages]
    if not found:
        raise DataError("no conversation with an assistant's turn", where=str(path), hint="check the file's format")
    _refuse_reserved(path, found)
    return found


def read_prompts(path: Path, *, rejects: Rejects) -> list[tuple[str, Turns]]:
    """(id, messages) of every prompt, each ending with a user's (or tool's) turn; repeated prompts count once.

    Takes prompt items, tasks, samples, preference pairs (any format of ``agora preferences data``) and conversations.

    Raises:
        DataError: the file holds no prompt.
    """
    found = list(_prompts(path, rejects))
    seen: set[tuple[tuple[str, str], ...]] = set()
    kept = []
    for id_, messages in found:
        key = tuple((m.role, m.content) for m in messages)
        if messages and messages[-1].role in ("user", "tool") and key not in seen:
            seen.add(key)
            kept.append((id_, messages))
    if not kept:
        raise DataError("no prompt that ends with a user's turn", where=str(path), hint="check the file's format")
    _refuse_reserved(path, kept)
    return kept


def read_training_pairs(path: Path, *, format: str = "auto", rejects: Rejects) -> list[PreferencePair]:
    """Preference pairs of a file in any known format.

    Raises:
        DataError: the file holds no pair.
    """
    from agora.curate.pairs import read_pairs

    pairs = list(read_pairs(path, format=format, rejects=rejects))
    if not pairs:
        raise DataError("no preference pair", where=str(path), hint="see `agora preferences data --help` for formats")
    _refuse_reserved(path, [(pair.id, (*pair.prompt, *pair.chosen, *pair.rejected)) for pair in pairs])
    return pairs


def _refuse_reserved(path: Path, rows: Sequence[tuple[str, Turns]]) -> None:
    """Stop before training on a benchmark task that ``AGORA_RESERVED`` names."""
    from agora.curate.contamination.reserved import refuse_reserved

    texts = ((f"{path}, row {id_}", [m.content for m in messages]) for id_, messages in rows)
    refuse_reserved(texts, what="the training data")


def _prompts(path: Path, rejects: Rejects) -> Iterator[tuple[str, Turns]]:
    schema = _schema_of(path)
    if schema == PromptItem.SCHEMA:
        yield from ((item.id, item.prompt) for item in read_records(path, PromptItem, rejects=rejects))
    elif schema == Task.SCHEMA:
        yield from ((task.id, task.messages) for task in read_records(path, Task, rejects=rejects))
    elif schema == Sample.SCHEMA:
        yield from (
            (s.id, (Message("user", s.instruction),))
            for s in read_records(path, Sample, rejects=rejects)
            if s.instruction
        )
    elif schema == PreferencePair.SCHEMA:
        yield from ((pair.id, pair.prompt) for pair in read_records(path, PreferencePair, rejects=rejects))
    elif _looks_like_pairs(path):
        yield from ((pair.id, pair.prompt) for pair in read_training_pairs(path, rejects=rejects))
    else:
        from agora.curate.importers import import_conversations

        for conversation in import_conversations(path, rejects=rejects):
            first = next(conversation.paths())
            yield conversation.id, _to_first_question(first)


def _schema_of(path: Path) -> str | None:
    first = next(iter(read_rows(path, limit=1)), None)
    name = first.data.get("schema") if first else None
    return str(name) if name else None


def _looks_like_pairs(path: Path) -> bool:
    first = next(iter(read_rows(path, limit=1)), None)
    return first is not None and {"chosen", "rejected"} <= set(first.data)


def _to_last_answer(messages: Sequence[Message]) -> Turns:
    """Up to the last assistant turn; empty when there is none."""
    last = max((i for i, m in enumerate(messages) if m.role == "assistant"), default=-1)
    return tuple(messages[: last + 1])


def _to_first_question(messages: Sequence[Message]) -> Turns:
    first = next((i for i, m in enumerate(messages) if m.role == "user"), -1)
    return tuple(messages[: first + 1])
