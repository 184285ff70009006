"""What a user types wrong, and what they are told: one line, the right exit code, nothing lost."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.loop.conftest import agora


def told(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line on stderr."""
    assert done.returncode == code, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_help_answers_at_once() -> None:
    best = min(_seconds_of_help() for _ in range(5))
    assert agora("--help").returncode == 0
    # Loose on purpose: what is tested is that nothing heavy is imported, the figure itself is in docs/performance.md.
    assert best < 3


def _seconds_of_help() -> float:
    started = time.monotonic()
    agora("--help")
    return time.monotonic() - started


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys, agora.cli;"
        "print(sorted({'torch', 'transformers', 'pyarrow', 'altair', 'numpy', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_missing_file_names_it(tmp_path: Path) -> None:
    (tmp_path / "chats.jsonl").write_text('{"messages": [{"role": "user", "content": "hi"}]}\n')
    line = told(agora("data", "import", str(tmp_path / "chat.jsonl"), "--out", str(tmp_path / "o.parquet")), 3)
    assert "chat.jsonl" in line and "chats.jsonl" in line


def test_empty_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    line = told(agora("data", "import", str(tmp_path / "empty.jsonl"), "--out", str(tmp_path / "o.parquet")), 1)
    assert "empty" in line


def test_broken_line_and_wrong_roles_are_rejected_with_line_numbers_and_the_rest_is_kept(tmp_path: Path) -> None:
    good = {"messages": [{"role": "user", "content": "Name a color."}, {"role": "assistant", "content": "Red."}]}
    rows = [json.dumps(good)] * 8
    rows.insert(3, '{"messages": [{"role": "user", "content": "half a li')
    rows.insert(5, json.dumps({"messages": [{"role": "robot", "content": "beep"}]}))
    source = tmp_path / "chats.jsonl"
    source.write_text("\n".join(rows) + "\n")
    done = agora("data", "import", str(source), "--out", str(tmp_path / "o.parquet"), "--json")
    report = json.loads(done.stdout)
    assert report["n_imported"] == 8 and report["n_rejected"] == 2
    rejects = [json.loads(line) for line in Path(report["rejects_path"]).read_text().splitlines()]
    assert any(":4" in r["where"] for r in rejects) and any(":6" in r["where"] for r in rejects)


def test_configuration_typo_names_the_nearest_key(tmp_path: Path) -> None:
    line = told(agora("loop", "--out", str(tmp_path / "run"), "--set", "instuctions=5"), 2)
    assert "instuctions" in line and "instructions" in line
    assert not (tmp_path / "run" / "run.json").exists()


def test_unknown_engine_scheme_names_the_nearest(tmp_path: Path) -> None:
    assert "hf" in told(agora("engines", "check", "hff:nothing"), 2)


def test_server_that_is_down_is_said() -> None:
    line = told(agora("engines", "check", "http://127.0.0.1:9/v1#model"), 1)
    assert "127.0.0.1:9" in line


def test_model_without_a_chat_template_is_refused_before_work(tmp_path: Path) -> None:
    from tests.tiny import make_tiny_model

    folder = make_tiny_model(tmp_path / "model", seed=0)
    (Path(folder) / "chat_template.jinja").unlink(missing_ok=True)
    config = Path(folder) / "tokenizer_config.json"
    settings = json.loads(config.read_text())
    settings.pop("chat_template", None)
    config.write_text(json.dumps(settings))
    line = told(agora("synthesize", "prefix", str(folder)), 2)
    assert "chat template" in line


@pytest.mark.parametrize("command", [["loop", "--nonsense"], ["juge"], ["runs", "show"]])
def test_wrong_use_exits_with_two(command: list[str]) -> None:
    assert agora(*command).returncode == 2
