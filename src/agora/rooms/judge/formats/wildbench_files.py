"""WildBench's own files of tasks, read and written, and of model outputs, written (allenai/WildBench on the Hub).

A task row has ``id``, ``session_id``, ``conversation_input``, ``checklist``, ``intent``, ``primary_tag`` and
``secondary_tags``; an output row has ``session_id``, ``chat_history``, ``model_input``, ``output`` (a list of one
text), ``generator``, ``configs`` and ``primary_tag``. Outputs are read
by :mod:`answer_files`, files of judgements by :mod:`judged_files`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agora.core.errors import DataError
from agora.core.records import ROLES, Answer, Message, Provenance, Task
from agora.core.tables import read_rows

if TYPE_CHECKING:
    from agora.rooms.judge.types import TaskSet

LICENCE = "AI2 ImpACT low-risk"
CONVERSATION = "conversation_input"  # the column by which such a file of tasks is known
_OWN_KEY = "agora"  # what a task has and WildBench's columns do not


def read_wildbench_tasks(path: Path) -> Iterator[Task]:
    """Tasks from rows of WildBench's dataset (JSON, JSON Lines or Parquet).

    Raises:
        DataError: a row without ``session_id`` or turns; names file and line.
    """
    for line, row in read_rows(path):
        try:
            yield _task(row)
        except (KeyError, TypeError, AttributeError) as err:
            raise DataError(f"not a row of WildBench's tasks: {err}", where=f"{path}:{line}") from None


def _task(row: dict[str, Any]) -> Task:
    turns = list(row[CONVERSATION])
    for turn in turns:
        if turn["role"] not in ROLES:
            raise DataError(f"task {row.get('session_id')} has a turn of the unknown role {turn['role']!r}")
    messages = tuple(
        Message(turn["role"], turn["content"], id=str(i), parent=str(i - 1) if i else None)
        for i, turn in enumerate(turns)
    )
    own = row.get(_OWN_KEY) or {}
    last = turns[-1]
    references = row.get("references") or {}
    return Task(
        id=row["session_id"],
        benchmark=own.get("benchmark", "WildBench"),
        version=own.get("version", "v2"),
        messages=messages,
        checklist=tuple(row["checklist"] if row.get("checklist") is not None else ()),
        intent=row.get("intent") or "",
        primary_tag=row.get("primary_tag") or "",
        secondary_tags=tuple(row["secondary_tags"] if row.get("secondary_tags") is not None else ()),
        difficulty=own.get("difficulty"),
        reference=own.get("reference") or next((text for text in references.values() if text), None),
        provenance=Provenance(
            own.get("source", "WildBench"),
            own.get("source_id", row["session_id"]),
            licence=own.get("licence", LICENCE),
            language=last.get("language"),
            created=_text(last.get("timestamp")),
        ),
        split=own.get("split", "public"),
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def task_rows(tasks: Iterable[Task]) -> Iterator[dict[str, Any]]:
    """Rows of WildBench's dataset, with what its columns cannot hold under the key ``agora``."""
    for task in tasks:
        source = task.provenance
        yield {
            "id": task.id,
            "session_id": task.id,
            CONVERSATION: [
                {
                    "content": message.content,
                    "language": source.language if source else None,
                    "redacted": False,
                    "role": message.role,
                    "timestamp": source.created if source and message is task.messages[-1] else None,
                    "toxic": False,
                }
                for message in task.messages
            ],
            "references": {"gpt-4": task.reference or ""},
            "length": sum(len(message.content) for message in task.messages),
            "checklist": list(task.checklist),
            "intent": task.intent,
            "appropriate": "yes",
            "primary_tag": task.primary_tag,
            "secondary_tags": list(task.secondary_tags),
            _OWN_KEY: {
                "benchmark": task.benchmark,
                "version": task.version,
                "difficulty": task.difficulty,
                "reference": task.reference,
                "split": task.split,
                **(
                    {"source": source.source, "source_id": source.source_id, "licence": source.licence}
                    if source
                    else {"source": "unknown"}
                ),
            },
        }


def output_rows(answers: Iterable[Answer], tasks: TaskSet | None = None) -> Iterator[dict[str, Any]]:
    """Rows of WildBench's model outputs; without ``tasks`` the conversation's columns are empty."""
    known = tasks.by_id if tasks else {}
    for answer in answers:
        task = known.get(answer.task_id)
        history = [message.content for message in task.messages] if task else []
        yield {
            "session_id": answer.task_id,
            "chat_history": history,
            "model_input": "\n\n".join(history),
            "output": [answer.output],
            "generator": answer.model,
            "configs": answer.params,
            "dataset": task.benchmark if task else "",
            "primary_tag": task.primary_tag if task else "",
        }
