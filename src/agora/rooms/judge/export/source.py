"""What an export is made from, read once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agora.core.errors import UsageError
from agora.core.records import Answer, Verdict
from agora.core.tables import write_jsonl
from agora.rooms.judge.formats.judged_files import judged_paths, read_judged
from agora.rooms.judge.look.texts import answer_texts
from agora.rooms.judge.types import TaskSet


@dataclass(frozen=True)
class ExportSource:
    """Tasks, answers and verdicts to export.

    Args:
        tasks: the benchmark, private tasks left out unless they were asked for.
        texts: answers' texts by task and model.
        verdicts: with the evaluation's version, "" where there is none.
        num_private: private tasks that were left out, with all that belongs to them.
    """

    tasks: TaskSet | None
    answers: tuple[Answer, ...] = ()
    verdicts: tuple[tuple[str, Verdict], ...] = ()
    texts: dict[str, dict[str, str]] = field(default_factory=dict)
    num_private: int = 0

    @classmethod
    def read(
        cls,
        files: Sequence[Path],
        *,
        tasks: TaskSet | None = None,
        answers: Iterable[Answer] = (),
        judge: str | None = None,
        baseline: str | None = None,
        include_private: bool = False,
    ) -> ExportSource:
        """Read verdict files and leave private tasks out."""
        private = {task.id for task in tasks or () if task.split == "private" and not include_private}
        given = [a for a in answers if a.task_id not in private]
        read = [read_judged(path, judge=judge, baseline=baseline, texts=True) for path in judged_paths(files)]
        verdicts = tuple((file.version, v) for file in read for v in file.verdicts if v.task_id not in private)
        texts = {id_: of_task for id_, of_task in answer_texts(given, read).items() if id_ not in private}
        shown = TaskSet(tuple(task for task in tasks if task.id not in private)) if tasks else None
        return cls(shown, tuple(given), verdicts, texts, len(private))

    def need_tasks(self, to: str) -> TaskSet:
        """The tasks.

        Raises:
            UsageError: there are none.
        """
        if not self.tasks:
            raise UsageError(f"an export to {to} needs the benchmark's tasks", hint="give --tasks FILE")
        return self.tasks


def file_name(name: str) -> str:
    """A name as part of a file name: letters, digits, dots and dashes."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "unnamed"


def write_tasks(path: Path, tasks: TaskSet) -> Path:
    """The tasks as ``task/1`` rows."""
    write_jsonl(path, list(tasks))
    return path
