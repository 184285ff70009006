"""The loop end to end: the real command, the shipped models, real logs, real kills."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agora.core.records import PreferencePair, Sample, Task
from agora.core.tables import read_json, read_records
from agora.microcosm.world import World, is_held_out
from tests.loop.conftest import agora, loop_arguments, result_of

pytestmark = pytest.mark.timeout(1500)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("loop") / "run"
    return out, result_of(agora(*loop_arguments(out)))


def metrics_of(result: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in result.items() if key not in ("seconds", "report")}


def test_one_command_ends_with_five_judged_models_and_a_report(unbroken: tuple[Path, dict[str, Any]]) -> None:
    out, result = unbroken
    assert [m["name"] for m in result["models"]] == ["base", "sft", "dpo", "ppo", "chat"]
    for model in result["models"]:
        low, high = model["wb_score_ci"]
        assert -80 <= low <= model["wb_score"] <= high <= 100
        assert model["coverage"] == 1.0
    page = Path(result["report"]).read_text()
    assert 'href="leaderboard.html"' in page
    assert "Leaderboard of the loop" in (Path(result["report"]).parent / "leaderboard.html").read_text()
    assert page.startswith(("<!doctype html>", "<!DOCTYPE html>"))
    assert all(text in page for text in ("WB-Score", "WB-Reward", "Preference pairs", "agora loop"))
    assert "Who talked with the model?" in page and "Consent and erasure" in page
    assert "From the visitors' conversations to the release" in page.replace("&#39;", "'").replace("&#x27;", "'")
    assert read_json(out / "visitors" / "release" / "manifest.json")["conversations"] > 0
    assert read_json(out / "run.json")["status"] == "done"


def test_training_data_never_holds_a_benchmark_task(unbroken: tuple[Path, dict[str, Any]]) -> None:
    out, _ = unbroken
    tasks = {" ".join(t.messages[-1].content.lower().split()) for t in read_records(out / "tasks.jsonl", Task)}
    kept = [s for s in read_records(out / "samples.jsonl", Sample) if s.kept]
    assert kept and not tasks & {" ".join(s.instruction.lower().split()) for s in kept}


def test_benchmark_tasks_are_held_out_and_known_to_the_world(unbroken: tuple[Path, dict[str, Any]]) -> None:
    out, _ = unbroken
    world = World()
    tasks = list(read_records(out / "tasks.jsonl", Task))
    assert len({task.id for task in tasks}) == len(tasks) == 40
    for task in tasks:
        assert is_held_out(task.messages[-1].content)
        assert world.recognize(task.messages[-1].content) is not None


def test_every_removed_row_keeps_a_reason_and_the_funnel_adds_up(unbroken: tuple[Path, dict[str, Any]]) -> None:
    out, result = unbroken
    samples = list(read_records(out / "samples.jsonl", Sample))
    assert all(s.reason for s in samples if not s.kept)
    steps = result["funnel"]["steps"] if isinstance(result["funnel"], dict) else result["funnel"]
    assert steps[-1]["kept"] == sum(s.kept for s in samples)


def test_pairs_prefer_the_higher_score_by_the_margin(unbroken: tuple[Path, dict[str, Any]]) -> None:
    out, _ = unbroken
    pairs = list(read_records(out / "pairs.jsonl", PreferencePair))
    assert pairs
    for pair in pairs:
        assert pair.chosen_score is not None and pair.rejected_score is not None
        assert pair.chosen_score - pair.rejected_score >= 1
        assert pair.chosen != pair.rejected


def test_running_again_changes_nothing_and_calls_no_model(unbroken: tuple[Path, dict[str, Any]]) -> None:
    out, result = unbroken
    started = time.monotonic()
    again = result_of(agora(*loop_arguments(out)))
    assert metrics_of(again) == metrics_of(result)
    assert time.monotonic() - started < 60


def test_changed_settings_are_refused_and_named(unbroken: tuple[Path, dict[str, Any]]) -> None:
    out, _ = unbroken
    done = agora(*loop_arguments(out, "--set", "dpo.beta=0.7"))
    assert done.returncode == 2
    assert "beta" in done.stderr and "0.3" in done.stderr and "0.7" in done.stderr
    assert "Traceback" not in done.stderr and done.stderr.count("\n") == 1


def kill_at_random(out: Path, kills: int, seed: int, seconds: float) -> int:
    """Start the loop and kill -9 its whole process group at random moments; returns kills that hit a live process."""
    rng = random.Random(seed)
    hits = 0
    for _ in range(kills):
        process = subprocess.Popen(
            [sys.executable, "-m", "agora.cli", *loop_arguments(out)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "AGORA_PROGRESS": "0", "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
        try:
            process.wait(timeout=rng.uniform(0.15, 1) * seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            hits += 1
    return hits


@pytest.mark.slow
def test_ten_kills_at_random_moments_end_like_an_unbroken_run(
    unbroken: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, result = unbroken
    out = tmp_path / "killed"
    seconds = max(8.0, 0.4 * sum(stage["seconds"] for stage in read_json(folder / "run.json")["stages"].values()))
    assert kill_at_random(out, 10, seed=1, seconds=seconds) >= 3
    assert metrics_of(result_of(agora(*loop_arguments(out)))) == metrics_of(result)
    for name in (
        "visitors/conversations.jsonl",
        "samples.jsonl",
        "pairs.jsonl",
        "answers_dpo.jsonl",
        "answers_ppo.jsonl",
    ):
        assert (out / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "conversations"),
    [("oasst_en_100_trees.jsonl.gz", 100), ("sharegpt_dummy_conversation.json.gz", 500)],
)
def test_own_logs_are_imported_mined_and_shown(shared_dir: Path, tmp_path: Path, name: str, conversations: int) -> None:
    file = shared_dir / "data/wildchat/formats" / name
    out = tmp_path / "run"
    result = result_of(agora(*loop_arguments(out, "--conversations", str(file))))
    mining = read_json(out / "mining.json")
    assert mining["conversations"] == conversations
    mined = list(read_records(out / "mined_tasks.jsonl", Task))
    assert mined
    page = Path(result["report"]).read_text()
    assert "Your conversations" in page and mined[0].messages[-1].content[:20].split("'")[0] in page
    trained = {s.instruction for s in read_records(out / "samples.jsonl", Sample) if s.kept}
    assert not trained & {task.messages[-1].content for task in mined}
