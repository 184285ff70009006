"""A file of prompts becomes a file of answers; a rerun pays only for what is missing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agora.core.errors import AgoraError, CapabilityError, ConfigError, DataError
from agora.engines import ChatRequest, CompleteRequest, Sampling, generate_file, read_batch, write_batch
from agora.engines.hf import HfEngine
from agora.engines.openai import OpenAIEngine
from tests.engines.servers import FaultServer, chat_answer, status
from tests.engines.test_servers import FAST
from tests.tiny import make_tiny_model


def _write(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _questions(n: int) -> list[dict[str, object]]:
    return [{"id": f"q{i}", "prompt": f"question {i}", "topic": i % 3} for i in range(n)]


def test_every_kind_of_row_is_answered_in_input_order(faults: FaultServer, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"id": "m", "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "from messages"}]},
        {"prompt": "from prompt"},
        {"id": "i", "instruction": "from instruction", "input": "with input", "extra": [1]},
        {"id": "bad"},
        {"id": "turn", "messages": [{"role": "assistant", "content": "mine"}]},
    ]
    faults.delay_s = 0.02
    source = _write(tmp_path / "in.jsonl", rows)
    engine = OpenAIEngine(faults.base_url, "m", retry=FAST)
    report = generate_file(engine, source, tmp_path / "out.jsonl")
    engine.close()
    found = _read(tmp_path / "out.jsonl")
    assert [r["id"] for r in found] == ["m", "2", "i"]
    assert [r["output"] for r in found] == [
        "echo from messages",
        "echo from prompt",
        "echo from instruction\n\nwith input",
    ]
    assert found[2]["extra"] == [1]
    assert found[0]["generation"]["usage"]["prompt_tokens"] == 10  # type: ignore[index]
    assert (report.total, report.written, report.malformed, report.failed) == (3, 3, 2, 0)
    assert {r["reason"] for r in _read(tmp_path / "out.jsonl.rejects.jsonl")} == {
        "no messages, prompt or instruction",
        "the last turn is the assistant's",
    }


def test_a_rerun_asks_only_for_what_failed(faults: FaultServer, tmp_path: Path) -> None:
    source = _write(tmp_path / "in.jsonl", _questions(6))
    faults.by_text["question 2"] = status(400, "not today")
    engine = OpenAIEngine(faults.base_url, "m", retry=FAST)
    first = generate_file(engine, source, tmp_path / "out.jsonl")
    assert (first.written, first.failed, len(_read(tmp_path / "out.jsonl"))) == (5, 1, 5)
    assert first.rejects is not None and "not today" in first.rejects.read_text()
    faults.by_text.clear()
    second = generate_file(engine, source, tmp_path / "out.jsonl")
    engine.close()
    assert (second.written, second.skipped, second.failed, second.rejects) == (1, 5, 0, None)
    assert [r["id"] for r in _read(tmp_path / "out.jsonl")] == [f"q{i}" for i in range(6)]
    assert faults.calls.count("question 2") == 2 and len(faults.calls) == 7


def test_other_settings_another_model_or_another_input_are_refused(faults: FaultServer, tmp_path: Path) -> None:
    source = _write(tmp_path / "in.jsonl", _questions(2))
    engine = OpenAIEngine(faults.base_url, "m", retry=FAST)
    generate_file(engine, source, tmp_path / "out.jsonl")
    with pytest.raises(ConfigError, match=r"temperature: 0.0 -> 0.5"):
        generate_file(engine, source, tmp_path / "out.jsonl", sampling=Sampling(0.5))
    other = OpenAIEngine(faults.base_url, "n", retry=FAST)
    with pytest.raises(ConfigError, match=r"model: .*#m' -> .*#n'"):
        generate_file(other, source, tmp_path / "out.jsonl")
    with pytest.raises(DataError, match="not an answer to the input"):
        generate_file(engine, _write(tmp_path / "b.jsonl", [{"prompt": "b"}]), tmp_path / "out.jsonl")
    engine.close()
    other.close()


def test_a_file_without_a_usable_row_says_why(faults: FaultServer, tmp_path: Path) -> None:
    turns = [{"role": "assistant", "content": "mine"}]
    source = _write(tmp_path / "in.jsonl", [{"messages": turns}, {"messages": turns}, {"text": "x"}])
    engine = OpenAIEngine(faults.base_url, "m", retry=FAST)
    with pytest.raises(DataError, match=r"the last turn is the assistant's \(2\), no messages.* \(1\); a row needs"):
        generate_file(engine, source, tmp_path / "out.jsonl")
    engine.close()
    assert faults.calls == []


@pytest.mark.parametrize("out", [".", "file/out.jsonl", "folder"])
def test_an_output_that_cannot_be_written_is_told_before_the_first_call(
    faults: FaultServer, tmp_path: Path, out: str
) -> None:
    source = _write(tmp_path / "in.jsonl", _questions(2))
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    engine = OpenAIEngine(faults.base_url, "m", retry=FAST)
    with pytest.raises(AgoraError, match=r"this is a folder|cannot write"):
        generate_file(engine, source, tmp_path / out)
    engine.close()
    assert faults.calls == []


def test_two_rows_with_one_id_are_refused(faults: FaultServer, tmp_path: Path) -> None:
    source = _write(tmp_path / "in.jsonl", [{"id": 1, "prompt": "a"}, {"id": 1, "prompt": "b"}])
    engine = OpenAIEngine(faults.base_url, "m", retry=FAST)
    with pytest.raises(DataError, match=r"in.jsonl:2: two rows have the id '1'"):
        generate_file(engine, source, tmp_path / "out.jsonl")
    engine.close()


def test_the_answers_do_not_depend_on_what_was_done_before(engine: HfEngine, tmp_path: Path) -> None:
    source = _write(tmp_path / "in.jsonl", _questions(20))
    sampling = Sampling(1.0, max_tokens=10, seed=3)
    generate_file(engine, source, tmp_path / "whole.jsonl", sampling=sampling)
    generate_file(engine, source, tmp_path / "parts.jsonl", sampling=sampling, limit=7)
    generate_file(engine, source, tmp_path / "parts.jsonl", sampling=sampling)
    assert (tmp_path / "whole.jsonl").read_bytes() == (tmp_path / "parts.jsonl").read_bytes()


def test_raw_prompts_need_no_template_and_chats_do(engine: HfEngine, tmp_path: Path) -> None:
    source = _write(tmp_path / "in.jsonl", [{"prompt": "<|user|>"}])
    generate_file(engine, source, tmp_path / "out.jsonl", raw=True, sampling=Sampling(1.0, max_tokens=5))
    made = _read(tmp_path / "out.jsonl")[0]["generation"]
    assert made["raw"] and made["usage"]["prompt_tokens"] == 1  # type: ignore[index, call-overload]
    base = HfEngine.load(str(make_tiny_model(tmp_path / "base", chat_template=False)))
    with pytest.raises(CapabilityError, match=r"no chat template.*--raw"):
        generate_file(base, source, tmp_path / "o.jsonl")
    assert not (tmp_path / "o.jsonl").exists()


_RUN = """
import sys
from pathlib import Path
from agora.engines import generate_file
from agora.engines.openai import OpenAIEngine
engine = OpenAIEngine(sys.argv[1], "m", concurrency=3)
generate_file(engine, Path(sys.argv[2]), Path(sys.argv[3]))
"""


def test_kill_9_repeats_only_what_was_in_flight(faults: FaultServer, tmp_path: Path) -> None:
    faults.delay_s = 0.03
    source, out = _write(tmp_path / "in.jsonl", _questions(60)), tmp_path / "out.jsonl"
    command = [sys.executable, "-c", _RUN, faults.base_url, str(source), str(out)]
    kills = 0
    for enough in (10, 30):
        process = subprocess.Popen(command)
        while process.poll() is None and len(set(faults.calls)) < enough:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        with out.open("ab") as tail:
            tail.write(b'{"id": "q59", "outp')  # as a killed writer may leave it
    subprocess.run(command, check=True, timeout=120)
    assert [r["id"] for r in _read(out)] == [f"q{i}" for i in range(60)]
    assert [r["output"] for r in _read(out)] == [f"echo question {i}" for i in range(60)]
    assert 60 <= len(faults.calls) <= 60 + 3 * kills


def test_a_second_process_is_kept_out(faults: FaultServer, tmp_path: Path) -> None:
    import fcntl

    source = _write(tmp_path / "in.jsonl", _questions(1))
    fd = os.open(tmp_path / "out.jsonl", os.O_RDWR | os.O_CREAT)
    fcntl.flock(fd, fcntl.LOCK_EX)
    engine = OpenAIEngine(faults.base_url, "m", retry=FAST)
    with pytest.raises(AgoraError, match="another process is writing"):
        generate_file(engine, source, tmp_path / "out.jsonl")
    engine.close()
    os.close(fd)


def test_a_batch_file_round_trips(tmp_path: Path) -> None:
    requests = [
        ChatRequest("a", ({"role": "user", "content": "hi"},), Sampling(0.5, max_tokens=7, seed=2)),
        CompleteRequest("b", prompt_ids=(1, 2), sampling=Sampling(stop=("x",))),
    ]
    assert write_batch(tmp_path / "requests.jsonl", requests, "m") == 2
    lines = _read(tmp_path / "requests.jsonl")
    assert lines[0]["url"] == "/v1/chat/completions" and lines[0]["body"]["max_tokens"] == 7  # type: ignore[index]
    assert lines[1]["body"]["prompt"] == [1, 2]  # type: ignore[index]
    ok = {"custom_id": "a", "response": {"status_code": 200, "body": chat_answer("hello")}, "error": None}
    no = {"custom_id": "b", "response": {"status_code": 400, "body": {"error": {"message": "too long"}}}, "error": None}
    gone = {"custom_id": "c", "response": None, "error": {"code": "batch_expired", "message": "expired"}}
    answers = list(read_batch(_write(tmp_path / "responses.jsonl", [ok, no, gone])))
    assert [(g.id, g.text, g.error) for g in answers] == [
        ("a", "hello", None),
        ("b", "", "too long"),
        ("c", "", "expired"),
    ]
    with pytest.raises(DataError, match=r"requests.jsonl:1: neither response nor error"):
        list(read_batch(tmp_path / "requests.jsonl"))
    with pytest.raises(DataError, match="same id"):
        write_batch(tmp_path / "twice.jsonl", [requests[0], requests[0]], "m")


def test_the_commands_print_one_json_object(tiny_model_dir: Path, tmp_path: Path) -> None:
    import typer

    from agora.engines.commands import app, generate

    runner = CliRunner()
    checked = runner.invoke(app, ["check", f"hf:{tiny_model_dir}", "--prefix", "<|user|>", "--json"])
    assert checked.exit_code == 0
    report = json.loads(checked.stdout)
    assert report["ok"] and report["raw_access"]["ok"] and "chat" in report["capabilities"]
    plain = runner.invoke(app, ["check", f"hf:{tiny_model_dir}"])
    assert "chat, complete" in plain.stdout

    single = typer.Typer()
    single.command()(generate)
    source = _write(tmp_path / "in.jsonl", _questions(3))
    options = ["--model", f"hf:{tiny_model_dir}", "--in", str(source), "--out", str(tmp_path / "out.jsonl")]
    made = runner.invoke(single, [*options, "--max-tokens", "4", "--json"])
    assert made.exit_code == 0 and json.loads(made.stdout)["written"] == 3
    again = runner.invoke(single, [*options, "--max-tokens", "4"])
    assert "0 answered, 3 were there" in again.stdout
    bad = _write(tmp_path / "long.jsonl", [{"prompt": "fox " * 2000}])
    options[3], options[5] = str(bad), str(tmp_path / "o.jsonl")
    assert runner.invoke(single, options).exit_code == 1
