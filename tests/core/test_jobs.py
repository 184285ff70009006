"""Steps over shards: the same bytes always, resumable, and clear about what failed."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agora.core.errors import AgoraError, ConfigError, DataError, MissingError, UsageError
from agora.core.jobs import Shard, Step, make_shards, run_steps, run_tasks
from agora.core.tables import read_rows, write_jsonl, write_parquet
from agora.core.workers import LocalRunner

from . import job_steps as steps


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    write_jsonl(path, ({"x": n} for n in range(50)))
    return path


def xs(path: Path) -> list[int]:
    return [row.data["x"] for row in read_rows(path)]


PIPELINE = [Step(steps.drop_odd), Step(steps.scale, params={"factor": 3})]


def test_the_same_bytes_whatever_the_number_of_workers_and_shards(tmp_path: Path, table: Path) -> None:
    alone = run_steps(PIPELINE, make_shards(table, 50), out=tmp_path / "a", workers=1)
    many = run_steps(PIPELINE, make_shards(table, 7), out=tmp_path / "b", workers=2)
    assert alone.path.read_bytes() == many.path.read_bytes()
    assert xs(many.path) == [n * 3 for n in range(0, 50, 2)]
    assert (many.shards, many.resumed, many.rows_in, many.rows_out, many.workers) == (8, 0, 50, 25, 2)


def test_finished_shards_are_not_done_again(tmp_path: Path, table: Path) -> None:
    shards, out = make_shards(table, 10), tmp_path / "job"
    first = run_steps(PIPELINE, shards, out=out, workers=1)
    before = first.path.read_bytes()
    (out / "shards" / "000003.done.json").unlink()
    kept = {p: p.stat().st_mtime_ns for p in (out / "shards").glob("*.rows.jsonl") if "000003" not in p.name}
    again = run_steps(PIPELINE, shards, out=out, workers=1)
    assert again.resumed == 4
    assert again.path.read_bytes() == before
    assert kept == {p: p.stat().st_mtime_ns for p in kept}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ([Step(steps.drop_odd), Step(steps.scale, params={"factor": 4})], "steps.1.params.factor: 3 -> 4"),
        ([Step(steps.drop_odd, version=2), PIPELINE[1]], "steps.0.version: 1 -> 2"),
        ([Step(steps.drop_odd, name="even"), PIPELINE[1]], 'steps.0.name: "drop_odd" -> "even"'),
    ],
)
def test_a_changed_job_is_refused_with_what_differs(
    tmp_path: Path, table: Path, changed: list[Step], told: str
) -> None:
    shards = make_shards(table, 25)
    run_steps(PIPELINE, shards, out=tmp_path / "job", workers=1)
    with pytest.raises(ConfigError, match=f"this job was started differently: {told}"):
        run_steps(changed, shards, out=tmp_path / "job", workers=1)


def test_changed_input_or_cut_is_refused(tmp_path: Path, table: Path) -> None:
    run_steps(PIPELINE, make_shards(table, 25), out=tmp_path / "job", workers=1)
    with pytest.raises(ConfigError, match=r"shards\.count: 2 -> 5"):
        run_steps(PIPELINE, make_shards(table, 10), out=tmp_path / "job", workers=1)
    write_jsonl(table, ({"x": n + 1} for n in range(50)))
    with pytest.raises(ConfigError, match=r"inputs\.0: "):
        run_steps(PIPELINE, make_shards(table, 25), out=tmp_path / "job", workers=1)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failing_step_is_named_with_its_shard_and_error(tmp_path: Path, table: Path, workers: int) -> None:
    pipeline = [Step(steps.scale), Step(steps.divide, params={"by": 44}), Step(steps.drop_odd)]
    with pytest.raises(AgoraError) as caught:
        run_steps(pipeline, make_shards(table, 10), out=tmp_path / "job", workers=workers)
    line = f'shard 2 ({table}, rows 21-30): step "divide" failed: ZeroDivisionError: integer division or modulo by zero'
    assert str(caught.value) == line
    assert "job_steps.py" in caught.value.__notes__[0], "the trace is kept for --debug"
    assert (tmp_path / "job" / "shards" / "000000.done.json").exists()
    assert not (tmp_path / "job" / "shards" / "000002.rows.jsonl").exists()
    assert not list(tmp_path.rglob("*.agora-tmp"))


def test_a_worker_that_dies_is_reported_with_its_shard_and_the_rest_resumes(tmp_path: Path, table: Path) -> None:
    shards, out = make_shards(table, 10), tmp_path / "job"
    with pytest.raises(AgoraError) as caught:
        run_steps([Step(steps.exit_at, params={"x": 33})], shards, out=out, workers=2)
    assert str(caught.value).startswith(f"shard 3 ({table}, rows 31-40): the worker process ended with code 1; ")
    done = sorted(p.name for p in (out / "shards").glob("*.done.json"))
    assert "000000.done.json" in done
    assert "000003.done.json" not in done
    assert not list(tmp_path.rglob("*.agora-tmp"))


def test_a_lambda_cannot_be_sent_and_that_is_told_at_once(tmp_path: Path, table: Path) -> None:
    with pytest.raises(UsageError, match="cannot be sent to another process"):
        run_steps([Step(lambda rows: rows)], make_shards(table, 10), out=tmp_path / "job", workers=2)
    alone = run_steps([Step(lambda rows: rows, "same")], make_shards(table, 10), out=tmp_path / "one", workers=1)
    assert alone.rows_out == 50


def test_a_step_that_yields_no_dictionaries_is_named(tmp_path: Path, table: Path) -> None:
    with pytest.raises(DataError, match='step "give_numbers" failed: rows must be dictionaries, got int'):
        run_steps([Step(steps.give_numbers)], make_shards(table, 10), out=tmp_path / "job", workers=1)


def test_malformed_rows_are_errors_or_kept_up_to_the_stated_share(tmp_path: Path) -> None:
    table = tmp_path / "in.jsonl"
    table.write_bytes(b"".join(b'{"x": %d}\n' % n if n % 10 else b"broken\n" for n in range(40)))
    shards = make_shards(table, 8)
    with pytest.raises(DataError, match=rf"shard 0 .*: {table}:1: not valid JSON"):
        run_steps(PIPELINE, shards, out=tmp_path / "strict", workers=1)
    report = run_steps(PIPELINE, shards, out=tmp_path / "kept", workers=1, max_reject_share=0.1)
    assert (report.rejected, report.rows_in) == (4, 40)
    assert report.rejects is not None
    assert [row.data["where"] for row in read_rows(report.rejects)] == [f"{table}:{n}" for n in (1, 11, 21, 31)]
    with pytest.raises(DataError, match="3 rows are malformed, more than the 2 allowed"):
        run_steps(PIPELINE, shards, out=tmp_path / "few", workers=1, max_reject_share=0.05)


@pytest.mark.parametrize("kind", ["jsonl.gz", "json", "parquet"])
def test_shards_of_every_kind_of_table(tmp_path: Path, kind: str) -> None:
    from agora.core.records import Answer

    path = tmp_path / f"in.{kind}"
    answers = [Answer(str(n), "m", "o") for n in range(30)]
    if kind == "parquet":
        write_parquet(path, answers, Answer)
    elif kind == "json":
        path.write_text(json.dumps([{"task_id": str(n)} for n in range(30)]))
    else:
        write_jsonl(path, answers)
    report = run_steps([], make_shards(path, 7), out=tmp_path / "job", workers=1)
    assert [row.data["task_id"] for row in read_rows(report.path)] == [str(n) for n in range(30)]


def test_several_files_make_one_job(tmp_path: Path, table: Path) -> None:
    other = tmp_path / "more.jsonl"
    write_jsonl(other, ({"x": n} for n in range(50, 60)))
    shards = make_shards(table, 20)
    shards += make_shards(other, 20, first_index=len(shards))
    assert xs(run_steps([], shards, out=tmp_path / "job", workers=1).path) == list(range(60))
    with pytest.raises(UsageError, match="two shards have the same index"):
        run_steps([], make_shards(table, 20) + make_shards(other, 20), out=tmp_path / "job2", workers=1)


def test_a_job_that_keeps_no_row_is_no_error(tmp_path: Path, table: Path) -> None:
    report = run_steps([Step(lambda rows: iter(()), "none")], make_shards(table, 20), out=tmp_path / "j", workers=1)
    assert report.rows_out == 0
    assert report.path.read_bytes() == b""


@pytest.mark.parametrize(
    ("on", "kind", "told"),
    [
        ("ray", MissingError, r"needs the package ray; pip install 'agora\[ray\]'"),
        ("ray://head:10001", MissingError, "needs the package ray"),
        ("locl", ConfigError, "did you mean local?"),
    ],
)
def test_where_a_job_cannot_run_is_told(
    tmp_path: Path, table: Path, on: str, kind: Any, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(kind, match=told.replace("?", r"\?")):
        run_steps([], make_shards(table, 20), out=tmp_path / "job", on=on)
    assert not (tmp_path / "job").exists()


def test_wrong_numbers_are_told(tmp_path: Path, table: Path) -> None:
    with pytest.raises(UsageError, match="rows_per_shard must be at least 1, got 0"):
        make_shards(table, 0)
    with pytest.raises(UsageError, match="workers must be at least 1, got 0"):
        run_steps([], make_shards(table, 20), out=tmp_path / "job", workers=0)


def test_a_second_process_is_kept_out_of_a_job(tmp_path: Path, table: Path) -> None:
    from agora.core.lock import FolderLock

    lock = FolderLock(tmp_path / "job")
    with pytest.raises(AgoraError, match="is working in this folder"):
        run_steps([], make_shards(table, 20), out=tmp_path / "job", workers=1)
    lock.release()
    run_steps([], make_shards(table, 20), out=tmp_path / "job", workers=1)


def test_workers_load_nothing_heavy_for_themselves(tmp_path: Path, table: Path) -> None:
    report = run_steps([Step(steps.imported)], make_shards(table, 25), out=tmp_path / "job", workers=2)
    assert not any(row.data["torch"] for row in read_rows(report.path))


INTERRUPTED = """
import sys
from pathlib import Path
from agora.core.jobs import Step, make_shards, run_steps
from tests.core.job_steps import wait_at

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    steps = [Step(wait_at, params={"x": 35, "gate": str(folder / "gate")})]
    run_steps(steps, make_shards(folder / "in.jsonl", 10), out=folder / "job", workers=2)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_interrupted_jobs_leave_their_finished_shards_and_resume(tmp_path: Path, table: Path, how: int) -> None:
    script = tmp_path / "script.py"
    script.write_text(INTERRUPTED)
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, str(script), str(tmp_path)]
    env = {"PYTHONPATH": str(root), "AGORA_PROGRESS": "0", "PATH": "/usr/bin:/bin"}
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    notes = [tmp_path / "job" / "shards" / f"{n:06d}.done.json" for n in (0, 1, 2, 4)]
    deadline = time.monotonic() + 60
    while not all(note.exists() for note in notes):
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(how)
    assert process.stderr is not None
    process.wait(20)
    assert not (tmp_path / "job" / "rows.jsonl").exists()
    (tmp_path / "gate").touch()  # also lets an orphan of the killed process end
    trace = process.stderr.read()
    process.stderr.close()
    assert trace.count("Traceback") == (how == signal.SIGINT), "workers print no traces of their own"
    pipeline = [Step(steps.wait_at, params={"x": 35, "gate": str(tmp_path / "gate")})]
    report = run_steps(pipeline, make_shards(table, 10), out=tmp_path / "job", workers=1)
    assert report.resumed >= 4
    assert xs(report.path) == list(range(50))


