"""Tasks for other evaluation tools: a folder for lm-evaluation-harness, a file for inspect_ai.

Both hold the tasks and grade with our prompt and parser, so that a model evaluated there has the same WB-Score as here.
"""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

from agora.core.files import write_bytes
from agora.rooms.judge.export.source import ExportSource, write_tasks
from agora.rooms.judge.types import TaskSet

MAX_TOKENS = 4096  # of an answer (the reference's generation settings)


def export_lm_eval(
    source: ExportSource, out: Path, *, name: str = "", judge: str | None = None
) -> tuple[list[Path], list[str]]:
    """Write a task folder for lm-evaluation-harness: ``NAME.yaml``, ``utils.py``, ``tasks.jsonl``.

    Args:
        name: of the task there; made from the benchmark's when empty.
        judge: who grades; the microcosm's checker when None.
    """
    tasks = source.need_tasks("lm-eval")
    known = _values(tasks, name, judge or "microcosm:checker", folder=str(out))
    path = out / f"{known['name']}.yaml"
    write_bytes(path, _fill("task.yaml.txt", known))
    write_bytes(out / "utils.py", _fill("utils.py.txt", known))
    notes = [
        f"run it: lm_eval run --model hf --model_args pretrained=MODEL --include_path {out} --tasks {known['name']}"
    ]
    if any(len(task.messages) > 1 for task in tasks):
        notes.append("the harness sends one user message: earlier turns of a conversation stand in it as text")
    return [path, out / "utils.py", write_tasks(out / "tasks.jsonl", tasks)], notes


def export_inspect(
    source: ExportSource, out: Path, *, name: str = "", judge: str | None = None
) -> tuple[list[Path], list[str]]:
    """Write a task for inspect_ai: ``NAME.py`` and ``tasks.jsonl``.

    Args:
        name: of the task there; made from the benchmark's when empty.
        judge: who grades, opened by Agora; the model in inspect_ai's role ``grader`` when None.
    """
    tasks = source.need_tasks("inspect")
    known = _values(tasks, name, judge)
    path = out / f"{known['name']}.py"
    write_bytes(path, _fill("inspect_task.py.txt", {**known, "file": path.name}))
    grader = "" if judge else " --model-role grader=JUDGE"
    notes = [f"run it: inspect eval {path} --model MODEL{grader}"]
    return [path, write_tasks(out / "tasks.jsonl", tasks)], notes


def _values(tasks: TaskSet, name: str, judge: str | None, **more: str) -> dict[str, Any]:
    first = tasks.tasks[0]
    plain = re.sub(r"\W+", "_", name or f"agora_{first.benchmark}").strip("_").lower()
    return {
        "name": plain if plain.isidentifier() else f"agora_{plain}",
        "benchmark": " ".join(first.benchmark.split()) or "a benchmark",
        "version": first.version or "1",
        "count": f"{len(tasks):,}",
        "judge": judge,
        "max_tokens": MAX_TOKENS,
        **more,
    }


def _fill(template: str, values: dict[str, Any]) -> bytes:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    # a Python and YAML literal alike: nothing in a name can leave its quotes
    environment.filters["tojson"] = lambda value: "None" if value is None else json.dumps(value, ensure_ascii=True)
    # in a comment or a docstring: nothing that could end it
    environment.filters["shown"] = lambda value: re.sub(r"[^\w .,:;/#@+()-]+", " ", str(value))
    text = (files(__package__) / "templates" / template).read_text(encoding="utf-8")
    return environment.from_string(text).render(values).encode("utf-8")
