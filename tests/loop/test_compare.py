"""Comparing training data: small and whole, resumed, and told in a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agora.core.errors import ConfigError
from agora.core.records import Sample, Verdict
from agora.core.runs import RunDir
from agora.core.tables import read_records, write_jsonl
from agora.loop.compare.datasets import data_set
from agora.loop.compare.flow import Comparison, compare_data
from agora.loop.compare.results import outcomes
from agora.loop.compare.settings import ARMS, CompareConfig, slug_of
from agora.rooms.synthesize.distances import nearest_distances


def small(**more: Any) -> CompareConfig:
    values: dict[str, Any] = {
        "rows": 12,
        "tasks": 10,
        "seeds": (0,),
        "grid": {"count": 0},
        "self_instruct": {"max_requests": 64},
        "sft": {"train": {"epochs": 1, "batch_size": 8}},
        "max_answer_tokens": 32,
    }
    return CompareConfig(**(values | more))


def run(out: Path, config: CompareConfig) -> Comparison:
    with RunDir.open(out, command="agora synthesize compare", config=config.model_dump(mode="json"), seed=0) as folder:
        return compare_data(config, folder)


@pytest.mark.slow
def test_every_data_set_has_the_same_rows_and_a_rerun_changes_no_figure(tmp_path: Path) -> None:
    write_jsonl(
        tmp_path / "mine.jsonl",
        [
            {"messages": [{"role": "user", "content": f"Say {i}."}, {"role": "assistant", "content": f"{i}."}]}
            for i in range(20)
        ],
    )
    config = small(files={"mine": str(tmp_path / "mine.jsonl")}, grid={"count": 4, "temperatures": (1.0,)})
    first = run(tmp_path / "run", config)
    assert {one.rows for found in first.facts.values() for one in found} == {12}
    assert [o.name for o in first.outcomes] == [*ARMS, "mine", "untrained"]
    assert first.outcomes[0].difference is None and first.outcomes[1].difference is not None
    assert first.facts["people"][0].right == 1.0
    assert (first.facts["web"][0].right or 0) < 0.9
    assert first.facts["magpie, filtered by the truth"][0].right == 1.0
    assert len(first.grid) == 3
    page = first.report.read_text(encoding="utf-8")
    assert "WB-Score by training data" in page and "Means of what each setting draws" in page
    again = run(tmp_path / "run", config)
    assert again.outcomes == first.outcomes and again.facts == first.facts
    state = json.loads((tmp_path / "run/run.json").read_text())
    del state["stages"]["judge/people-0"], state["stages"]["answers/people-0"], state["stages"]["train/seed0/people"]
    (tmp_path / "run/run.json").write_text(json.dumps(state))
    assert run(tmp_path / "run", config).outcomes == first.outcomes


@pytest.mark.slow  # draws and trains
def test_the_variants_of_the_draws_share_their_samples_and_differ_in_what_they_keep(tmp_path: Path) -> None:
    config = small(rows=30, temperature=1.3)
    with RunDir.open(tmp_path / "run", command="x", config={}, seed=0) as folder:
        sets = {name: data_set(folder, config, name, 0, []) for name in ARMS if name.startswith("magpie")}
        kept = {name: {s.id for s in rows if s.kept} for name, rows in sets.items()}
        assert kept["magpie, filtered by the truth"] < kept["magpie"]
        assert kept["magpie"] <= kept["magpie, no de-duplication"] <= kept["magpie, no filter"]
        assert kept["magpie"] < kept["magpie, no filter"]
        rows = list(read_records(folder.file(f"data/seed0/{slug_of('magpie')}.jsonl"), Sample))
    assert all(s.reason for s in rows if not s.kept)
    assert [s.kept for s in rows] == sorted((s.kept for s in rows), reverse=True)


def test_a_benchmark_task_never_enters_training(tmp_path: Path) -> None:
    from agora.core.records import Message, Task

    config = small(rows=20)
    with RunDir.open(tmp_path / "run", command="x", config={}, seed=0) as folder:
        first = data_set(folder, config, "people", 0, [])[0]
    task = Task("t", "b", "1", (Message("user", first.instruction.upper()),))
    with RunDir.open(tmp_path / "other", command="x", config={}, seed=0) as folder:
        again = {s.id: s for s in data_set(folder, config, "people", 0, [task])}
    assert again[first.id].reason == "reserved for the benchmark"


def verdict(task: str, value: float) -> Verdict:
    return Verdict(f"v{task}", "score", task, "m", "j", "ok", value, "", "p", "h", parsed={"correct": value > 5})


def test_differences_are_paired_by_task_over_the_mean_of_the_seeds() -> None:
    config = small(arms=("magpie", "people"), seeds=(0, 1))
    tasks = [str(i) for i in range(40)]
    verdicts = {
        ("magpie", 0): [verdict(t, 4.0 + int(t) % 3) for t in tasks],
        ("magpie", 1): [verdict(t, 4.0 + int(t) % 3) for t in tasks],
        ("people", 0): [verdict(t, 5.0 + int(t) % 3) for t in tasks],
        ("people", 1): [verdict(t, 6.0 + int(t) % 3) for t in tasks],
    }
    magpie, people, untrained = outcomes(config, verdicts, [verdict(t, 1.0) for t in tasks])
    assert people.difference is not None and people.difference.estimate == pytest.approx(30.0)
    assert (people.difference.low, people.difference.high) == pytest.approx((30.0, 30.0))
    assert people.seeds_better == 2 and people.differs
    assert magpie.by_seed == pytest.approx((magpie.score.estimate,) * 2)
    assert untrained.score.estimate == -80.0


def test_wrong_arms_are_told() -> None:
    with pytest.raises(ConfigError, match="unknown arm 'magpy'"):
        small(arms=("magpy",))
    with pytest.raises(ConfigError, match="is an arm's"):
        small(files={"web": "x.jsonl"})
    with pytest.raises(ConfigError, match="cannot be told from another"):
        small(files={"Web!": "x.jsonl"})
    with pytest.raises(ConfigError, match="knows its own tasks only"):
        small(tasks_file="t.jsonl")


def test_distances_are_zero_for_copies_and_large_for_strangers() -> None:
    texts = ["the cat sat on the mat", "The cat sat on  the mat", "quarterly revenue grew by 3 %"]
    distances = nearest_distances(texts)
    assert distances is not None
    near = distances(texts)
    assert near[:2] == pytest.approx([0.0, 0.0], abs=1e-5) and near[2] > 0.8
    assert distances(["alone"]) == []
    assert nearest_distances([" "]) is None
