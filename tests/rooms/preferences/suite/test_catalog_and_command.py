"""The catalog of tests, and ``agora preferences eval``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from agora.core.errors import MissingError, UsageError
from agora.rooms.preferences.eval_commands import evaluate
from agora.rooms.preferences.suite.catalog import SUITES, SuiteSettings, catalog, choose_tests, status
from agora.rooms.preferences.suite.lm_eval import run_lm_eval
from agora.rooms.preferences.types import EvalResult

app = typer.Typer()
app.command("eval")(evaluate)


@app.callback()
def preferences() -> None:
    """As the command is mounted."""


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["eval", *arguments], catch_exceptions=True)


def gsm8k(folder: Path, n: int = 3) -> Path:
    rows = [{"question": f"What is {i} + 1?", "answer": f"#### {i + 1}"} for i in range(n)]
    path = folder / "gsm8k.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_every_test_says_what_it_needs() -> None:
    entries = catalog()
    assert len({entry.name for entry in entries}) == len(entries) == 24
    assert all(entry.needs and set(entry.suites) <= set(SUITES) for entry in entries)
    states = {entry.name: status(entry, SuiteSettings()) for entry in entries}
    assert {name for name, state in states.items() if state == "ready"} == {
        entry.name for entry in entries if "microcosm" in entry.suites
    }
    assert "judges" in states["truthfulqa"] and "--data" in states["gsm8k"]


def test_suite_takes_what_is_there_and_says_what_is_not(tmp_path: Path) -> None:
    gsm8k(tmp_path)
    chosen = choose_tests(["offline"], SuiteSettings(data=tmp_path))
    assert [test.name for test in chosen.tests] == ["gsm8k"]
    assert {test.name for test in chosen.unavailable} == {
        "bbh", "mmlu", "truthfulqa-mc", "humaneval", "mbpp", "ifeval", "xstest",
    }  # fmt: skip


def test_named_test_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="gsm8k"):
        choose_tests(["gsm8k"], SuiteSettings())
    with pytest.raises(MissingError, match="looked for"):
        choose_tests(["gsm8k"], SuiteSettings(data=tmp_path))
    with pytest.raises(MissingError, match="no test of offline"):
        choose_tests(["offline"], SuiteSettings(data=tmp_path))


def test_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean gsm8k"):
        choose_tests(["gsm8"], SuiteSettings())


def test_one_file_is_the_data_of_one_test(tmp_path: Path) -> None:
    path = gsm8k(tmp_path)
    assert len(choose_tests(["gsm8k", "microcosm/math"], SuiteSettings(data=path)).tests) == 2
    with pytest.raises(UsageError, match="several tests"):
        choose_tests(["gsm8k", "xstest"], SuiteSettings(data=path))


def test_two_files_of_one_name_are_not_guessed_between(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        gsm8k(tmp_path / folder)
    with pytest.raises(UsageError, match=r"a/gsm8k.jsonl, b/gsm8k.jsonl"):
        choose_tests(["gsm8k"], SuiteSettings(data=tmp_path))


def test_code_is_run_only_when_it_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "HumanEval.jsonl").write_text("{}\n", encoding="utf-8")
    with pytest.raises(MissingError, match="--allow-code"):
        choose_tests(["humaneval"], SuiteSettings(data=tmp_path))
    assert choose_tests(["humaneval"], SuiteSettings(data=tmp_path, allow_code=True)).tests


def test_judged_tests_need_a_judge(tmp_path: Path) -> None:
    (tmp_path / "alpaca_eval.json").write_text("[]", encoding="utf-8")
    with pytest.raises(MissingError, match="--judge"):
        choose_tests(["alpaca-eval"], SuiteSettings(data=tmp_path))
    assert choose_tests(["alpaca-eval"], SuiteSettings(data=tmp_path, judge="microcosm:checker")).tests


def test_shared_folder_serves_all_its_tests(shared_dir: Path) -> None:
    chosen = choose_tests(["offline"], SuiteSettings(data=shared_dir / "data", allow_code=True))
    assert [test.name for test in chosen.tests] == ["gsm8k", "bbh", "humaneval"]


def test_command_lists_tests() -> None:
    shown = run("--list")
    assert shown.exit_code == 0 and "microcosm/math" in shown.stdout and "ready" in shown.stdout
    rows = json.loads(run("--list", "--json").stdout)["tests"]
    assert {row["test"] for row in rows} == {entry.name for entry in catalog()}


def test_command_needs_a_model() -> None:
    assert "--model" in str(run("--suite", "microcosm").exception)


def test_command_tests_a_model_and_resumes(tmp_path: Path) -> None:
    gsm8k(tmp_path)
    arguments = ["--model", "microcosm:chat", "--suite", "gsm8k,microcosm/math", "--data", str(tmp_path)]
    arguments += ["--limit", "3", "--out", str(tmp_path / "run"), "--json"]
    first = json.loads(run(*arguments).stdout)
    assert set(first["by_test"]) == {"gsm8k", "microcosm/math"} and first["answered"] == 6
    second = json.loads(run(*arguments).stdout)
    assert second["answered"] == 0 and second["average"] == first["average"]
    from agora.core.tables import read_records

    assert len(list(read_records(tmp_path / "run/results.jsonl", EvalResult))) == 6
    shown = run(*arguments[:-1])
    assert "average" in shown.stdout and "Report: " in shown.stdout


def test_lm_eval_is_asked_for_when_it_is_absent() -> None:
    try:
        import lm_eval  # type: ignore[import-not-found,unused-ignore]  # noqa: F401
    except ImportError:
        with pytest.raises(MissingError, match="pip install lm-eval"):
            run_lm_eval("microcosm:chat", ["arc_easy"])
    with pytest.raises(UsageError, match="local models"):
        run_lm_eval("openai:some", ["arc_easy"])
