"""Draw the pool of tasks to be rated, and read their conversations from the log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from agora.core.errors import DataError
from agora.core.records import Conversation, Message, Task, stable_id
from agora.core.tables import read_picked
from agora.curate.importers.base import Origin, RowError
from agora.curate.importers.detect import detect_format, format_named
from agora.rooms.judge.mining.distinct import Lost, Split
from agora.rooms.judge.mining.read import Candidate, task_id


def draw_pool(candidates: Sequence[Candidate], size: int, seed: int, reason: str) -> Split:
    """``size`` candidates drawn evenly by a hash of the seed and the task, in the order of the log."""
    if len(candidates) <= size:
        return Split(list(candidates), [])
    drawn = sorted(candidates, key=lambda c: stable_id(seed, c.task))[:size]
    chosen = {(c.line, c.leaf) for c in drawn}
    kept = [c for c in candidates if (c.line, c.leaf) in chosen]
    lost = [Lost(c, reason, {}) for c in candidates if (c.line, c.leaf) not in chosen]
    return Split(kept, lost)


def read_tasks(
    path: Path, candidates: Sequence[Candidate], *, benchmark: str, version: str, format: str = "auto"
) -> Iterator[Task]:
    """The tasks of candidates, in the order of the log, which is read once more.

    Raises:
        DataError: the log was changed meanwhile.
    """
    convert = format_named(detect_format(path).format if format == "auto" else format).convert
    wanted: defaultdict[int, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        wanted[candidate.line].append(candidate)
    found = 0
    for row in read_picked(path, wanted):
        try:
            conversation = convert(row.data, Origin(str(path), row.line))
        except RowError:
            break
        paths = list(conversation.paths())
        for candidate in wanted[row.line]:
            turns = paths[candidate.leaf][: candidate.length] if candidate.leaf < len(paths) else ()
            if task_id(turns) != candidate.task:
                raise DataError("the log has changed since it was read", where=f"{path}:{row.line}", hint="start anew")
            found += 1
            yield _task(conversation, turns, candidate, benchmark, version)
    if found != len(candidates):
        raise DataError("the log has changed since it was read", where=str(path), hint="start anew in another --out")


def _task(
    conversation: Conversation, turns: tuple[Message, ...], candidate: Candidate, benchmark: str, version: str
) -> Task:
    messages = tuple(
        Message(m.role, m.content, id=str(i), parent=str(i - 1) if i else None) for i, m in enumerate(turns)
    )
    meta = {
        "conversation": conversation.id,
        "leaf": candidate.leaf,
        "tokens": candidate.tokens,
        "turns": candidate.turns,
        "flags": list(candidate.flags),
    }
    return Task(
        id=candidate.task,
        benchmark=benchmark,
        version=version,
        messages=messages,
        primary_tag="",  # nobody has looked yet
        provenance=conversation.provenance,
        meta=meta,
    )
