"""Benchmark tasks that no training set may hold: found again whole, by a shared run of words, or as a near-duplicate.

Tasks themselves are looked for in all three ways. A reserved list holds hashes alone, so that it can be given away
without the tasks; it finds what is equal but for case and spaces.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple

from agora.core.errors import DataError
from agora.core.records import Conversation, Task
from agora.core.tables import read_records, read_rows
from agora.curate.contamination.ngrams import RUN_WORDS, NgramIndex
from agora.curate.duplicates import OnlineDuplicates
from agora.curate.text import normalize, words

#: Files or folders whose tasks every export of training data refuses, separated as in PATH.
VARIABLE = "AGORA_RESERVED"
NEAR_JACCARD = 0.6
_MIN_WORDS = 8  # an earlier turn of fewer words is small talk; the last request counts whatever its length
_BATCH_ROWS = 512
_SHOWN_CHARS = 120
_MAX_DEPTH = 12

Kind = Literal["exact", "ngram", "near"]


@dataclass(frozen=True, slots=True)
class ReservedTask:
    """A task that is kept out of training, by hashes of its user turns in normal form."""

    SCHEMA: ClassVar[str] = "reserved_task/1"
    task_id: str
    benchmark: str
    split: str
    hashes: tuple[str, ...]


class Leak(NamedTuple):
    """A text of a training row that meets a reserved task.

    ``shared`` is the text or the first shared run of words, ``similarity`` the Jaccard similarity of character 5-grams
    (1 for equal texts, None for a shared run). A private task's words are not shown.
    """

    where: str
    field: str
    task: str
    kind: Kind
    shared: str
    similarity: float | None


def user_turns(task: Task) -> list[str]:
    """The texts of a task that nobody may train on: its last request, and earlier ones of some length."""
    *earlier, last = [m.content for m in task.messages if m.role == "user"] or [""]
    return [text for text in earlier if len(words(text)) >= _MIN_WORDS] + [last]


def text_hash(text: str) -> str:
    """32 hex digits of BLAKE2b over the text in normal form: equal but for case and spaces, equal hash."""
    return blake2b(normalize(text).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def reserve(task: Task, *, name: str | None = None) -> ReservedTask:
    """A task as a row of a reserved list; ``name`` is the benchmark's, the task's own by default."""
    hashes = tuple(dict.fromkeys(text_hash(text) for text in user_turns(task)))
    return ReservedTask(task.id, name or task.benchmark, task.split, hashes)


class LeakGate:
    """Reserved tasks, ready to be met.

    Args:
        n: words in a run that may not be shared.
        near: least Jaccard similarity of character 5-grams at which a text counts as a task in other words, 0.5 to 1.
    """

    def __init__(self, *, n: int = RUN_WORDS, near: float = NEAR_JACCARD) -> None:
        self._runs = NgramIndex(n)
        self._near = OnlineDuplicates(near)
        self._hashes: dict[str, str] = {}
        self._private: set[str] = set()
        self._ids: set[str] = set()

    @property
    def num_tasks(self) -> int:
        """How many tasks are reserved."""
        return len(self._ids)

    def add(self, task: Task) -> None:
        """Reserve a task in its own words."""
        self._ids.add(task.id)
        if task.split == "private":
            self._private.add(task.id)
        for text in user_turns(task):
            if not text.strip():
                continue
            self._runs.add(text, task.id)
            self._near.add(task.id, text)
            self._hashes.setdefault(text_hash(text), task.id)

    def add_hashes(self, reserved: ReservedTask) -> None:
        """Reserve a task by its hashes."""
        self._ids.add(reserved.task_id)
        for value in reserved.hashes:
            self._hashes.setdefault(value, reserved.task_id)

    def add_path(self, path: Path) -> None:
        """Reserve the tasks of a frozen task set, a mining's folder, a file of tasks, or a reserved list.

        Raises:
            MissingError: no such file.
            DataError: it holds neither tasks nor reserved ones.
        """
        files = _files_of(Path(path))
        for file in files:
            first = next(iter(islice(read_rows(file), 1)), None) if file.stat().st_size else None
            if first is None:
                continue
            if first.data.get("schema") == ReservedTask.SCHEMA:
                for reserved in read_records(file, ReservedTask):
                    self.add_hashes(reserved)
            elif first.data.get("schema") == Task.SCHEMA:
                for task in read_records(file, Task):
                    self.add(task)
            else:
                hint = "name a frozen task set, a file of tasks, or its reserved.jsonl"
                raise DataError("neither tasks nor a reserved list", where=str(file), hint=hint)

    def check(self, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterator[Leak]:
        """What training rows share with the reserved tasks: at most one leak a text and task.

        Args:
            rows: where a row is from, and its fields; every text in it is looked at, however deep.
        """
        texts = ((where, field, text) for where, row in rows for field, text in _texts(row))
        while batch := list(islice(texts, _BATCH_ROWS)):
            overlaps = self._runs.meet_each(text for _, _, text in batch)
            for (where, field, text), met in zip(batch, overlaps, strict=True):
                yield from self._leaks(where, field, text, {o.test: o.shared for o in met if o.kind == "ngram"})

    def _leaks(self, where: str, field: str, text: str, runs: Mapping[str, str]) -> Iterator[Leak]:
        exact = self._hashes.get(text_hash(text))
        if exact is not None:
            yield self._leak(where, field, exact, "exact", text, 1.0)
        near = self._near.find(text) if len(self._near) else None
        if near is not None and near.id != exact:
            yield self._leak(where, field, near.id, "near", text, near.similarity)
        for task, shared in runs.items():
            if task != exact and (near is None or task != near.id):
                yield self._leak(where, field, task, "ngram", shared, None)

    def _leak(self, where: str, field: str, task: str, kind: Kind, text: str, similarity: float | None) -> Leak:
        shown = "(private)" if task in self._private else " ".join(text.split())[:_SHOWN_CHARS]
        return Leak(where, field, task, kind, shown, None if similarity is None else round(similarity, 4))


def _files_of(path: Path) -> list[Path]:
    """The files of tasks in a folder, or the file itself."""
    from agora.core.files import missing

    if not path.exists():
        raise missing(path)
    if not path.is_dir():
        return [path]
    frozen = (path / "taskset.json").exists()
    names = ["public.jsonl", "private.jsonl", "reserved.jsonl"] if frozen else ["tasks.jsonl"]
    found = [path / name for name in names if (path / name).exists()]
    if not found:
        raise missing(path / names[0])
    return found


def _texts(value: Any, field: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """The texts of a row with the names of their fields."""
    if isinstance(value, str):
        if value.strip():
            yield field, value
    elif depth < _MAX_DEPTH and isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _texts(inner, f"{field}.{name}" if field else str(name), depth + 1)
    elif depth < _MAX_DEPTH and isinstance(value, list | tuple):
        for i, inner in enumerate(value):
            yield from _texts(inner, f"{field}[{i}]", depth + 1)


def check_file(path: Path, gate: LeakGate) -> Iterator[Leak]:
    """The leaks of a training file of any format that our readers know, each with ``FILE:LINE``.

    Raises:
        MissingError: no such file.
        DataError: a row that cannot be read; what cannot be read cannot be cleared.
    """
    return gate.check((f"{path}:{row.line}", row.data) for row in read_rows(path))


def open_gate(paths: Sequence[Path] = ()) -> LeakGate | None:
    """The gate for the given paths and those that ``AGORA_RESERVED`` names; None when there are none."""
    named = [Path(part) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    if not [*paths, *named]:
        return None
    gate = LeakGate()
    for path in [*paths, *named]:
        gate.add_path(path)
    return gate


def refuse_reserved(texts: Iterable[tuple[str, Sequence[str]]], *, what: str) -> None:
    """Stop at the first training row that holds a task which ``AGORA_RESERVED`` names; do nothing without it.

    Args:
        texts: where a row is from, and its texts.
        what: the name of the training set, for the error.

    Raises:
        DataError: names the row and the task; ``agora judge leak`` lists all.
    """
    gate = open_gate()
    if gate is None:
        return
    first = next(gate.check((where, {"": list(found)}) for where, found in texts), None)
    if first is not None:
        what = f"{what} holds the reserved task {first.task} ({first.kind})"
        raise DataError(
            what, where=first.where, hint="take it out; agora judge leak --tasks SET FILE lists all of them"
        )


def without_reserved(
    conversations: Iterable[Conversation], left_out: Counter[str], *, gate: LeakGate | None = None
) -> Iterator[Conversation]:
    """The conversations whose user turns hold no reserved task; the others are counted in ``left_out``.

    Args:
        gate: the reserved tasks; those that ``AGORA_RESERVED`` names when None.
    """
    gate = gate or open_gate()
    if gate is None:
        yield from conversations
        return
    rows = iter(conversations)
    while batch := list(islice(rows, _BATCH_ROWS)):
        said = ((str(i), {"": [m.content for m in c.messages if m.role == "user"]}) for i, c in enumerate(batch))
        taken = {leak.where for leak in gate.check(said)}
        left_out["reserved for a benchmark"] += len(taken)
        yield from (conversation for i, conversation in enumerate(batch) if str(i) not in taken)
