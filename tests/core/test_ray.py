"""Jobs on a real Ray cluster of this machine: the bytes of a local run, dead workers replaced, Ctrl-C clean."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agora.core.jobs import Step, make_shards, run_steps
from agora.core.tables import read_rows, write_jsonl

from . import job_steps as steps

pytest.importorskip("ray", reason="the extra ray is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
ROOT = Path(__file__).resolve().parents[2]
ENV = {
    "PATH": os.environ["PATH"],
    "HOME": os.environ.get("HOME", "/tmp"),
    "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
    "AGORA_PROGRESS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
SCRIPT = """
import sys
from pathlib import Path
from agora.core.errors import AgoraError
from agora.core.jobs import Step, make_shards, run_steps, run_tasks
from tests.core import job_steps as steps

folder, on, what = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
PIPELINES = {
    "plain": [Step(steps.drop_odd), Step(steps.scale, params={"factor": 3})],
    "dying": [Step(steps.die_once, params={"x": 22, "note": str(folder / "died")}), Step(steps.drop_odd)],
    "waiting": [Step(steps.wait_at, params={"x": 35, "gate": str(folder / "gate")})],
    "failing": [Step(steps.divide, params={"by": 44})],
}
if what == "tasks":
    print(run_tasks(steps.square, [3, 1, 2], on=on))
    sys.exit()
try:
    report = run_steps(PIPELINES[what], make_shards(folder / "in.jsonl", 10), out=folder / what, on=on, workers=2)
    print(report.rows_out, report.resumed)
except AgoraError as error:
    print(error)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_jsonl(tmp_path / "in.jsonl", ({"x": n} for n in range(50)))
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path


