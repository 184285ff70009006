"""Models' answers, ours and other people's, read into the one record and matched to tasks by id or by text.

Rows are never matched by position: a reordered file must not change what belongs together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from agora.core.errors import DataError, MissingError
from agora.core.records import Answer
from agora.core.schemas import from_row
from agora.core.tables import read_rows
from agora.rooms.judge.types import TaskSet

ANSWERS = "answers.jsonl"
_SUFFIXES = (".jsonl", ".json", ".parquet")
_IDS, _MODELS, _OUTPUTS = (
    ("task_id", "session_id", "id"),
    ("model", "generator", "model_test"),
    ("output", "model_output"),
)


def read_answers(path: Path, tasks: TaskSet | None = None, *, model: str | None = None) -> list[Answer]:
    """Read a file of answers; an output that is null or no text is an empty answer, which is judged as one.

    Known forms: ``answer/1`` rows; WildBench's outputs (``session_id``, ``generator``, ``output`` as a list of one
    text); judged files (the answers beside the verdicts); AlpacaEval's outputs (``instruction``, ``generator``,
    ``output``), matched to the task with that request; rows of ``agora generate`` (``id``, ``output``).

    Args:
        path: JSON Lines, JSON or Parquet, plain or compressed.
        tasks: needed to match answers that name no id.
        model: whose answers they are, where the rows do not say; it takes the place of what they say.

    Raises:
        MissingError: no such file.
        DataError: a row that is no answer; names file and line.
    """
    by_text = _requests(tasks) if tasks is not None else {}
    answers = []
    for line, row in read_rows(Path(path)):
        try:
            answers.append(_answer(row, by_text, model))
        except DataError as err:
            raise DataError(err.what, where=f"{path}:{line}", hint=err.hint) from None
    return answers


def read_answer_files(paths: Iterable[Path], tasks: TaskSet | None = None) -> list[Answer]:
    """The answers of files and folders; of a folder, the ``answers.jsonl`` in and below it, else the files in it.

    Raises:
        MissingError: a path does not exist, or a folder holds no answers.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if not path.is_dir():
            files.append(path)
            continue
        inside = sorted(path.rglob(ANSWERS)) or sorted(
            p for p in path.iterdir() if p.is_file() and {p.suffix, p.with_suffix("").suffix} & set(_SUFFIXES)
        )
        if not inside:
            raise MissingError("the folder holds no answers", where=str(path), hint="make some: agora judge answer")
        files.extend(inside)
    return [answer for path in dict.fromkeys(files) for answer in read_answers(path, tasks)]


def baseline_answers(names: Iterable[str], answers: list[Answer], tasks: TaskSet | None = None) -> list[Answer]:
    """The answers of the baselines, each a model among the answers or a file or folder of its own answers.

    Raises:
        MissingError: neither; names the models there are.
    """
    models = {answer.model for answer in answers}
    found: list[Answer] = []
    for name in dict.fromkeys(names):
        if name in models:
            found += [answer for answer in answers if answer.model == name]
        elif Path(name).exists():
            found += read_answer_files([Path(name)], tasks)
        else:
            hint = f"the answers are by {', '.join(sorted(models))}"
            raise MissingError(f"{name!r} is neither a model among the answers nor a file", hint=hint)
    return found


def _requests(tasks: TaskSet) -> dict[str, str | None]:
    """Task id by the text of the last user turn; None where two tasks ask the same."""
    found: dict[str, str | None] = {}
    for task in tasks:
        text = task.messages[-1].content if task.messages else ""
        found[text] = None if text in found else task.id
    return found


def _answer(row: Mapping[str, Any], by_text: Mapping[str, str | None], model: str | None) -> Answer:
    output = next((row[key] for key in _OUTPUTS if key in row), None)
    if "session_id" in row and isinstance(output, list) and len(output) == 1:
        output = output[0]
    text = output if isinstance(output, str) else ""
    if row.get("schema") == Answer.SCHEMA or "task_id" in row:
        return from_row(Answer, {**row, "output": text, **({"model": model} if model else {})})
    if not any(key in row for key in _OUTPUTS):
        raise DataError(f"not an answer: a row has the keys {', '.join(sorted(row)[:6])}", hint=_HINT)
    made = row.get("generation") if isinstance(row.get("generation"), dict) else {}
    who = model or next((row[key] for key in _MODELS if row.get(key)), None) or (made or {}).get("model")
    if not isinstance(who, str):
        raise DataError("the row does not say whose answer it is", hint="name the model with --name")
    return Answer(_task_id(row, by_text), who, text, params=_params(row))


_HINT = "expected task_id, model and output; or session_id, generator and output; or instruction and output"


def _task_id(row: Mapping[str, Any], by_text: Mapping[str, str | None]) -> str:
    for key in _IDS:
        if isinstance(row.get(key), str):
            return str(row[key])
    request = row.get("instruction")
    if not isinstance(request, str):
        raise DataError("the row names no task", hint=_HINT)
    if request not in by_text:
        raise DataError(f"no task asks {request[:60]!r}", hint="are the answers to another benchmark?")
    found = by_text[request]
    if found is None:
        raise DataError(f"two tasks ask {request[:60]!r}", hint="give the answers task ids")
    return found


def _params(row: Mapping[str, Any]) -> dict[str, Any]:
    configs = row.get("configs")
    return dict(configs) if isinstance(configs, dict) else {}
