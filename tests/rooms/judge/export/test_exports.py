"""Exports: what is written in another tool's form means the same there, and is read back."""

from __future__ import annotations

import ast
import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from agora.core.errors import AgoraError, UsageError
from agora.core.records import Verdict
from agora.core.tables import read_rows, write_jsonl
from agora.rooms.judge import leaderboard
from agora.rooms.judge.asking.answer_files import read_answer_files
from agora.rooms.judge.commands import app
from agora.rooms.judge.export import export
from agora.rooms.judge.export.csv_files import safe_cell
from agora.rooms.judge.formats.judged_files import judged_paths, read_judged
from agora.rooms.judge.types import TaskSet
from tests.rooms.judge.look.sample import Sample, make_sample
from tests.rooms.judge.support import make_score, make_task

run = CliRunner().invoke


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return make_sample(tmp_path_factory.mktemp("sample"), n=16)


def given_files(sample: Sample) -> dict[str, Any]:
    return {"tasks": TaskSet.read(sample.tasks), "answers": read_answer_files([sample.answers])}


def key(v: Verdict) -> tuple[object, ...]:
    return (v.judge, v.kind, v.task_id, v.model, v.baseline or "", v.order or "")


def meaning(v: Verdict) -> tuple[object, ...]:
    usage = {name: v.usage.get(name) for name in ("prompt_tokens", "completion_tokens")}
    reasons = {name: text for name, text in v.parsed.items() if name not in ("score", "reason")}
    return (v.status, v.value, v.n_chars, v.baseline_n_chars, usage, reasons)


def test_wildbenchs_files_hold_every_verdict_and_are_read_back(sample: Sample, tmp_path: Path) -> None:
    done = export("wildbench", tmp_path, [sample.folder], include_private=True, **given_files(sample))
    back = {key(v): v for path in judged_paths([tmp_path / "judged"]) for v in read_judged(path).verdicts}
    assert len(back) == len(sample.verdicts)
    for v in sample.verdicts:
        assert meaning(back[key(v)]) == meaning(v), key(v)
    assert sorted(TaskSet.read(tmp_path / "tasks.jsonl").by_id) == sorted(t.id for t in sample.task_list)
    texts = {(a.task_id, a.model): a.output for a in read_answer_files([tmp_path / "model_outputs"])}
    assert texts == {(a.task_id, a.model): a.output for a in read_answer_files([sample.answers])}
    assert done.notes == [] and all(path.exists() for path in done.files)
    ours = leaderboard([sample.folder], tasks=TaskSet.read(sample.tasks)).to_json()["models"]
    theirs = leaderboard([tmp_path / "judged"], tasks=TaskSet.read(tmp_path / "tasks.jsonl")).to_json()["models"]
    for a, b in zip(ours, theirs, strict=True):
        assert (a["name"], a["wb_score"], a.get("wb_reward_mix"), a.get("macro")) == (
            b["name"], b["wb_score"], b.get("wb_reward_mix"), b.get("macro"),
        )  # fmt: skip


def test_a_real_judged_file_survives_the_round_trip(shared_dir: Path, tmp_path: Path) -> None:
    folder = shared_dir / "data" / "wildbench" / "judged" / "gpt-4-turbo-2024-04-09.v2.0522"
    source = folder / "reka-flash-20240226.jsonl.zst"
    export("wildbench", tmp_path, [source])
    (file,) = judged_paths([tmp_path / "judged"])
    assert file.relative_to(tmp_path) == Path("judged/gpt-4-turbo-2024-04-09.v2.0522/reka-flash-20240226.json")
    assert read_judged(file).verdicts == tuple(
        replace(v, parsed={**v.parsed, "score": f"{v.value:g}"}, raw_text="") for v in read_judged(source).verdicts
    )
    row = json.loads(file.read_bytes())[0]
    assert {"session_id", "parsed_result", "meta_data", "model_test", "score", "model_output"} <= row.keys()


def test_what_wildbench_has_no_place_for_is_listed_and_counted(sample: Sample, tmp_path: Path) -> None:
    verdicts = [replace(v, kind="checklist") for v in sample.verdicts[:3] if v.kind == "score"]
    write_jsonl(tmp_path / "v.jsonl", verdicts)
    done = export("wildbench", tmp_path / "out", [tmp_path / "v.jsonl"], **given_files(sample))
    assert f"{len(verdicts)} verdicts have no place" in done.notes[0]
    assert len(list(read_rows(tmp_path / "out" / "left_out.jsonl"))) == len(verdicts)


def test_verdicts_without_their_answers_are_not_exported_as_empty_answers(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "v.jsonl", [make_score("t1", 5.0)])
    with pytest.raises(UsageError, match="the answer of m to task t1 is not known; give --answers"):
        export("wildbench", tmp_path / "out", [tmp_path / "v.jsonl"])


@pytest.mark.parametrize("to", ["wildbench", "csv", "lm-eval", "inspect"])
def test_private_tasks_and_all_that_belongs_to_them_stay_out(sample: Sample, tmp_path: Path, to: str) -> None:
    done = export(to, tmp_path, [sample.folder], **given_files(sample))
    assert any("1 private tasks are left out" in note for note in done.notes)
    written = [path.read_text(encoding="utf-8") for path in tmp_path.rglob("*") if path.is_file()]
    assert written and not any("task-005" in text or "Plan number 5:" in text for text in written)