def start(folder: Path, on: str, what: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(folder / "script.py"), str(folder), on, what]
    return subprocess.Popen(
        command, env=ENV | {"AGORA_TEST": str(folder)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def said(folder: Path, on: str, what: str, tries: int = 3) -> str:
    process = start(folder, on, what)
    try:
        out, err = process.communicate(timeout=180)
    except subprocess.TimeoutExpired:
        process.terminate()  # Ray ends its processes with its driver
        pytest.fail(f"nothing came back: {process.communicate()}")
    assert process.returncode == 0, err
    if "connection timeout" in out and tries > 1:  # a busy machine: the head starts a process for each client
        return said(folder, on, what, tries - 1)
    return out.strip()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def started_by(folder: Path) -> list[int]:
    """The processes that a script in this folder started, and their children: they inherit a mark."""
    found = []
    for process in (p for p in Path("/proc").iterdir() if p.name.isdigit()):
        try:
            marked = f"AGORA_TEST={folder}".encode() in (process / "environ").read_bytes().split(b"\0")
        except OSError:  # gone meanwhile, or another user's
            continue
        if marked:
            found.append(int(process.name))
    return found


def test_interrupted_work_leaves_no_process_and_resumes(folder: Path) -> None:
    process = start(folder, "ray", "waiting")
    notes = [folder / "waiting" / "shards" / f"{n:06d}.done.json" for n in (0, 1, 2, 4)]
    deadline = time.monotonic() + 120
    while not all(note.exists() for note in notes):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            pytest.fail(f"the work did not come so far: {process.communicate()}")
        time.sleep(0.05)
    assert len(started_by(folder)) > 2, "a cluster of its own was started"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert err.count("Traceback") == 1, err
    for _ in range(100):
        if not started_by(folder):
            break
        time.sleep(0.1)
    assert not started_by(folder)
    (folder / "gate").touch()
    assert said(folder, "ray", "waiting") == "50 4"
    assert [row.data["x"] for row in read_rows(folder / "waiting" / "rows.jsonl")] == list(range(50))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A head that serves ``ray://``; it is ended by the process group it was started in."""
    port = free_port()
    ray = Path(sys.executable).with_name("ray")
    command = [str(ray), "start", "--head", "--block", "--num-cpus=2", "--include-dashboard=false"]
    command += ["--node-ip-address=127.0.0.1", f"--port={free_port()}", f"--ray-client-server-port={port}"]
    log = (tmp_path_factory.mktemp("ray") / "head.log").open("w+")
    head = subprocess.Popen(command, env=ENV, stdout=log, stderr=log, cwd=ROOT, start_new_session=True)
    try:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline and head.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        else:
            log.seek(0)
            pytest.fail(f"no cluster came up: {log.read()[-2000:]}")
        yield f"ray://127.0.0.1:{port}"
    finally:
        head.send_signal(signal.SIGTERM)
        try:
            head.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(head.pid, signal.SIGKILL)
            head.wait()
        log.close()


def test_a_cluster_gives_the_bytes_of_a_local_run(folder: Path, cluster: str) -> None:
    assert said(folder, cluster, "plain") == "25 0"
    pipeline = [Step(steps.drop_odd), Step(steps.scale, params={"factor": 3})]
    local = run_steps(pipeline, make_shards(folder / "in.jsonl", 10), out=folder / "local", workers=1)
    assert (folder / "plain" / "rows.jsonl").read_bytes() == local.path.read_bytes()
    again = run_steps(pipeline, make_shards(folder / "in.jsonl", 10), out=folder / "plain", workers=1)
    assert again.resumed == 5, "what the cluster did is done for a local run too"
    assert said(folder, cluster, "tasks") == "[9, 1, 4]"


def test_a_worker_that_is_killed_is_replaced(folder: Path, cluster: str) -> None:
    assert said(folder, cluster, "dying") == "25 0"
    assert (folder / "died").exists()
    assert [row.data["x"] for row in read_rows(folder / "dying" / "rows.jsonl")] == list(range(0, 50, 2))


def test_an_error_names_the_shard_and_the_step(folder: Path, cluster: str) -> None:
    told = said(folder, cluster, "failing")
    assert told.startswith(f'shard 4 ({folder}/in.jsonl, rows 41-50): step "divide" failed: ZeroDivisionError: ')


def test_a_cluster_that_does_not_answer_is_told(folder: Path) -> None:
    assert said(folder, f"ray://127.0.0.1:{free_port()}", "plain", tries=1).startswith("ray://127.0.0.1:")


def test_curation_on_a_cluster_writes_the_bytes_of_a_local_run(folder: Path, cluster: str) -> None:
    rows = [
        {"prompt": f"How many {w} has the {n} of {'the moon' * (i % 3)}?"}
        for i in range(9)
        for w in "abc"
        for n in "xy"
    ]
    write_jsonl(folder / "prompts.jsonl", rows)
    write_jsonl(folder / "quiz.jsonl", [{"question": "How many legs has the spider of the moon?"}])
    kept: dict[str, bytes] = {}
    for on in ("local", cluster):
        out = folder / f"{'local' if on == 'local' else 'ray'}.jsonl"
        verbs = [
            ["dedup", str(folder / "prompts.jsonl"), "--by", "exact,semantic", "--threshold", "semantic=0.2"],
            ["decontaminate", str(folder / "prompts.jsonl"), "--against", str(folder / "quiz.jsonl")],
        ]
        for verb in verbs:
            command = [sys.executable, "-m", "agora.cli", "curate", *verb, "--out", str(out), "--on", on]
            command += ["--work", str(folder / f"work-{out.stem}"), "--workers", "2"]
            ended = subprocess.run(command, env=ENV, cwd=folder, capture_output=True, text=True, timeout=200)
            assert ended.returncode == 0, ended.stderr
            key = verb[0]
            data = out.read_bytes()
            assert kept.setdefault(key, data) == data
    made = [sorted((folder / f"work-{name}").rglob("*.parquet")) for name in ("local", "ray")]
    assert [p.read_bytes() for p in made[0]] == [p.read_bytes() for p in made[1]]
    assert made[0]
