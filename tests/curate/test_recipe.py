"""Curation in one command: files of any format together, a recipe of steps, resumed after kills."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from agora.core.errors import ConfigError, UsageError
from agora.curate.combine import combine_files
from agora.curate.duplicates import similar_pairs
from agora.curate.recipe import SHIPPED, read_recipe, run_recipe
from agora.curate.text import normalize
from tests.curate.labeled import read, talk, write

OPENAI = {"messages": [{"role": "user", "content": "Name a color."}, {"role": "assistant", "content": "Red."}]}
SHAREGPT = {
    "id": "1",
    "conversations": [{"from": "human", "value": "name a  COLOR."}, {"from": "gpt", "value": "Blue."}],
}


def files(folder: Path) -> list[Path]:
    circles = {
        **OPENAI,
        "messages": [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": "on and on " * 60}],
    }
    return [
        write(folder / "a.jsonl", [OPENAI, circles]),
        write(folder / "b.jsonl", [SHAREGPT, {"id": "2", "conversations": []}]),
        write(folder / "c.jsonl", [{"prompt": "What is the tallest mountain of Peru?"}]),
    ]


def test_files_of_all_formats_come_together_with_distinct_ids(tmp_path: Path) -> None:
    sources = [*files(tmp_path), write(tmp_path / "d.jsonl", [OPENAI])]
    (tmp_path / "e.jsonl").write_bytes((tmp_path / "a.jsonl").read_bytes())
    report = combine_files([*sources, tmp_path / "e.jsonl"], tmp_path / "out.jsonl")
    rows = read(report.out)
    assert len({row["id"] for row in rows}) == len(rows) == 7
    assert list(report.facts["files"].values()) == [2, 1, 1, 1, 2]
    assert report.reasons == {"no messages": 1}
    assert [row["provenance"]["source"] for row in rows[:4]] == ["openai", "openai", "sharegpt", "prompts"]


def test_one_command_needs_no_label(tmp_path: Path) -> None:
    report = run_recipe(files(tmp_path), tmp_path / "run", read_recipe())
    kept = [row["messages"][0]["content"] for row in read(report.kept)]
    assert kept in (
        ["Name a color.", "What is the tallest mountain of Peru?"],
        ["name a  COLOR.", "What is the tallest mountain of Peru?"],
    )
    assert dict(report.funnel.reasons()) == {"no messages": 1, "not repeats(answer) < 0.5": 1, "exact duplicate": 1}
    assert report.funnel.n_in == 5 and report.funnel.n_out == 2
    assert "How it came about" in report.page.read_text()


@pytest.mark.slow
def test_two_processes_work_through_a_recipe_as_one_does(tmp_path: Path) -> None:
    alone = run_recipe(files(tmp_path), tmp_path / "alone", read_recipe())
    apart = run_recipe(files(tmp_path), tmp_path / "apart", read_recipe(), workers=2)
    assert apart.kept.read_bytes() == alone.kept.read_bytes()
    assert apart.funnel.to_json() == alone.funnel.to_json()


def test_the_same_command_resumes_and_another_recipe_is_refused(tmp_path: Path) -> None:
    sources = files(tmp_path)
    first = run_recipe(sources, tmp_path / "run", read_recipe())
    written = (tmp_path / "run" / "01-filter.jsonl").stat().st_mtime_ns
    again = run_recipe(sources, tmp_path / "run", read_recipe())
    assert again.funnel.to_json() == first.funnel.to_json()
    assert (tmp_path / "run" / "01-filter.jsonl").stat().st_mtime_ns == written
    with pytest.raises(ConfigError, match="surface"):
        run_recipe(sources, tmp_path / "run", read_recipe("label_free", ["steps.2.dedup.surface=0.7"]))


def test_every_verb_can_be_a_step(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "seed: 3\n"
        "steps:\n"
        "  - label: {labels: [category, difficulty], engine: 'microcosm:world'}\n"
        "  - filter: {where: 'words(instruction) > 2'}\n"
        f"  - decontaminate: {{against: [{tmp_path / 'test.jsonl'}]}}\n"
        "  - sample: {n: 20, split: 'test=0.2'}\n"
    )
    import agora.cli  # noqa: F401  (it enters the microcosm's labeler)
    from agora.microcosm.world.world import shipped_world

    exercises = list(shipped_world().exercises(random.Random(0), 60))
    source = write(tmp_path / "in.jsonl", [talk(e.instruction, e.reference, id=e.id) for e in exercises])
    write(tmp_path / "test.jsonl", [{"prompt": "An entirely different question about the history of glass making?"}])
    report = run_recipe([source], tmp_path / "run", read_recipe(str(recipe)))
    held = read(tmp_path / "run" / "kept.test.jsonl")
    rows = read(report.kept)
    assert len(rows) + len(held) == 20
    truth = {e.id: e.difficulty for e in exercises}
    assert all(row["tags"]["difficulty"]["value"] == truth[row["id"]] for row in rows + held)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipes_are_read(name: str) -> None:
    recipe = read_recipe(name)
    assert [step.verb for step in recipe.steps].count("dedup") == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [("steps: []\n", "at least 1"), ("steps:\n  - {}\n", "names one verb"), ("steps:\n  - dedupe: {}\n", "dedup")],
)
def test_a_recipe_that_is_none_is_refused(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(ConfigError, match=says):
        read_recipe(str(tmp_path / "r.yaml"))


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean label_free"):
        read_recipe("label_fre")


def real_files(shared: Path) -> list[Path]:
    names = (
        "wildchat/formats/sharegpt_dummy_conversation.json.gz",
        "wildchat/formats/oasst_en_100_trees.jsonl.gz",
        "magpie/arena_hard_v01_prompts.jsonl.gz",
        "magpie/neardup_planted.jsonl.gz",
    )
    return [shared / "data" / name for name in names]


@pytest.mark.slow
def test_real_input_is_curated_in_one_command(shared_dir: Path, tmp_path: Path) -> None:
    report = run_recipe(real_files(shared_dir), tmp_path / "run", read_recipe())
    combined = [normalize(row["messages"][0]["content"]) for row in read(tmp_path / "run" / "00-combined.jsonl")]
    assert report.funnel.n_in == len(combined) == 500 + 100 + 500 + 10_903
    reasons = report.funnel.reasons()
    assert reasons["exact duplicate"] == len(combined) - len(set(combined)) == 743
    with gzip.open(real_files(shared_dir)[3], "rt") as file:
        planted = [normalize(json.loads(line)["text"]) for line in file]
    assert len(planted) - len(set(planted)) == 294  # published with the data: 10,609 distinct
    kept = [normalize(row["messages"][0]["content"]) for row in read(report.kept)]
    assert reasons["surface duplicate"] == len(set(combined)) - len(kept)
    assert similar_pairs(kept, 0.6) == []
    # no group of duplicates is lost whole: there are 8,774 groups among the planted rows
    assert len(set(kept) & set(planted)) >= 8_774


@pytest.mark.slow
def test_killed_at_random_moments_a_recipe_ends_with_the_same_bytes(tmp_path: Path) -> None:
    rng = random.Random(2)
    rows: list[dict[str, Any]] = [
        talk(f"Question {i % 900} of {i % 7}?", "word " * (i % 40), id=f"r{i}") for i in range(3000)
    ]
    source = write(tmp_path / "in.jsonl", rows)

    def start(out: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "agora.cli", "curate", "run", str(source), "--out", str(tmp_path / out)]
        environment = {**os.environ, "AGORA_PROGRESS": "0"}
        return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    began = time.monotonic()
    assert start("whole").wait() == 0
    whole_s = time.monotonic() - began
    for _ in range(6):
        process = start("killed")
        time.sleep(rng.uniform(0.3, 1.0) * whole_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert start("killed").wait() == 0
    for name in ("kept.jsonl", "kept.rejects.jsonl", "funnel.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
