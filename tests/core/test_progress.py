"""Progress on a terminal, in a log, and not at all."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from agora.core.progress import Lines, describe, progress

SCRIPT = """
from agora.core.progress import progress
with progress(10, "draw [rows]", "rows") as outer:
    for n in range(2):
        with progress(None, "inner") as inner:
            inner.advance(3)
        outer.advance(5)
    outer.note("half of [bold]it[/bold]")
print("result")
"""


def run_script(**env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, env=os.environ | env
    )


def test_off_a_terminal_plain_lines_go_to_stderr_and_results_stay_clean() -> None:
    ended = run_script(AGORA_PROGRESS="1")
    assert ended.stdout == "result\n"
    lines = ended.stderr.splitlines()
    assert lines[0].startswith("inner: 3 it, ")
    assert lines[2] == "draw [rows]: half of [bold]it[/bold]"
    assert lines[3].startswith("draw [rows]: 10 rows, ")
    assert "\x1b" not in ended.stderr


@pytest.mark.parametrize("word", ["0", "off", "No", "FALSE"])
def test_the_environment_silences_it(word: str) -> None:
    assert run_script(AGORA_PROGRESS=word).stderr == ""


def test_on_a_terminal_a_bar_shows_count_rate_and_label_as_they_are() -> None:
    ours, theirs = pty.openpty()
    env = os.environ | {"AGORA_PROGRESS": "1", "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], stderr=theirs, stdout=subprocess.PIPE, env=env)
    os.close(theirs)
    seen = b""
    try:
        while block := os.read(ours, 65536):
            seen += block
    except OSError:
        pass  # the other end of a terminal closes with an error
    os.close(ours)
    assert process.stdout is not None
    assert process.stdout.read() == b"result\n"
    process.stdout.close()
    assert process.wait() == 0
    text = seen.decode()
    assert "10/10 rows" in text
    assert "draw [rows]" in text
    assert "half of [bold]it[/bold]" in text
    assert "\x1b[?25h" in text, "the cursor must come back"


def ticking(*times: float) -> Iterator[float]:
    return iter(times)


def test_lines_come_at_most_every_five_seconds() -> None:
    out, clock = io.StringIO(), ticking(0.0, 1.0, 4.9, 5.0, 6.0, 10.5, 12.0)
    lines = Lines(100, "train", "steps", out, clock=lambda: next(clock))
    for _ in range(5):
        lines.advance(10)
    lines.close()
    assert out.getvalue().splitlines() == [
        "train: 30/100 steps (30 %), 6.0 steps/s, 0:12 left",
        "train: 50/100 steps (50 %), 4.8 steps/s, 0:10 left",
        "train: 50 steps, 4.2 steps/s, 0:12 in all",
    ]


@pytest.mark.parametrize(
    ("done", "total", "seconds", "line"),
    [
        (0, 10, 0.0, "x: 0/10 it (0 %), 0 it/s"),
        (10, 10, 2.0, "x: 10/10 it (100 %), 5.0 it/s"),
        (12_345, None, 10.0, "x: 12,345 it, 1,234 it/s"),
        (1, 10_000, 100.0, "x: 1/10,000 it (0 %), 0.01 it/s, 277:45:00 left"),
        (0, 0, 1.0, "x: 0/0 it, 0 it/s"),
        (12, 10, 4.0, "x: 12/10 it (120 %), 3.0 it/s"),
    ],
)
def test_a_line_reads_well_at_the_edges(done: int, total: int | None, seconds: float, line: str) -> None:
    assert describe("x", done, total, "it", seconds) == line


def test_threads_lose_no_count() -> None:
    lines = Lines(None, "x", "it", io.StringIO())
    threads = [threading.Thread(target=lambda: [lines.advance() for _ in range(2000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lines.done == 8000


def test_a_closed_stderr_does_not_stop_the_work() -> None:
    out = io.StringIO()
    lines = Lines(1, "x", "it", out)
    out.close()
    lines.note("text")
    lines.close()


def test_an_error_inside_passes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGORA_PROGRESS", "1")
    with pytest.raises(KeyError), progress(3, "x"):
        raise KeyError("mine")
