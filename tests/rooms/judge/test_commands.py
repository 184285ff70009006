from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agora.core.errors import DataError
from agora.core.tables import write_jsonl
from agora.rooms.judge.commands import app
from tests.rooms.judge.support import make_pair, make_score, make_task

run = CliRunner().invoke


@pytest.fixture
def verdicts(tmp_path: Path) -> Path:
    rows = [
        make_score(f"t{i}", float(v), m)
        for m, scores in (("good", [9, 8, 9, 9]), ("poor", [2, 3, 2, 2]))
        for i, v in enumerate(scores)
    ]
    rows += [make_pair(f"t{i}", 0.5, "good", "poor", n_chars=800) for i in range(4)]
    write_jsonl(tmp_path / "v.jsonl", rows)
    return tmp_path / "v.jsonl"


def test_json_is_one_object_on_stdout(verdicts: Path) -> None:
    result = run(app, ["leaderboard", str(verdicts), "--json"])
    assert result.exit_code == 0
    board = json.loads(result.stdout)
    first = board["models"][0]
    assert (first["name"], first["judge"], first["n"], first["coverage"], first["rank"]) == ("good", "j", 4, 1.0, 1)
    assert first["wb_score"] == 75.0
    low, high = first["wb_score_ci"]
    assert low <= 75.0 <= high
    assert {"se", "empty", "mean_chars"} <= first.keys()
    assert board["tables"][0]["neighbors"][0]["separable"] is True


def test_the_table_shows_ranks_intervals_and_rewards(verdicts: Path) -> None:
    result = run(app, ["leaderboard", str(verdicts), "--margin", "500"])
    assert result.exit_code == 0
    for text in ("Judge: j", "good", "75.00", "95 % interval", "100.0 %", "K = 500", "union of the tasks"):
        assert text in result.stdout


def test_names_from_files_cannot_drive_the_terminal(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "v.jsonl", [make_score(f"t{i}", 5.0, "\x1b[31m[red]x[/red]") for i in range(3)])
    result = run(app, ["leaderboard", str(tmp_path / "v.jsonl")])
    assert "\x1b[31m" not in result.stdout
    assert "[red]x[/red]" in result.stdout


def test_tasks_give_groups_and_size(verdicts: Path, tmp_path: Path) -> None:
    tags = ["Math", "Reasoning", "Coding & Debugging", "Advice seeking", "Others"]
    write_jsonl(tmp_path / "tasks.jsonl", [make_task(f"t{i}", primary_tag=tag) for i, tag in enumerate(tags)])
    result = run(
        app, ["leaderboard", str(verdicts), "--tasks", str(tmp_path / "tasks.jsonl"), "--allow-partial", "--json"]
    )
    first = json.loads(result.stdout)["models"][0]
    assert (first["num_tasks"], first["coverage"], first["macro"]) == (5, 0.8, None)
    assert first["groups"]["Math & Data Analysis"]["value"] == 80.0


def test_a_wrong_file_is_an_error_of_the_tree(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n')
    result = run(app, ["leaderboard", str(tmp_path / "x.jsonl")])
    assert isinstance(result.exception, DataError)
    assert "\n" not in str(result.exception)


def test_the_options_are_frozen() -> None:
    import typer

    command = typer.main.get_command(app).commands["leaderboard"]  # type: ignore[attr-defined]
    options = sorted(o for p in command.params for o in p.opts if o.startswith("--"))
    assert options == [
        "--allow-partial",
        "--answers",
        "--baseline",
        "--difficulty",
        "--family",
        "--gamed",
        "--json",
        "--judge",
        "--legacy",
        "--margin",
        "--seed",
        "--tasks",
    ]


def test_mounting_the_commands_loads_nothing_heavy() -> None:
    code = "import sys, agora.rooms.judge.commands; print({'numpy', 'scipy', 'torch', 'pyarrow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
