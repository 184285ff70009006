"""What a user types wrong, and what they are told: one line, the right exit code, nothing lost."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agora import cli
from tests.engines.servers import FaultServer, hang
from tests.loop.conftest import agora


def told(done: subprocess.CompletedProcess[str], code: int) -> str:
    """The one line on stderr."""
    assert done.returncode == code, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_help_answers_at_once() -> None:
    assert agora("--help").returncode == 0
    # Seconds of CPU, which other work on the machine does not stretch as it does the clock's; loose on purpose.
    assert min(_cpu_seconds_of_help() for _ in range(5)) < 2


def _cpu_seconds_of_help() -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    agora("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


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


def test_a_library_that_meets_a_full_disk_or_a_closed_folder_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(args: list[str], prog_name: str) -> None:
        try:
            raise caught
        except OSError as error:
            raise RuntimeError("unexpected pos 576 vs 534") from error

    monkeypatch.setattr(cli, "app", fail)
    caught = OSError(28, "No space left on device")
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    assert capsys.readouterr().err.startswith("agora: the disk is full; free some space and run the same command again")
    caught = PermissionError(13, "Permission denied", "/closed/run.json")
    monkeypatch.setattr(cli, "app", lambda **_: exec("raise caught", {"caught": caught}))
    with pytest.raises(SystemExit, match="1"):
        cli.main()
    assert capsys.readouterr().err.startswith("agora: /closed/run.json: permission denied; choose another --out")
    monkeypatch.setattr(cli, "app", lambda **_: exec("raise RuntimeError('ours')"))
    with pytest.raises(RuntimeError, match="ours"):
        cli.main()


def test_an_interrupt_exits_with_130_and_says_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"prompt": "one"}\n{"prompt": "two"}\n')
    with FaultServer() as server:
        server.by_text["two"] = hang(60)
        command = ["generate", "--model", f"{server.base_url}#m", "--in", "in.jsonl", "--out", "out.jsonl"]
        process = subprocess.Popen(
            [sys.executable, "-m", "agora.cli", *command],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        while not (tmp_path / "out.jsonl").exists() or not (tmp_path / "out.jsonl").read_text():
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.splitlines()[-1] == "agora: interrupted; run the same command again to go on"
    assert "Traceback" not in stderr
    assert json.loads((tmp_path / "out.jsonl").read_text())["output"] == "echo one"


@pytest.mark.parametrize("command", [["loop", "--nonsense"], ["juge"], ["runs", "show"]])
def test_wrong_use_exits_with_two(command: list[str]) -> None:
    assert agora(*command).returncode == 2