FORMULAS = st.sampled_from(list("=+-@\t\r\n＝＋－＠|%"))


@given(start=FORMULAS, spaces=st.integers(0, 3), rest=st.text(max_size=20))
def test_no_text_cell_can_begin_a_formula(start: str, spaces: int, rest: str) -> None:
    cell = safe_cell(" " * spaces + start + rest)
    assert cell.startswith("'") and cell[1:] == (" " * spaces + start + rest).replace("\0", "")


def test_csv_tables_hold_numbers_and_inert_texts(sample: Sample, tmp_path: Path) -> None:
    hostile = '=HYPERLINK("http://x","click")'
    rows = [
        make_score(f"t{i}", v, m, parsed={"strengths": hostile})
        for m, scores in (("+evil", [2.0, 3.0, 2.5]), ("good", [9.0, None, 9.0]))
        for i, v in enumerate(scores)
    ]
    write_jsonl(tmp_path / "v.jsonl", rows)
    export("csv", tmp_path, [tmp_path / "v.jsonl"])
    with (tmp_path / "leaderboard.csv").open(newline="", encoding="utf-8") as file:
        board = list(csv.DictReader(file))
    assert float(board[0]["wb_score"]) == -50.0 and board[0]["model"] == "'+evil"  # a number may be negative
    assert (board[1]["model"], board[1]["rank"], board[1]["wb_score"]) == ("good", "", "")  # partial: not a number
    with (tmp_path / "verdicts.csv").open(newline="", encoding="utf-8") as file:
        verdicts = list(csv.DictReader(file))
    assert [v["value"] for v in verdicts] == ["2.0", "3.0", "2.5", "9.0", "", "9.0"]
    assert all(v["reasons"] == f"strengths: {hostile}" for v in verdicts)
    export("csv", tmp_path / "more", [sample.folder], **given_files(sample))
    for path in (tmp_path / "more").iterdir():
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.reader(file):
                assert not any(cell[:1] in "=+@" or (cell[:1] == "-" and not _number(cell)) for cell in row if cell)


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


EVIL = 'x"""\nimport os\nos.abort()\n"""{{7*7}}: [a]\n#'


@pytest.mark.parametrize("name", ["Demo", EVIL, "日本語", "3 numbers", ""])
def test_the_files_for_other_tools_are_valid_whatever_the_benchmark_is_called(tmp_path: Path, name: str) -> None:
    tasks = TaskSet((replace(make_task(), benchmark=name, version=name),))
    export("lm-eval", tmp_path / "l", tasks=tasks, judge=EVIL)
    export("inspect", tmp_path / "i", tasks=tasks, judge=EVIL)
    (config,) = (tmp_path / "l").glob("*.yaml")
    text = config.read_text(encoding="utf-8")
    loaded = yaml.load(text, _AnyTag)
    assert loaded["task"] == config.stem and loaded["doc_to_text"] == "{{prompt}}"
    for path in [*(tmp_path / "l").glob("*.py"), *(tmp_path / "i").glob("*.py")]:
        body = ast.parse(path.read_text(encoding="utf-8")).body
        assigned = {ast.unparse(node.targets[0]): node.value for node in body if isinstance(node, ast.Assign)}
        assert ast.literal_eval(assigned["JUDGE"]) == EVIL
        assert [type(node.value) for node in body if isinstance(node, ast.Expr)] == [ast.Constant]  # the docstring
        assert "abort" not in [node.attr for node in ast.walk(ast.Module(body, [])) if isinstance(node, ast.Attribute)]
    assert TaskSet.read(tmp_path / "i" / "tasks.jsonl").sha == tasks.sha


class _AnyTag(yaml.SafeLoader):
    """Reads ``!function`` as its text."""


_AnyTag.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def test_what_an_export_needs_is_said_in_one_line(sample: Sample, tmp_path: Path) -> None:
    for arguments, said in (
        (["--to", "lm-eval", str(sample.folder)], "needs the benchmark's tasks; give --tasks"),
        (["--to", "csv", "--tasks", str(sample.tasks)], "needs files of verdicts"),
        (["--to", "inspect"], "nothing to export to inspect"),
    ):
        result = run(app, ["export", "--out", str(tmp_path), *arguments])
        assert isinstance(result.exception, AgoraError) and result.exception.exit_code == 2
        assert said in str(result.exception)
    assert run(app, ["export", "--to", "excel", "--out", str(tmp_path)]).exit_code == 2


def test_the_command_lists_its_files(sample: Sample, tmp_path: Path) -> None:
    result = run(app, ["export", "--to", "csv", str(sample.folder), "--out", str(tmp_path), "--json"])
    assert [Path(path).name for path in json.loads(result.stdout)["files"]] == ["leaderboard.csv", "verdicts.csv"]
    result = run(app, ["export", "--to", "lm-eval", "--tasks", str(sample.tasks), "--out", str(tmp_path / "l")])
    assert "3 files" in result.stdout and "lm_eval run" in result.stdout


def test_the_options_are_frozen() -> None:
    import typer

    command = typer.main.get_command(app).commands["export"]  # type: ignore[attr-defined]
    assert sorted(o for p in command.params for o in p.opts if o.startswith("--")) == [
        "--answers", "--baseline", "--include-private", "--json", "--judge", "--name", "--out", "--tasks", "--to",
    ]  # fmt: skip
