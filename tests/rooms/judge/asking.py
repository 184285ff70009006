"""A small benchmark on disk, and the judge's commands in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from agora.core.errors import AgoraError
from agora.core.tables import write_jsonl
from agora.rooms.judge.commands import app
from tests.rooms.judge.support import make_answer, make_task


class Bench:
    """Tasks and the answers of three models in a folder; ``run`` calls ``agora judge``."""

    def __init__(self, folder: Path, num_tasks: int = 6) -> None:
        self.folder = folder
        self.tasks = [make_task(f"t{i}", f"Add {i} and 3.") for i in range(num_tasks)]
        write_jsonl(folder / "tasks.jsonl", self.tasks)
        for model, pad in (("long", 30), ("mid", 12), ("short", 1)):
            self.write(model, {t.id: f"{model} {t.id} says " + "x" * (pad + i) for i, t in enumerate(self.tasks)})

    def write(self, model: str, outputs: dict[str, Any]) -> Path:
        path = self.folder / "answers" / model / "answers.jsonl"
        write_jsonl(path, [make_answer(task, model, output) for task, output in outputs.items()])
        return path

    def run(self, verb: str, *options: str, answers: str = "answers", out: str = "out", code: int = 0) -> str:
        """Standard output of a command, whose exit code must be ``code``."""
        given = ["--tasks", str(self.folder / "tasks.jsonl"), "--answers", str(self.folder / answers)]
        command = [verb, *given, *options, "--out", str(self.folder / out)]
        result = CliRunner().invoke(app, command)
        if isinstance(result.exception, AgoraError):
            assert result.exception.exit_code == code, result.exception
            assert "\n" not in str(result.exception)
            return str(result.exception)
        assert result.exit_code == code, (result.stdout, result.exception)
        return result.stdout

    def json(self, verb: str, *options: str, **more: Any) -> dict[str, Any]:
        """The one object that ``--json`` prints."""
        found: dict[str, Any] = json.loads(self.run(verb, *options, "--json", **more))
        return found

    def verdicts(self, out: str = "out", kind: str = "score") -> list[dict[str, Any]]:
        """All stored rows of a kind, in the order of the file."""
        (path,) = (self.folder / out / "verdicts").glob(f"*.{kind}.jsonl")
        return [json.loads(line) for line in path.read_text().splitlines()]
