"""Kill -9 at random moments: nothing finished is lost or paid for again (acceptance check K)."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

N, IN_FLIGHT, KILLS = 400, 8, 10
ROOT = Path(__file__).resolve().parents[3]


def start(folder: Path, order: int) -> subprocess.Popen[bytes]:
    arguments = [str(folder), str(N), str(IN_FLIGHT), str(order)]
    command = [sys.executable, "-m", "tests.rooms.synthesize.drawing_child", *arguments]
    return subprocess.Popen(command, cwd=ROOT)


def calls(folder: Path) -> list[str]:
    path = folder / "calls.txt"
    return path.read_text().split("\n")[:-1] if path.exists() else []


def kill_after(folder: Path, more: int, order: int) -> bool:
    """Kill the child once it has made ``more`` further calls; False when it finished first."""
    target = len(calls(folder)) + more
    child = start(folder, order)
    deadline = time.monotonic() + 60
    while child.poll() is None and len(calls(folder)) < target:
        assert time.monotonic() < deadline, "the child makes no calls"
        time.sleep(0.001)
    if child.poll() is not None:
        assert child.returncode == 0
        return False
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    return True


@pytest.mark.slow
def test_killed_ten_times_the_draw_ends_with_the_same_bytes_and_repeats_only_what_was_in_flight(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    assert start(whole, 0).wait() == 0
    assert sorted(calls(whole)) == sorted(set(calls(whole)))
    rng = random.Random(11)
    kills = sum(kill_after(broken, rng.randint(1, 50), order=turn) for turn in range(KILLS))
    assert kills == KILLS
    assert start(broken, 99).wait() == 0
    assert (broken / "instructions.jsonl").read_bytes() == (whole / "instructions.jsonl").read_bytes()
    made = calls(broken)
    assert len(set(made)) == N
    repeated = len(made) - N
    print(f"{repeated} calls repeated after {kills} kills with {IN_FLIGHT} in flight")
    assert repeated <= kills * IN_FLIGHT, f"{repeated} calls repeated after {kills} kills"
