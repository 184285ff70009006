"""Run folders: made, resumed, refused, locked."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agora.core.errors import AgoraError, ConfigError, DataError, MissingError, UsageError
from agora.core.runs import RunDir
from agora.core.tables import read_rows

CONFIG = {"model": "microcosm:base", "train": {"lr": 0.1, "layers": [1, 2]}, "max_tokens": 256}


def open_run(path: Path, **changes: Any) -> RunDir:
    asked: dict[str, Any] = {"command": "agora loop --seed 1", "config": CONFIG, "seed": 1}
    return RunDir.open(path, **(asked | changes))


def state_of(path: Path) -> Any:
    return json.loads((path / "run.json").read_text())


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [row.data for row in read_rows(path)]


def test_a_run_says_what_was_asked_and_what_became_of_it(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text("{}\n")
    with open_run(tmp_path / "run", inputs={"chats": source}, licences=["ODC-BY"]) as run:
        assert state_of(run.path)["status"] == "running"
        run.event("drawn", rows=3)
        run.metric("loss", 0.5, 10, model="dpo")
    state = state_of(tmp_path / "run")
    assert state["schema"] == "run/1"
    assert state["command"] == "agora loop --seed 1"
    assert state["config"] == CONFIG
    assert (state["seed"], state["status"], state["licences"]) == (1, "done", ["ODC-BY"])
    assert state["inputs"]["chats"]["sha256"] == "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356"
    assert state["version"] and state["packages"]["pyarrow"] and state["machine"]["python"]
    events = lines_of(tmp_path / "run" / "events.jsonl")
    assert [event["kind"] for event in events] == ["opened", "drawn", "finished"]
    (metric,) = lines_of(tmp_path / "run" / "metrics.jsonl")
    assert {k: metric[k] for k in ("name", "value", "step", "model")} == {
        "name": "loss",
        "value": 0.5,
        "step": 10,
        "model": "dpo",
    }


def test_an_unchanged_run_resumes_with_its_finished_stages_and_their_seconds(tmp_path: Path) -> None:
    with open_run(tmp_path) as run, run.stage("draw"):
        pass
    created = state_of(tmp_path)["created"]
    seconds = run.seconds
    with open_run(tmp_path, command="agora loop --seed 1 --json") as again:
        assert again.done("draw")
        assert not again.done("train")
        assert again.seconds == seconds
        with again.stage("train"):
            pass
        assert list(again.seconds) == ["draw", "train"]
    assert state_of(tmp_path)["created"] == created
    assert "resumed" in [event["kind"] for event in lines_of(tmp_path / "events.jsonl")]


def test_a_stage_that_raises_is_not_done_and_its_seconds_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 30.0, 100.0, 112.0])
    monkeypatch.setattr("agora.core.runs.time.perf_counter", lambda: next(clock))
    with pytest.raises(DataError), open_run(tmp_path) as run, run.stage("draw"):
        raise DataError("bad row")
    assert not run.done("draw")
    assert (state_of(tmp_path)["status"], state_of(tmp_path)["error"]) == ("failed", "DataError: bad row")
    with open_run(tmp_path) as again:
        assert again.seconds == {"draw": 30.0}
        with again.stage("draw"):
            pass
        assert again.seconds == {"draw": 42.0}
        assert again.done("draw")
    assert state_of(tmp_path)["error"] is None


def test_a_stage_that_is_done_again_is_timed_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 30.0, 100.0, 112.0])
    monkeypatch.setattr("agora.core.runs.time.perf_counter", lambda: next(clock))
    with open_run(tmp_path) as run:
        for _ in range(2):
            with run.stage("draw"):
                pass
        assert run.seconds == {"draw": 12.0}


def test_ctrl_c_marks_the_run_interrupted(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), open_run(tmp_path):
        raise KeyboardInterrupt
    assert state_of(tmp_path)["status"] == "interrupted"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed": 2}, "seed: 1 -> 2"),
        ({"config": CONFIG | {"max_tokens": 512}}, "max_tokens: 256 -> 512"),
        ({"config": CONFIG | {"train": {"lr": 0.2, "layers": []}}}, "train.lr: 0.1 -> 0.2, train.layers: [1,2] -> []"),
        ({"config": CONFIG | {"extra": "x"}}, 'extra: null -> "x"'),
        ({"config": {k: v for k, v in CONFIG.items() if k != "model"}}, 'model: "microcosm:base" -> null'),
        ({"command": "agora judge x.jsonl"}, 'command: "agora loop" -> "agora judge"'),
    ],
)  # fmt: skip
def test_a_changed_run_is_refused_with_the_differing_keys(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    open_run(tmp_path).close()
    before = (tmp_path / "run.json").read_bytes()
    with pytest.raises(ConfigError) as caught:
        open_run(tmp_path, **changes)
    hint = "repeat the old values to resume it, or choose another --out"
    assert str(caught.value) == f"{tmp_path}: this run was started differently: {told}; {hint}"
    assert (tmp_path / "run.json").read_bytes() == before


def test_a_refused_run_lets_others_in(tmp_path: Path) -> None:
    open_run(tmp_path).close()
    with pytest.raises(ConfigError):
        open_run(tmp_path, seed=2)
    open_run(tmp_path).close()


def test_a_changed_input_is_refused_and_a_moved_one_is_not(tmp_path: Path) -> None:
    first, moved = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_text("one")
    moved.write_text("one")
    open_run(tmp_path / "run", inputs={"chats": first}).close()
    open_run(tmp_path / "run", inputs={"chats": moved}).close()
    moved.write_text("two")
    with pytest.raises(ConfigError, match=r'inputs\.chats: "\w{12}" -> "\w{12}"'):
        open_run(tmp_path / "run", inputs={"chats": moved})


def test_a_folder_is_an_input_by_its_names_and_contents(tmp_path: Path) -> None:
    model = tmp_path / "model"
    (model / "deep").mkdir(parents=True)
    (model / "deep" / "weights").write_bytes(b"1" * (3 << 20))
    open_run(tmp_path / "run", inputs={"model": model}).close()
    open_run(tmp_path / "run", inputs={"model": model}).close()
    (model / "deep" / "weights").rename(model / "weights")
    with pytest.raises(ConfigError, match=r"inputs\.model"):
        open_run(tmp_path / "run", inputs={"model": model})


def test_a_missing_input_is_told_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no such file"):
        open_run(tmp_path / "run", inputs={"chats": tmp_path / "none.jsonl"})
    assert not (tmp_path / "run").exists()


def test_secrets_are_redacted_everywhere_and_may_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "env-secret-value")
    secret = {"api_key": "config-secret-value", "url": "http://me:url-secret-value@host/v1"}
    command = "agora loop --api-key command-secret-value"
    with pytest.raises(AgoraError), open_run(tmp_path, config=CONFIG | secret, command=command) as run:
        run.event("call", token="event-secret-value", note="got env-secret-value")
        run.metric("x", 1.0, password="metric-secret-value")
        raise AgoraError("refused: env-secret-value")
    written = "".join(p.read_text() for p in tmp_path.iterdir())
    assert "secret-value" not in written
    assert written.count("[redacted]") >= 6
    open_run(tmp_path, config=CONFIG | secret | {"api_key": "another"}).close()


HOLDER = """
import sys
from pathlib import Path
from agora.core.runs import RunDir
run = RunDir.open(Path(sys.argv[1]), command="agora loop", config={}, seed=0)
print("open", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_kept_out_until_the_first_dies_however_it_dies(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"command": "agora loop", "config": {}, "seed": 0}
    pipe = subprocess.PIPE
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdin=pipe, stdout=pipe, text=True)
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stdout.readline() == "open\n"
    with pytest.raises(AgoraError) as caught:
        RunDir.open(tmp_path, **asked)
    assert f"another process (pid {holder.pid}) is working in this folder; wait" in str(caught.value)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdin.close()
    holder.stdout.close()
    assert (tmp_path / ".lock").exists()
    RunDir.open(tmp_path, **asked).close()


