"""Tasks and answers for a page or an export, in our form or in WildBench's."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from agora.core.errors import MissingError
from agora.core.records import Answer
from agora.core.tables import read_rows
from agora.rooms.judge.score import read_answers
from agora.rooms.judge.types import TaskSet
from agora.rooms.judge.wildbench_files import read_model_outputs, read_wildbench_tasks

_SUFFIXES = (".jsonl", ".json", ".parquet", ".zst", ".gz")


def open_tasks(path: Path) -> TaskSet:
    """A benchmark from ``task/1`` rows or from rows of WildBench's dataset.

    Raises:
        MissingError, DataError: as for :func:`agora.core.tables.read_rows`.
    """
    _, first = next(read_rows(path))
    return TaskSet(tuple(read_wildbench_tasks(path))) if "conversation_input" in first else TaskSet.read(path)


def open_answers(paths: Iterable[Path]) -> list[Answer]:
    """Answers from ``answer/1`` rows or from WildBench's model outputs; a folder stands for the files in it.

    Raises:
        MissingError: a path is not there, or a folder holds no file of rows.
        DataError: a row is no answer.
    """
    found: list[Answer] = []
    for path in paths:
        inside = [path]
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix in _SUFFIXES)
            if not inside:
                raise MissingError("the folder holds no answers (.jsonl, .json, .parquet)", where=str(path))
        for file in inside:
            _, first = next(read_rows(file))
            found += read_model_outputs(file) if "generator" in first else read_answers(file)
    return found
