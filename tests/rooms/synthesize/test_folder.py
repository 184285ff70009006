"""Runs in folders and their commands, on a tiny real model with random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agora.core.errors import ConfigError, UsageError
from agora.core.records import Sample
from agora.core.tables import read_records
from agora.engines.types import Sampling
from agora.rooms.synthesize import DrawSettings
from agora.rooms.synthesize.commands import app
from agora.rooms.synthesize.folder import FolderReport, answer_into
from agora.rooms.synthesize.run import synthesize
from agora.rooms.synthesize.settings import SliceConfig, SynthesizeConfig
from tests.tiny import make_tiny_model

# random weights write noise: too few samples for the first look to judge
N = 9
SETTINGS = DrawSettings(max_tokens=12)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"hf:{make_tiny_model(tmp_path_factory.mktemp('model') / 'tiny')}"


def draw_into(out: Path, model: str, *, n: int = N, temperature: float = 1.0, **more: Any) -> FolderReport:
    """Instructions only."""
    schedule = (SliceConfig(name="all", count=n, temperature=temperature),)
    config = SynthesizeConfig(model=model, schedule=schedule, draw=SETTINGS, answers=None, **more)
    return synthesize(out, config).instructions


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def test_a_run_writes_its_samples_prefix_and_counts(model: str, tmp_path: Path) -> None:
    report = draw_into(tmp_path / "run", model)
    samples = list(read_records(tmp_path / "run/instructions.jsonl", Sample))
    assert [s.index for s in samples] == list(range(N))
    assert report.tally.n == N
    assert report.tally.kept + sum(report.tally.reasons.values()) == N
    prefix = json.loads((tmp_path / "run/prefix.json").read_text())
    assert prefix["prefix"] == "<|user|>"
    assert {s.prefix_ref for s in samples} == {prefix["ref"]}
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "done"


def test_a_resumed_run_gives_the_bytes_of_an_unbroken_one(model: str, tmp_path: Path) -> None:
    for name in ("whole", "broken"):
        draw_into(tmp_path / name, model)
    broken = tmp_path / "broken"
    lines = (broken / "drawn.jsonl").read_bytes().splitlines(keepends=True)
    (broken / "drawn.jsonl").write_bytes(b"".join(lines[:4]) + lines[4][:30])
    (broken / "instructions.jsonl").unlink()
    state = json.loads((broken / "run.json").read_text())
    (broken / "run.json").write_text(json.dumps({**state, "stages": {}}))
    draw_into(broken, model)
    assert (broken / "instructions.jsonl").read_bytes() == (tmp_path / "whole/instructions.jsonl").read_bytes()


def test_a_finished_run_is_only_read_again(model: str, tmp_path: Path) -> None:
    first = draw_into(tmp_path, model)
    before = (tmp_path / "instructions.jsonl").stat().st_mtime_ns
    again = draw_into(tmp_path, model)
    assert again.as_json() == first.as_json()
    assert (tmp_path / "instructions.jsonl").stat().st_mtime_ns == before


def test_another_setting_in_the_same_folder_is_refused(model: str, tmp_path: Path) -> None:
    draw_into(tmp_path, model)
    with pytest.raises(ConfigError, match="temperature"):
        draw_into(tmp_path, model, temperature=1.2)


def test_a_prefix_that_changes_with_the_date_is_frozen_by_the_first_start(model: str, tmp_path: Path) -> None:
    (tmp_path / "dated.jinja").write_text(
        "{{ strftime_now('%Y-%m-%d') }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    )
    more: Any = {"chat_template": str(tmp_path / "dated.jinja")}
    draw_into(tmp_path / "run", model, n=2, **more)
    file = tmp_path / "run/prefix.json"
    row = json.loads(file.read_text())
    assert row["clock"] == row["prefix"][:10]
    draw_into(tmp_path / "run", model, n=2, **more)
    assert json.loads(file.read_text()) == row
    file.write_text("{}")
    with pytest.raises(UsageError, match="cannot resume"):
        draw_into(tmp_path / "run", model, n=2, **more)


def test_commands_draw_and_answer(model: str, tmp_path: Path) -> None:
    arguments = [
        "run",
        "--model",
        model,
        "--n",
        str(N),
        "--out",
        str(tmp_path / "drawn"),
        "--max-tokens",
        "12",
        "--no-answers",
    ]
    drawn = json.loads(run(*arguments, "--seed", "3", "--temperature", "0.9", "--top-p", "0.95", "--json").stdout)
    assert "agora synthesize run" in (tmp_path / "drawn/report.html").read_text(encoding="utf-8")
    assert f"--n {N}" in json.loads((tmp_path / "drawn/run.json").read_text())["command"]
    assert (drawn["n"], drawn["file"]) == (N, str(tmp_path / "drawn/instructions.jsonl"))
    assert sum(drawn["slices"]["t0.9-p0.95"].values()) == N
    answering = ["answer", str(tmp_path / "drawn"), "--model", model, "--out", str(tmp_path / "answered")]
    answered = json.loads(run(*answering, "--max-tokens", "8", "--json").stdout)
    assert answered["n"] == N
    samples = list(read_records(tmp_path / "answered/answered.jsonl", Sample))
    assert sum(s.answer_gen != {} for s in samples) == drawn["kept"]
    words = run(*answering, "--max-tokens", "8").stdout
    assert "written: " in words


def test_prompts_of_any_file_can_be_answered(model: str, tmp_path: Path) -> None:
    rows = [
        {"messages": [{"role": "user", "content": f"Say {i}."}, {"role": "assistant", "content": "x"}]} for i in (1, 2)
    ]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = answer_into(tmp_path / "out", tmp_path / "p.jsonl", model, sampling=Sampling(max_tokens=4))
    samples = list(read_records(report.file, Sample))
    assert [s.messages[0].content for s in samples] == ["Say 1.", "Say 2."]
    assert all([m.role for m in s.messages] == ["user", "assistant"] for s in samples)


def test_answers_do_not_go_into_the_folder_of_the_draw(model: str, tmp_path: Path) -> None:
    draw_into(tmp_path, model, n=2)
    with pytest.raises(UsageError, match="folder of their own"):
        answer_into(tmp_path, tmp_path, model)


def test_the_prefix_command_prints_one_json_object(model: str) -> None:
    row = json.loads(run("prefix", model, "--json").stdout)
    assert (row["schema"], row["prefix"], row["post_query"]) == (
        "prefix_template/1",
        "<|user|>",
        "<|end|><|assistant|>",
    )
    assert row["supports_system"] == "yes"
    assert "prefix      '<|user|>'" in run("prefix", model).stdout
    bare = json.loads(run("prefix", model, "--mode", "system:Be kind.", "--json").stdout)
    assert bare["prefix"] == "<|system|>Be kind.<|end|><|user|>"


def test_the_options_of_the_commands_are_frozen() -> None:
    import typer

    import agora.cli  # mounts the commands that join rooms  # noqa: F401

    command: Any = typer.main.get_command(app)
    options = {name: sorted(o for p in verb.params for o in p.opts) for name, verb in command.commands.items()}
    assert options == {
        "prefix": ["--chat-template", "--clock", "--json", "--mode", "source"],
        "run": [
            "--answers", "--chat-template", "--config", "--domain", "--dry-run", "--gpus", "--json", "--language",
            "--max-tokens", "--mode", "--model", "--n", "--no-markdown", "--out", "--probe", "--seed",
            "--self-instruct", "--set", "--temperature", "--tokenizer", "--top-p",
        ],
        "answer": [
            "--json", "--keep-truncated", "--max-tokens", "--model", "--out", "--seed", "--temperature", "--top-p",
            "samples",
        ],
        "slices": ["--json", "samples"],
        "turns": [
            "--answer-model", "--chat-template", "--json", "--limit", "--max-answer-tokens", "--max-tokens", "--model",
            "--out", "--seed", "--system", "--temperature", "--tokenizer", "--top-p", "--turns", "conversations",
        ],
        "pairs": [
            "--json", "--k", "--length-ratio", "--limit", "--max-tokens", "--min-margin", "--model", "--out",
            "--scorer", "--seed", "--temperature", "--test-share", "--top-p", "prompts",
        ],
        "compare": ["--config", "--data", "--json", "--judge", "--model", "--out", "--set", "--student"],
    }  # fmt: skip