def test_results_come_as_they_are_ready_and_errors_after_the_work_in_flight() -> None:
    assert sorted(LocalRunner(2).map(abs, [-3, -2, -1])) == [1, 2, 3]
    with pytest.raises(AgoraError, match="x: TypeError: bad operand type for abs"):
        list(LocalRunner(2).map(abs, [-1, "x", -2]))  # type: ignore[arg-type]
    assert list(LocalRunner(2).map(abs, [])) == []


def test_processes_stay_from_one_map_to_the_next_inside_a_block() -> None:
    with LocalRunner(1) as runner:
        (first,) = {*runner.map(steps.process, [0, 0])}
        assert [*runner.map(abs, [-1])] == [1]
        assert {*runner.map(steps.process, [0])} == {first}
        os.kill(first, signal.SIGKILL)
        with pytest.raises(AgoraError, match="0: the worker process was killed by signal 9"):
            list(runner.map(steps.process, [0]))
        assert first not in runner.map(steps.process, [0])
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("workers", [1, 2])
def test_tasks_give_their_results_in_order_and_name_the_one_that_failed(workers: int) -> None:
    assert run_tasks(steps.square, [3, 1, 2], workers=workers) == [9, 1, 4]
    assert run_tasks(steps.square, [], workers=workers) == []
    with pytest.raises((AgoraError, ValueError), match="negative"):
        run_tasks(steps.square, [3, -1, 2], workers=workers)


def test_a_shard_names_its_rows_as_people_count() -> None:
    assert str(Shard(3, Path("a.jsonl"), 20, 30)) == "shard 3 (a.jsonl, rows 21-30)"
