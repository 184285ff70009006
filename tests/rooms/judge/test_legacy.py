"""The reference's faults: reproduced on request, and absent from our own figures."""

from __future__ import annotations

from pathlib import Path

import pytest

from agora.core.errors import MissingError
from agora.core.tables import write_jsonl
from agora.rooms.judge import Leaderboard, TaskSet, leaderboard
from agora.rooms.judge.scoring.legacy import PublishedBoard, dropped_by_name, legacy_figures, legacy_reward
from agora.rooms.judge.types import GROUPS
from tests.rooms.judge.support import make_pair, make_score, make_task

FIVE = TaskSet(tuple(make_task(f"t{i}", primary_tag=tags[0]) for i, tags in enumerate(GROUPS.values())))


def board(tmp_path: Path, rows: list[object]) -> Leaderboard:
    write_jsonl(tmp_path / "v.jsonl", rows)
    return leaderboard([tmp_path / "v.jsonl"], tasks=FIVE, legacy=True, allow_partial=True, n_boot=100)


def test_a_skipped_comparison_is_missing_and_no_tie(tmp_path: Path) -> None:
    """Fault 1: the reference leaves it out of the sum and keeps it in the denominator."""
    cut = make_pair("t3", 1.0, meta={"baseline_truncated": True})
    empty = make_pair("t4", -1.0, n_chars=0, meta={"empty": True})
    rows = [*[make_pair(f"t{i}", 1.0) for i in range(3)], cut, empty]
    assert legacy_reward(rows) == 3 / 5
    assert legacy_reward([make_pair("t0", 1.0), make_pair("t1", None)]) == 1.0
    (row,) = [r for r in board(tmp_path, rows[:3]).tables[0].rows if r.name == "m"]
    assert row.reward is not None and row.reward.mix == 100
    assert row.coverage == 3 / 5


def test_a_model_that_was_not_compared_has_no_reward(tmp_path: Path) -> None:
    """Fault 2: the reference gives it 0 in every comparison, as good as the baselines."""
    rows = [make_pair(t.id, -0.5, "poor") for t in FIVE] + [make_score(t.id, 9.0, "new") for t in FIVE]
    (table,) = board(tmp_path, rows).tables
    new = next(row for row in table.rows if row.name == "new")
    assert new.reward is not None and new.reward.mix is None and new.legacy is not None and new.legacy.mix == 0.0
    poor = next(row for row in table.rows if row.name == "poor")
    assert poor.reward is not None and poor.reward.mix == -50
    assert any("new by j: not compared with b: no mix" in note for note in board(tmp_path, rows).notes)


@pytest.mark.parametrize("name", ["Phi-3-mini-128k-instruct", "model-1024", "x256"])
def test_a_number_in_a_name_drops_no_model(tmp_path: Path, name: str) -> None:
    """Fault 3: the reference takes such a file for a part of another one."""
    assert dropped_by_name(name) and not dropped_by_name("gemma-2b-it")
    (table,) = board(tmp_path, [make_score(t.id, 7.0, name) for t in FIVE]).tables
    assert [(row.name, row.rank) for row in table.rows] == [(name, 1)]
    assert table.rows[0].legacy is not None and table.rows[0].legacy.dropped


def test_an_empty_answer_costs_in_groups_and_macro_too(tmp_path: Path) -> None:
    """Fault 12b: the reference counts it in the plain score and leaves it out of groups and macro."""
    tasks = TaskSet((*FIVE.tasks, make_task("extra", primary_tag="Math")))
    rows = [make_score(t.id, 8.0) for t in FIVE] + [make_score("extra", 1.0, n_chars=0, meta={"empty": True})]
    theirs = legacy_figures("m", rows, tasks=tasks)
    write_jsonl(tmp_path / "v.jsonl", rows)
    (row,) = leaderboard([tmp_path / "v.jsonl"], tasks=tasks, n_boot=100).tables[0].rows
    assert row.score is not None
    assert theirs.wb_score == row.score.wb_score == pytest.approx(20 * ((40 + 1) / 6 - 5))
    assert theirs.macro == 60.0
    assert row.score.macro is not None and row.score.macro < 50
    assert row.score.groups["Math & Data Analysis"].value == pytest.approx(-10)


def test_the_board_shows_both_and_says_which_is_which(tmp_path: Path) -> None:
    rows = [make_score(t.id, float(v + i), m) for m, v in (("a", 3), ("b", 2)) for i, t in enumerate(FIVE)]
    models = {m["name"]: m for m in board(tmp_path, rows).to_json()["models"]}
    assert set(models["a"]["legacy"]) >= {"wb_score", "macro", "mix", "wb_elo", "dropped_by_name"}
    assert models["a"]["legacy"]["wb_elo"]["anchor"] is None
    plain = leaderboard([tmp_path / "v.jsonl"], tasks=FIVE, n_boot=100).to_json()
    assert "legacy" not in plain["models"][0]


def test_a_folder_without_the_published_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"score\.json"):
        PublishedBoard.read(tmp_path)
