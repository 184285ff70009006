"""What there is to read behind a leaderboard, packed so that a page of tens of megabytes opens at once.

Tasks are packed in blocks of a few, each compressed; the page unpacks a block when one of its tasks is opened, and all
of them for a search in the texts.
"""

from __future__ import annotations

import base64
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agora.core.errors import DataError
from agora.core.json_text import dumps
from agora.core.records import Answer, Task, Verdict
from agora.rooms.judge.formats.judged_files import JudgedFile
from agora.rooms.judge.types import text_of

_BLOCK_BYTES = 300_000  # unpacks in a few milliseconds; smaller blocks compress worse
_NOT_REASONS = ("score", "choice", "verdict_id")


@dataclass(frozen=True, slots=True)
class TextPack:
    """Packed texts.

    Args:
        blocks: base64 of zlib of a JSON list, one object a task.
        first: position of the first task of each block.
        num_bytes: of the JSON before compression.
        num_answers: answers that can be read.
        num_private: tasks whose texts are left out.
        num_other_text: answers whose length differs from what a judge saw.
    """

    blocks: tuple[str, ...]
    first: tuple[int, ...]
    num_bytes: int
    num_answers: int
    num_private: int
    num_other_text: int

    def describe(self) -> dict[str, Any]:
        """What the page needs to know to find a task's texts."""
        return {"first": self.first, "bytes": self.num_bytes, "answers": self.num_answers}


def pack_texts(
    task_ids: Sequence[str],
    tasks: Mapping[str, Task],
    models: Sequence[str],
    verdicts: Iterable[tuple[int, Verdict]],
    judged: Iterable[JudgedFile],
    answers: Iterable[Answer],
    *,
    include_private: bool = False,
) -> TextPack:
    """Pack conversations, checklists, answers and judges' reasons.

    Args:
        task_ids: all tasks, in the page's order.
        models: names, in the page's order.
        verdicts: with the position of their table.
        judged: judged files read with their texts; ``answers`` come before theirs.
        include_private: whether texts of private tasks are packed.

    Raises:
        DataError: two different answers of one model to one task among ``answers``.
    """
    model_at = {name: i for i, name in enumerate(models)}
    said = {
        id_: {str(model_at[model]): text for model, text in of_task.items() if model in model_at}
        for id_, of_task in answer_texts(answers, judged).items()
    }
    reasons: dict[str, list[tuple[int, Verdict]]] = defaultdict(list)
    for table, verdict in verdicts:
        reasons[verdict.task_id].append((table, verdict))
    blocks: list[str] = []
    first: list[int] = []
    block: list[bytes] = []
    num_bytes = size = private = other = 0
    for at, id_ in enumerate(task_ids):
        task = tasks.get(id_)
        hidden = task is not None and task.split == "private" and not include_private
        private += hidden
        of_task = {} if hidden else said.get(id_, {})
        rows = [_reason(table, v, model_at[v.model], of_task, hidden) for table, v in reasons.get(id_, ())]
        other += len({row["m"] for row in rows if row.get("other")})
        packed = dumps({**_task(task, hidden), "answers": of_task, "verdicts": rows})
        if not block:
            first.append(at)
        block.append(packed)
        size += len(packed)
        if size >= _BLOCK_BYTES or at == len(task_ids) - 1:
            blocks.append(base64.b64encode(zlib.compress(b"[" + b",".join(block) + b"]", 6)).decode("ascii"))
            num_bytes, block, size = num_bytes + size, [], 0
    num_answers = sum(len(of_task) for of_task in said.values())
    return TextPack(tuple(blocks), tuple(first), num_bytes, num_answers, private, other)


def answer_texts(answers: Iterable[Answer], judged: Iterable[JudgedFile]) -> dict[str, dict[str, str]]:
    """What models said, by task and model: from answers and, where those are silent, from judged files.

    Of several judged files the longest text counts, since some judges saw a cut one.

    Raises:
        DataError: two different answers of one model to one task among ``answers``.
    """
    given: dict[str, dict[str, str]] = defaultdict(dict)
    for answer in answers:
        text = text_of(answer)
        if given[answer.task_id].setdefault(answer.model, text) != text:
            raise DataError(
                f"two different answers of {answer.model} to task {answer.task_id}", hint="give one file of answers"
            )
    seen: dict[str, dict[str, str]] = defaultdict(dict)
    for file in judged:
        for task_id, model, text in file.texts:
            if len(text) >= len(seen[task_id].get(model, "")):
                seen[task_id][model] = text
    return {id_: {**seen.get(id_, {}), **given.get(id_, {})} for id_ in {**seen, **given}}


def _task(task: Task | None, hidden: bool) -> dict[str, Any]:
    if task is None:
        return {}
    about: dict[str, Any] = {"split": task.split, "tags": [task.primary_tag, *task.secondary_tags]}
    if task.difficulty:
        about["difficulty"] = task.difficulty
    if hidden:
        return about
    return {
        **about,
        "messages": [[message.role, message.content] for message in task.messages],
        "checklist": task.checklist,
        "intent": task.intent,
        "reference": task.reference,
    }


def _reason(table: int, verdict: Verdict, model: int, answers: Mapping[str, str], hidden: bool) -> dict[str, Any]:
    """What a judge said, without the value, which the page has already."""
    row: dict[str, Any] = {"t": table, "m": model}
    if verdict.kind == "pair":
        row |= {"b": verdict.baseline, "second": verdict.order == "candidate_second", "value": verdict.value}
    if verdict.kind == "checklist":
        row |= {"k": "checklist", "value": verdict.value}
    if verdict.status != "ok":
        row["status"] = verdict.status
    text = answers.get(str(model))
    if verdict.n_chars is not None and text is not None and verdict.n_chars != len(text):
        row["other"] = verdict.n_chars
    if hidden:
        return row
    said = {
        name: value for name, value in verdict.parsed.items() if name not in _NOT_REASONS and value not in ("", None)
    }
    if said:
        row["said"] = said
    if verdict.raw_text and (verdict.status != "ok" or not said):
        row["raw"] = verdict.raw_text
    if "skipped" in verdict.meta:
        row["skipped"] = verdict.meta["skipped"]
    return row