def test_one_process_cannot_open_a_run_twice_either(tmp_path: Path) -> None:
    with open_run(tmp_path), pytest.raises(AgoraError, match="is working in this folder"):
        open_run(tmp_path)
    open_run(tmp_path).close()


def test_what_a_killed_writer_left_is_swept_when_the_run_resumes(tmp_path: Path) -> None:
    open_run(tmp_path).close()
    (tmp_path / "deep").mkdir()
    for left in (tmp_path / ".a.jsonl.1-0.agora-tmp", tmp_path / "deep" / ".b.1-0.agora-tmp"):
        left.write_text("half")
    with (tmp_path / "events.jsonl").open("a") as torn:
        torn.write('{"kind": "ha')
    open_run(tmp_path).close()
    assert not list(tmp_path.rglob("*.agora-tmp"))
    assert [event["kind"] for event in lines_of(tmp_path / "events.jsonl")] == ["opened", "resumed"]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"schema": "run/1"}'])
def test_a_broken_run_file_is_told_in_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(AgoraError, match=r"run\.json: "):
        open_run(tmp_path)


def test_a_run_of_another_version_is_told(tmp_path: Path) -> None:
    open_run(tmp_path).close()
    (tmp_path / "run.json").write_text(json.dumps(state_of(tmp_path) | {"schema": "run/9"}))
    with pytest.raises(ConfigError, match=r"another version \(run/9, expected run/1\)"):
        open_run(tmp_path)


def test_files_stay_inside_the_folder(tmp_path: Path) -> None:
    with open_run(tmp_path / "run") as run:
        assert run.file("draw/rows.jsonl") == tmp_path / "run" / "draw" / "rows.jsonl"
        assert (tmp_path / "run" / "draw").is_dir()
        for name in ("../x", "/etc/passwd", "a/../../x", ""):
            with pytest.raises(UsageError, match="is not a name inside the run folder"):
                run.file(name)


def test_missing_metrics_are_null_and_never_a_number(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        run.metric("loss", None)
        run.metric("loss", float("nan"))
    assert [row["value"] for row in lines_of(tmp_path / "metrics.jsonl")] == [None, None]


def test_finish_takes_the_callers_word_and_leaving_keeps_it(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        run.finish("stopped early")
    assert state_of(tmp_path)["status"] == "stopped early"


def test_info_is_a_copy(tmp_path: Path) -> None:
    with open_run(tmp_path) as run:
        run.info["config"]["model"] = "other"
        assert run.info["config"]["model"] == "microcosm:base"


def test_licences_are_added_on_resume_not_repeated(tmp_path: Path) -> None:
    open_run(tmp_path, licences=["MIT"]).close()
    open_run(tmp_path, licences=["MIT", "CC0"]).close()
    assert state_of(tmp_path)["licences"] == ["MIT", "CC0"]


def test_a_config_may_hold_paths_tuples_and_a_key_called_seed(tmp_path: Path) -> None:
    config = {"out": Path("x"), "sizes": (1, 2), "seed": 5}
    open_run(tmp_path, config=config).close()
    open_run(tmp_path, config=config).close()
    with pytest.raises(ConfigError, match="seed: 1 -> 2"):
        open_run(tmp_path, config=config, seed=2)
