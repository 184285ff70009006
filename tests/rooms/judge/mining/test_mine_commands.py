from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from agora.core.errors import ConfigError, DataError, EngineError, MissingError, UsageError
from agora.core.tables import write_jsonl
from agora.rooms.judge.commands import app
from tests.rooms.judge.mining.logs import chat, rows

run = CliRunner().invoke


@pytest.fixture
def log(tmp_path: Path) -> Path:
    write_jsonl(tmp_path / "log.jsonl", [*rows(5), chat("too short")])
    return tmp_path / "log.jsonl"


def mine(log: Path, out: str, *more: str) -> Result:
    return run(app, ["mine", "--conversations", str(log), "--out", str(log.parent / out), *more])


def test_mining_prints_the_funnel_what_was_not_done_and_where_it_went(log: Path) -> None:
    result = mine(log, "a")
    assert result.exit_code == 0, result.output
    for text in ("6  rows of the log", "1 too short", "note: no rater", "tasks.jsonl (5, of which 1 private)"):
        assert text in result.stdout
    told = json.loads(mine(log, "a", "--json").stdout)
    assert (told["num_tasks"], told["funnel"]["steps"][-1]["kept"]) == (5, 5)


def test_changed_settings_are_refused_on_the_same_folder(log: Path) -> None:
    mine(log, "a")
    result = mine(log, "a", "--set", "max_turns=3")
    assert isinstance(result.exception, ConfigError) and "max_turns" in str(result.exception)


def test_wrong_input_leaves_no_folder(log: Path) -> None:
    assert isinstance(mine(log, "b", "--set", "min_token=3").exception, ConfigError)
    assert isinstance(mine(log, "b", "--rater", "http://127.0.0.1:9/v1#m").exception, EngineError)
    gone = run(app, ["mine", "--conversations", str(log) + "x", "--out", str(log.parent / "b")])
    assert isinstance(gone.exception, MissingError)
    assert not (log.parent / "b" / "run.json").exists()


def test_the_options_are_frozen() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    names = ("mine", "checklist", "review", "freeze", "leak")
    options = {n: sorted(o for p in commands[n].params for o in p.opts if o.startswith("--")) for n in names}
    assert options == {
        "mine": [
            *("--benchmark", "--benchmark-version", "--cache", "--concurrency", "--config", "--conversations"),
            *("--dry-run", "--embedder", "--format", "--json", "--max-cost", "--model", "--model-price", "--out"),
            *("--price", "--rater", "--seed", "--set", "--workers"),
        ],
        "checklist": [
            *("--cache", "--concurrency", "--dry-run", "--embedder", "--json", "--max-cost", "--model"),
            *("--model-price", "--out", "--price", "--redo", "--send-private", "--tasks"),
        ],
        "review": ["--json", "--out", "--review", "--two-person"],
        "freeze": ["--json", "--name", "--out", "--review", "--tasks", "--two-person", "--unreviewed", "--version"],
        "leak": ["--json", "--tasks"],
    }


def test_from_a_log_to_a_frozen_set_that_training_data_is_checked_against(log: Path, tmp_path: Path) -> None:
    """As a user does it: mine, review in a spreadsheet, freeze, look for leaks."""
    mine(log, "a")
    blank, filled, frozen = tmp_path / "blank.csv", tmp_path / "ann.csv", tmp_path / "set"
    told = run(app, ["review", str(log.parent / "a"), "--out", str(blank)])
    assert told.exit_code == 0 and "5 rows to fill in" in told.stdout
    with blank.open(encoding="utf-8-sig", newline="") as source:
        table = list(csv.DictReader(source))
    for i, row in enumerate(table):
        row["decision"] = "reject" if i == 0 else "accept"
    with filled.open("w", encoding="utf-8", newline="") as target:
        writer = csv.DictWriter(target, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    told = run(app, ["review", str(log.parent / "a"), "--review", str(filled)])
    assert "4  accepted" in told.stdout and "1  rejected" in told.stdout
    done = run(
        app,
        ["freeze", "--tasks", str(log.parent / "a"), "--review", str(filled), "--out", str(frozen), "--name", "demo"],
    )
    assert done.exit_code == 0 and "AGORA_RESERVED=" in done.stdout and "no checklist" in done.stdout
    train = tmp_path / "train.jsonl"
    write_jsonl(train, [{"prompt": "Something else altogether."}, {"prompt": table[2]["query"].upper()}])
    leaks = run(app, ["leak", str(train), "--tasks", str(frozen)])
    assert leaks.exit_code == 1
    assert f"{train}:2: prompt: exact of task {table[2]['task_id']}" in leaks.stdout
    clean = tmp_path / "clean.jsonl"
    write_jsonl(clean, [{"prompt": "Something else altogether."}])
    assert run(app, ["leak", str(clean), "--tasks", str(frozen)]).exit_code == 0
    assert isinstance(run(app, ["leak", str(clean)]).exception, UsageError)


def test_a_filled_in_file_of_other_tasks_is_one_line(log: Path, tmp_path: Path) -> None:
    mine(log, "a")
    (tmp_path / "r.csv").write_text("task_id,decision,content\nzzz,accept,0\n")
    result = run(
        app,
        ["freeze", "--tasks", str(log.parent / "a"), "--review", str(tmp_path / "r.csv"), "--out", str(tmp_path / "s")],
    )
    assert isinstance(result.exception, DataError) and "'zzz'" in str(result.exception)
    assert not (tmp_path / "s/taskset.json").exists()
