"""WildBench's own files: task rows, model outputs, judged scores and pairs. What is written here is read back.

tasks.jsonl, model_outputs/MODEL.json, judged/JUDGE.VERSION/MODEL.json and MODEL.vs.BASELINE.json
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from agora.core.errors import UsageError
from agora.core.records import Answer, Verdict
from agora.core.tables import write_json, write_jsonl
from agora.rooms.judge.export.source import ExportSource, file_name
from agora.rooms.judge.formats.wildbench_files import output_rows, task_rows
from agora.rooms.judge.types import TaskSet


def export_wildbench(source: ExportSource, out: Path) -> tuple[list[Path], list[str]]:
    """Write WildBench's files; returns their paths and what a reader should know.

    Raises:
        UsageError: the answer to a judged task is not known.
    """
    written, notes = [], []
    if source.tasks:
        write_jsonl(out / "tasks.jsonl", task_rows(source.tasks))
        written.append(out / "tasks.jsonl")
    written += _write_outputs(source, out / "model_outputs")
    files: dict[Path, list[dict[str, Any]]] = defaultdict(list)
    left_out = []
    for version, v in source.verdicts:
        folder = out / "judged" / file_name(f"{v.judge}.{version}" if version else v.judge)
        if v.kind == "score":
            files[folder / f"{file_name(v.model)}.json"].append(_score_row(v, version, source))
        elif v.kind == "pair" and v.status == "ok":
            name = f"{file_name(v.model)}.vs.{file_name(v.baseline or '')}.json"
            files[folder / name].append(_pair_row(v, version, source))
        else:
            left_out.append({"task_id": v.task_id, "model": v.model, "kind": v.kind, "status": v.status})
    for path, rows in sorted(files.items()):
        write_json(path, rows)
        written.append(path)
    if left_out:
        write_jsonl(out / "left_out.jsonl", left_out)
        notes.append(f"{len(left_out):,} verdicts have no place in these files: {out / 'left_out.jsonl'}")
    return written, notes


def _write_outputs(source: ExportSource, folder: Path) -> list[Path]:
    known = {(a.task_id, a.model): a for a in source.answers}
    order = source.tasks.position if source.tasks else {}
    by_model: dict[str, list[Answer]] = defaultdict(list)
    for task_id, of_task in source.texts.items():
        for model, text in of_task.items():
            by_model[model].append(known.get((task_id, model)) or Answer(task_id, model, text))
    written = []
    for model, answers in sorted(by_model.items()):
        answers.sort(key=lambda a: (order.get(a.task_id, len(order)), a.task_id))
        path = folder / f"{file_name(model)}.json"
        write_json(path, list(output_rows(answers, source.tasks or TaskSet(()))))
        written.append(path)
    return written


def _text(source: ExportSource, task: str, model: str) -> str:
    found = source.texts.get(task, {}).get(model)
    if found is None:
        raise UsageError(f"the answer of {model} to task {task} is not known", hint="give --answers FILE")
    return found


def _meta(v: Verdict) -> dict[str, Any]:
    return {"batch_req_id": v.id, "usage": v.usage, "error": v.parsed.get("error")}


def _score_row(v: Verdict, version: str, source: ExportSource) -> dict[str, Any]:
    value = None if v.value is None else f"{v.value:g}"
    return {
        "session_id": v.task_id,
        "parsed_result": {**v.parsed, "score": value} if value is not None else v.parsed,
        "meta_data": _meta(v),
        "model_test": v.model,
        "score": value,
        "model_output": _text(source, v.task_id, v.model),
        "judge": v.judge,
        "version": version,
        **({"status": v.status} if v.status != "ok" else {}),
    }


_EXTENT = {0.0: 0, 0.5: 1, 1.0: 2}


def _pair_row(v: Verdict, version: str, source: ExportSource) -> dict[str, Any]:
    assert v.value is not None and v.baseline is not None
    first, second = (v.model, v.baseline) if v.order != "candidate_second" else (v.baseline, v.model)
    return {
        "session_id": v.task_id,
        "parsed_result": v.parsed,
        "meta_data": _meta(v),
        "model_A": first,
        "model_B": second,
        "winner": "tie" if v.value == 0 else v.model if v.value > 0 else v.baseline,
        "extent": _EXTENT[abs(v.value)],
        "model_outputs": {name: _text(source, v.task_id, name) for name in (v.model, v.baseline)},
        "judge": v.judge,
        "version": version,
        "baseline": v.baseline,
    }
