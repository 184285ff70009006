"""A full judging from stored verdicts, killed half-way: the published scores, and no verdict asked for twice."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from agora.core.records import Message, Task
from agora.core.tables import write_jsonl
from agora.rooms.judge import read_judged, read_judged_answers

PUBLISHED = {"gemma-2b-it": 6.2109, "gemma-7b-it": 23.8672, "gpt-3.5-turbo-0125": 42.1094}


@pytest.mark.slow
def test_a_replayed_judging_that_is_killed_ends_with_the_published_scores(shared_dir: Path, tmp_path: Path) -> None:
    folder = shared_dir / "data" / "wildbench" / "judged" / "gpt-4-turbo-2024-04-09.v2.0522"
    files = [next(folder.glob(f"{model}.*")) for model in PUBLISHED]
    answers = [answer for file in files for answer in read_judged_answers(file)]
    write_jsonl(tmp_path / "answers.jsonl", answers)
    write_jsonl(tmp_path / "verdicts.jsonl", [v for file in files for v in read_judged(file).verdicts])
    ids = sorted({answer.task_id for answer in answers})
    write_jsonl(tmp_path / "tasks.jsonl", [Task(i, "wildbench", "v2", (Message("user", "(not stored)"),)) for i in ids])
    command = [sys.executable, "-m", "agora.cli", "judge", "score", "--tasks", str(tmp_path / "tasks.jsonl")]
    command += ["--answers", str(tmp_path / "answers.jsonl"), "--judge", f"replay:{tmp_path / 'verdicts.jsonl'}"]
    command += ["--allow-partial", "--json", "--out", str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(lines(tmp_path)) < 500 and process.poll() is None:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert 500 <= len(lines(tmp_path)) < len(answers)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    models = {m["model"]: m for m in json.loads(done.stdout)["judges"][0]["models"]}
    assert {name: round(m["value"], 4) for name, m in models.items()} == PUBLISHED
    asked = Counter(json.loads(line)["id"] for line in lines(tmp_path))
    assert len(asked) == len(answers) and set(asked.values()) == {1}


def lines(tmp_path: Path) -> list[bytes]:
    """Whole lines of the verdict file."""
    found = list((tmp_path / "out" / "verdicts").glob("*.score.jsonl"))
    return found[0].read_bytes().split(b"\n")[:-1] if found else []
