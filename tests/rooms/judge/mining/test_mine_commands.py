from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from agora.core.errors import ConfigError, EngineError, MissingError
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
    options = {
        name: sorted(o for p in commands[name].params for o in p.opts if o.startswith("--")) for name in ("mine",)
    }
    assert options == {
        "mine": [
            *("--benchmark", "--benchmark-version", "--concurrency", "--config", "--conversations", "--embedder"),
            *("--format", "--json", "--model", "--out", "--rater", "--seed", "--set", "--workers"),
        ]
    }
