"""Looking at runs: the functions and the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agora.core.commands import app
from agora.core.errors import AgoraError, DataError, MissingError
from agora.core.runs import RunDir, compare_runs, list_runs, read_metrics


def make_run(path: Path, seed: int = 0, loss: float | None = 0.5, **config: Any) -> Path:
    with RunDir.open(path, command="agora loop", config={"lr": 0.1, **config}, seed=seed) as run:
        with run.stage("train"):
            run.metric("loss", 9.0, 1)
            run.metric("loss", loss, 2)
        run.metric("score", 7.0, model="dpo")
    return path


def call(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_runs_are_listed_oldest_first_with_their_state(tmp_path: Path) -> None:
    make_run(tmp_path / "b")
    make_run(tmp_path / "deep" / "a", seed=3)
    runs = list_runs(tmp_path)
    assert [(run.name, run.status, run.seed) for run in runs] == [("b", "done", 0), ("deep/a", "done", 3)]
    assert list_runs(tmp_path / "b")[0].name == "b"


def test_a_run_whose_process_died_is_stopped_and_a_live_one_is_running(tmp_path: Path) -> None:
    run = RunDir.open(tmp_path / "r", command="agora loop", config={}, seed=0)
    assert list_runs(tmp_path)[0].status == "running"
    run.close()
    assert list_runs(tmp_path)[0].status == "stopped"


BROKEN = ["", "{", "[]", "null", "{}", "\udcff", '{"config": {}}', '{"config": {}, "stages": []}']
ODD_STAGE = '{"config": {}, "stages": {"a": 1}, "status": "done", "command": "x"}'


@pytest.mark.parametrize("content", [*BROKEN, ODD_STAGE])
def test_broken_folders_are_listed_as_broken_beside_the_good(tmp_path: Path, content: str) -> None:
    make_run(tmp_path / "good")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "run.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = {run.name: run for run in list_runs(tmp_path)}
    assert set(found) == {"good", "bad"}
    assert found["good"].status == "done"
    assert found["bad"].status == "broken"
    assert found["bad"].problem


def test_a_missing_folder_of_runs_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    with pytest.raises(MissingError, match=r"no such folder of runs; did you mean .*/runs\?"):
        list_runs(tmp_path / "rums")


def test_the_last_value_of_a_metric_counts_and_a_torn_line_does_not(tmp_path: Path) -> None:
    make_run(tmp_path)
    with (tmp_path / "metrics.jsonl").open("a") as torn:
        torn.write('{"name": "loss", "val')
    assert read_metrics(tmp_path) == {"loss": 0.5, "score{model=dpo}": 7.0}


def test_comparing_shows_what_differs_and_only_that(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a"), make_run(tmp_path / "b", seed=1, loss=0.25, beta=0.1)
    found = compare_runs(a, b)
    assert found["config"] == {"seed": [0, 1], "beta": [None, 0.1]}
    assert found["metrics"] == {"loss": {"a": 0.5, "b": 0.25, "difference": -0.25}}
    assert found["same_metrics"] == 1


def test_a_missing_value_has_no_difference(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a"), make_run(tmp_path / "b", loss=None)
    assert compare_runs(a, b)["metrics"] == {"loss": {"a": 0.5, "b": None, "difference": None}}


def test_comparing_with_what_is_no_run_is_told(tmp_path: Path) -> None:
    make_run(tmp_path / "run-a")
    with pytest.raises(MissingError, match=r"no such run; did you mean .*run-a"):
        compare_runs(tmp_path / "run-a", tmp_path / "run-b")
    (tmp_path / "none").mkdir()
    with pytest.raises(MissingError, match="there is no run in this folder"):
        compare_runs(tmp_path / "run-a", tmp_path / "none")
    (tmp_path / "none" / "run.json").write_text("[]")
    with pytest.raises(DataError, match="not a run's file"):
        compare_runs(tmp_path / "run-a", tmp_path / "none")


def test_the_list_command_prints_a_table_or_one_object(tmp_path: Path) -> None:
    make_run(tmp_path / "first", seed=4)
    make_run(tmp_path / "second")
    text = call("list", str(tmp_path)).splitlines()
    assert text[0].split() == ["RUN", "STATUS", "SEED", "SECONDS", "CREATED", "COMMAND"]
    assert text[1].split()[:3] == ["first", "done", "4"]
    latest = json.loads(call("list", str(tmp_path), "--limit", "1", "--json"))
    assert [run["name"] for run in latest["runs"]] == ["second"]


def test_without_runs_the_list_is_empty_and_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("list") == "no runs in runs\n"
    assert json.loads(call("list", "--json")) == {"root": "runs", "runs": []}
    with pytest.raises(MissingError):
        call("list", "elsewhere")


def test_the_show_command_takes_a_path_or_a_name_under_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(tmp_path / "runs" / "mine", inner={"a": 1})
    monkeypatch.chdir(tmp_path)
    assert call("show", "mine") == call("show", "runs/mine")
    text = call("show", "mine")
    assert "inner.a" in text
    assert "score{model=dpo}" in text
    shown = json.loads(call("show", "mine", "--json"))
    assert shown["metrics"] == {"loss": 0.5, "score{model=dpo}": 7.0}
    assert shown["config"]["inner"] == {"a": 1}


def test_the_compare_command_prints_a_table_or_one_object(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a"), make_run(tmp_path / "b", seed=1, loss=0.25)
    text = call("compare", str(a), str(b))
    assert [line.split() for line in text.splitlines() if line.startswith(("seed", "loss"))] == [
        ["seed", "0", "1"],
        ["loss", "0.5", "0.25", "-0.25"],
    ]
    assert json.loads(call("compare", str(a), str(b), "--json")) == compare_runs(a, b)
    assert "the configurations are the same" in call("compare", str(a), str(a))


def test_a_foreign_run_cannot_drive_the_terminal(tmp_path: Path) -> None:
    make_run(tmp_path / "a")
    state = json.loads((tmp_path / "a" / "run.json").read_text())
    (tmp_path / "a" / "run.json").write_text(json.dumps(state | {"command": "x \x1b[2J\x07 y"}))
    for text in (call("list", str(tmp_path)), call("show", str(tmp_path / "a"))):
        assert "\x1b" not in text
        assert "\x07" not in text


def test_errors_of_the_commands_are_ours(tmp_path: Path) -> None:
    with pytest.raises(AgoraError):
        call("show", str(tmp_path / "none"))
