"""Kill -9 at random moments while pairs and turns are made: the same bytes, and only what was in flight again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agora.core.tables import write_jsonl

IN_FLIGHT, KILLS = 8, 6
ROOT = Path(__file__).resolve().parents[3]
FILES = {
    "pairs": ("pairs.jsonl", "pairs_test.jsonl", "dropped.jsonl", "pairs.json"),
    "turns": ("conversations.jsonl",),
}


def start(kind: str, folder: Path, order: int) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "tests.rooms.synthesize.killed_child", kind, str(folder), str(IN_FLIGHT)]
    return subprocess.Popen([*command, str(order)], cwd=ROOT, stderr=subprocess.DEVNULL)


def calls(folder: Path) -> list[str]:
    path = folder / "calls.txt"
    return path.read_text().split("\n")[:-1] if path.exists() else []


def kill_after(kind: str, folder: Path, more: int, order: int) -> None:
    target = len(calls(folder)) + more
    child = start(kind, folder, order)
    deadline = time.monotonic() + 60
    while child.poll() is None and len(calls(folder)) < target:
        assert time.monotonic() < deadline, "the child makes no calls"
        time.sleep(0.001)
    assert child.poll() is None, "the child finished before it was killed"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pairs", "turns"])
def test_killed_at_random_moments_the_result_has_the_same_bytes_and_little_is_paid_twice(
    kind: str, tmp_path: Path
) -> None:
    rows = [
        {"messages": [{"role": "user", "content": f"Question {i}?"}, {"role": "assistant", "content": f"Answer {i}."}]}
        for i in range(120)
    ]
    write_jsonl(tmp_path / "source.jsonl", rows)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert start(kind, whole, 0).wait() == 0
    made = calls(whole)
    assert len(made) == len(set(made)) > 300
    rng = random.Random(7)
    for turn in range(KILLS):
        kill_after(kind, broken, rng.randint(1, 45), order=turn)
    assert start(kind, broken, 99).wait() == 0
    for name in FILES[kind]:
        here, there = (folder / "out" / name for folder in (broken, whole))
        text, expected = here.read_bytes(), there.read_bytes()
        if name.endswith(".json"):  # it names the folder
            text, expected = (t.replace(str(f).encode(), b"") for t, f in ((text, broken), (expected, whole)))
        assert text == expected, name
    again = calls(broken)
    assert set(again) == set(made)
    repeated = len(again) - len(made)
    print(f"{kind}: {repeated} calls repeated after {KILLS} kills with {IN_FLIGHT} in flight")
    assert repeated <= KILLS * IN_FLIGHT
