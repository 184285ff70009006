"""Ranks with and without what judges say of their own family, on judges whose bias is known."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from agora.core.records import Verdict
from agora.core.tables import write_jsonl
from agora.rooms.judge import leaderboard
from agora.rooms.judge.ranking.show import tables as shown
from tests.rooms.judge.support import make_pair, make_score

MERITS = {"claude-a": 6.8, "llama-b": 6.0, "gpt-c": 5.6, "qwen-d": 5.0}
LEVELS = {"gpt-judge": 0.0, "kind-judge": 1.2, "stern-judge": -1.2}
BIAS = 2.0
NUM_TASKS = 120


def scores(judges: dict[str, float], *, skipped: tuple[str, str] | None = None) -> list[Verdict]:
    """Every judge sees an answer's merit with noise, at its own level; gpt-judge adds a bias for its family."""
    rng = random.Random(0)
    hard = [rng.gauss(0, 1) for _ in range(NUM_TASKS)]
    return [
        make_score(f"t{t}", value, model, judge)
        for judge, level in judges.items()
        for model, merit in MERITS.items()
        if (judge, model) != skipped
        for t in range(NUM_TASKS)
        for own in [BIAS if (judge, model) == ("gpt-judge", "gpt-c") else 0.0]
        for value in [min(10.0, max(1.0, merit + level + own + hard[t] + rng.gauss(0, 0.3)))]
    ]


def board(folder: Path, rows: list[Verdict], **how: Any) -> Any:
    write_jsonl(folder / "v.jsonl", rows)
    return leaderboard([folder / "v.jsonl"], n_boot=200, **how)


def test_a_judge_that_favors_its_family_moves_a_model_and_the_others_put_it_back(tmp_path: Path) -> None:
    found = board(tmp_path, scores(LEVELS))
    (joint,) = found.together
    assert [row.name for row in joint.rows] == ["claude-a", "gpt-c", "llama-b", "qwen-d"]
    assert {row.name: row.rank_without for row in joint.rows} == dict(zip(MERITS, (1, 2, 3, 4), strict=True))
    assert [row.name for row in joint.rows if row.moved] == ["gpt-c", "llama-b"]
    assert joint.left_out == NUM_TASKS and joint.row("gpt-c").kin == ("gpt-judge",)
    gap = joint.preference["gpt-judge"]
    assert gap.low < BIAS < gap.high and set(joint.preference) == {"gpt-judge"}
    (note,) = (note for note in found.notes if "all judges" in note)
    assert "gpt-c 2 to 3" in note and "gpt-judge gives its family +" in note
    told = found.to_json()
    assert [(m["name"], m["rank_without_self_preference"]) for m in told["models"][:2]] == [
        ("gpt-c", None),
        ("claude-a", 1),
    ]
    assert told["without_self_preference"][0]["moved"] == ["gpt-c", "llama-b"]
    assert [table.title for table in shown(found)][-1].startswith("3 judges, with and without")


def test_a_kind_judge_who_skips_a_model_does_it_no_harm(tmp_path: Path) -> None:
    (joint,) = board(tmp_path, scores(LEVELS, skipped=("kind-judge", "claude-a"))).together
    assert [row.name for row in joint.rows if row.rank_without == 1] == ["claude-a"]


def test_one_judge_has_no_opinion_on_its_own_family_and_the_rest_stay_in_order(tmp_path: Path) -> None:
    found = board(tmp_path, scores({"gpt-judge": 0.0}))
    (table,) = found.tables
    assert table.ranking == ["gpt-c", "claude-a", "llama-b", "qwen-d"] and not found.together
    assert [table.own.row(name).rank_without for name in table.ranking] == [None, 1, 2, 3]
    assert any("the order of the other models stays" in note for note in found.notes)
    (plain,) = board(tmp_path, scores({"kind-judge": 0.0})).tables
    assert plain.own is None


def test_comparisons_with_a_baseline_of_the_family_are_left_out(tmp_path: Path) -> None:
    # the judge lets llama-b win against its own kin, and rates it low against the other baseline
    values = {
        ("claude-a", "gpt-z"): 0.0,
        ("claude-a", "base"): 0.5,
        ("llama-b", "gpt-z"): 1.0,
        ("llama-b", "base"): 0.0,
    }
    rows = [
        make_pair(f"t{t}", value, model, baseline, judge="gpt-judge")
        for (model, baseline), value in values.items()
        for t in range(20)
    ]
    rows += [
        make_pair(f"t{t}", v, m, b, judge="gpt-judge")
        for t in range(20)
        for m, b, v in (("base", "gpt-z", -1.0), ("gpt-z", "base", 1.0))
    ]
    (table,) = board(tmp_path, rows).tables
    assert table.ranking == ["gpt-z", "llama-b", "claude-a", "base"]
    own = {row.name: (row.rank_without, row.value_without) for row in table.own.rows}
    assert own == {"gpt-z": (None, None), "claude-a": (1, 50.0), "llama-b": (2, 0.0), "base": (None, None)}
    assert [row.name for row in table.own.rows if row.moved] == ["llama-b", "claude-a"]
    assert table.own.left_out == 80


@pytest.mark.parametrize(
    ("families", "kin"), [({}, {"gpt-c"}), ({"gpt-judge": ["llama-b"]}, {"llama-b"}), ({"gpt-judge": []}, set())]
)
def test_a_family_that_is_named_counts_in_place_of_the_names(
    families: dict[str, list[str]], kin: set[str], tmp_path: Path
) -> None:
    (table,) = board(tmp_path, scores({"gpt-judge": 0.0}), families=families).tables
    assert {row.name for row in (table.own.rows if table.own else ()) if row.kin} == kin
