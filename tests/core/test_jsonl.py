"""Growing tables: a process may be killed at any moment, a disk may be full."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agora.core.errors import AgoraError, DataError, UsageError
from agora.core.records import Answer
from agora.core.tables import JsonlWriter, read_records, read_rows
from tests.examples import examples

# Hands a line to the system seven bytes at a time, which a real system may do, and says when each row is finished.
WRITER = """
import os, sys
from pathlib import Path
from agora.core.tables import JsonlWriter
real = os.write
os.write = lambda fd, data: real(fd, bytes(data)[:7])
first = int(sys.argv[2])
with JsonlWriter(Path(sys.argv[1])) as out:
    for n in range(first, first + 1_000_000):
        out.write({"n": n, "text": "x" * (n * 37 % 900)})
        real(1, b"%d\\n" % n)
"""


def kill_a_writer(path: Path, first: int, rng: random.Random) -> int:
    """Start a writer, kill it -9 some milliseconds after its first row; the last row it called finished."""
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(first)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(rng.uniform(0, 0.02))
    os.kill(process.pid, signal.SIGKILL)
    rest = process.stdout.read().splitlines()
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    return int(rest[-1]) if rest else first


def test_killed_writers_lose_nothing_finished_and_leave_no_broken_line(tmp_path: Path) -> None:
    path, rng, torn, finished = tmp_path / "log.jsonl", random.Random(0), 0, -1
    for _ in range(5):
        finished = kill_a_writer(path, finished + 1, rng)
        torn += not path.read_bytes().endswith(b"\n")
        with JsonlWriter(path) as repaired:
            assert path.read_bytes().endswith(b"\n")
            rows = [json.loads(line) for line in path.read_bytes().splitlines()]
            assert [row["n"] for row in rows] == list(range(len(rows)))
            assert len(rows) - 1 in (finished, finished + 1)  # the last may have been written and not yet told
            assert all(row["text"] == "x" * (row["n"] * 37 % 900) for row in rows)
            assert repaired.path == path
        finished = len(rows) - 1
    assert torn >= 1, "no kill fell into a line: the test tested nothing"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=examples(60), deadline=None)
@given(
    rows=st.lists(
        st.dictionaries(st.text(max_size=4), st.text(max_size=6) | st.integers(0, 9), max_size=3), max_size=4
    ),
    data=st.data(),
)
def test_cut_at_any_byte_whole_rows_stay_and_writing_goes_on(
    tmp_path: Path, rows: list[dict[str, object]], data: st.DataObject
) -> None:
    path = tmp_path / "log.jsonl"
    path.unlink(missing_ok=True)
    with JsonlWriter(path) as out:
        for row in rows:
            out.write(row)
    content = path.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:cut])
    # a row whose every byte but the line end was written is whole
    whole = sum(1 for n in range(len(rows)) if len(b"".join(content.splitlines(keepends=True)[: n + 1])) - 1 <= cut)
    with JsonlWriter(path) as out:
        assert out.repaired == (cut > 0 and content[cut - 1 : cut] != b"\n")
        out.write({"after": 1})
    assert [row.data for row in read_rows(path)] == [*rows[:whole], {"after": 1}]


def test_a_long_torn_line_is_cut_off_whole(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"a":1}\n{"b":"' + b"x" * (3 << 20))
    with JsonlWriter(path) as out:
        assert out.repaired
    assert path.read_bytes() == b'{"a":1}\n'


def test_a_file_of_nothing_but_a_torn_line_becomes_empty(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"a')
    JsonlWriter(path).close()
    assert path.read_bytes() == b""


def test_records_and_dictionaries_are_appended_after_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "answers.jsonl"
    with JsonlWriter(path) as out:
        out.write(Answer("a", "m", "o"))
        assert not out.repaired
    with JsonlWriter(path) as out:
        out.write({"task_id": "b", "model": "m", "output": ""})
        assert not out.repaired
    assert list(read_records(path, Answer)) == [Answer("a", "m", "o"), Answer("b", "m", "")]


def test_a_row_is_on_disk_before_the_writer_is_closed(tmp_path: Path) -> None:
    with JsonlWriter(tmp_path / "log.jsonl") as out:
        out.write({"a": 1})
        assert (tmp_path / "log.jsonl").read_bytes() == b'{"a":1}\n'


def test_threads_may_share_a_writer(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with JsonlWriter(path) as out:
        threads = [
            threading.Thread(target=lambda k=k: [out.write({"k": k, "x": "y" * 500}) for _ in range(50)])
            for k in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(1 for _ in read_rows(path)) == 200


def test_a_row_that_json_cannot_hold_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    with JsonlWriter(tmp_path / "log.jsonl") as out:
        with pytest.raises(DataError, match="cannot be written as JSON"):
            out.write({"a": object()})
        out.write({"a": 1})
    assert (tmp_path / "log.jsonl").read_bytes() == b'{"a":1}\n'


def test_a_growing_table_is_not_compressed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a growing table is not compressed"):
        JsonlWriter(tmp_path / "log.jsonl.gz")


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AgoraError, match="cannot write"):
        JsonlWriter(tmp_path / "file" / "log.jsonl")
    with pytest.raises(AgoraError, match="cannot write"):
        JsonlWriter(tmp_path)


def test_closing_twice_is_fine(tmp_path: Path) -> None:
    out = JsonlWriter(tmp_path / "log.jsonl")
    out.close()
    out.close()
