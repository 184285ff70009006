"""What no leaderboard may do, whatever the verdicts."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.records import Verdict
from agora.core.tables import write_jsonl
from agora.rooms.judge import k_sweep, leaderboard, relabel, reward_report
from tests.examples import examples
from tests.rooms.judge.support import make_pair, make_score

OUTCOMES = st.sampled_from([1.0, 0.5, 0.0, -0.5, -1.0, None])
LENGTHS = st.integers(0, 3000)


@st.composite
def verdicts(draw: st.DrawFn) -> list[Verdict]:
    """Scores and comparisons of some models on some tasks, with gaps."""
    rows = []
    for model in [f"m{i}" for i in range(draw(st.integers(1, 4)))]:
        for task in range(draw(st.integers(1, 8))):
            score = draw(st.one_of(st.none(), st.integers(1, 10).map(float)))
            rows.append(make_score(f"t{task}", score, model, n_chars=draw(LENGTHS)))
            if draw(st.booleans()):
                lengths = {"n_chars": draw(LENGTHS), "baseline_n_chars": draw(LENGTHS)}
                rows.append(make_pair(f"t{task}", draw(OUTCOMES), model, "base", **lengths))
    return rows


def board(files: list[list[Verdict]], **how: Any) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.jsonl" for i in range(len(files))]
        for path, rows in zip(paths, files, strict=True):
            write_jsonl(path, rows)
        return leaderboard(paths, n_boot=100, **how).to_json()


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from numbers(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from numbers(inner)
    elif isinstance(value, float):
        yield value


def close(a: Any, b: Any) -> bool:
    """Equal but for the last bits, which sums in another order may change."""
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(close(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(close, a, b))
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-7))


@settings(deadline=None, max_examples=examples(12))
@given(verdicts(), st.randoms())
def test_the_order_of_models_files_and_verdicts_changes_nothing(rows: list[Verdict], rng: random.Random) -> None:
    by_model: dict[str, list[Verdict]] = {}
    for v in rows:
        by_model.setdefault(v.model, []).append(v)
    whole = board([rows], allow_partial=True)
    shuffled = [rng.sample(part, len(part)) for part in by_model.values()]
    rng.shuffle(shuffled)
    assert close(whole, board(shuffled, allow_partial=True))


@settings(deadline=None, max_examples=examples(12))
@given(verdicts(), st.integers(0, 40))
def test_removing_an_answer_lowers_coverage_and_invents_nothing(rows: list[Verdict], which: int) -> None:
    gone = rows[which % len(rows)]
    before, after = (
        board([rows], allow_partial=True),
        board([[v for v in rows if v is not gone] or [rows[0]]], allow_partial=True),
    )
    left = {m["name"]: m for m in after["models"]}
    size = after["tables"][0]["num_tasks"] == before["tables"][0]["num_tasks"]
    for model in before["models"]:
        now = left.get(model["name"])
        if now is None or len(rows) == 1:
            continue
        if size:
            assert now["coverage"] <= model["coverage"] or gone.model != model["name"]
        assert (now.get("wb_score") is None) >= (model.get("wb_score") is None)
        assert (now.get("wb_reward_mix") is None) >= (model.get("wb_reward_mix") is None)
        if model["name"] != gone.model and size and gone.kind == "score":
            assert now.get("wb_score") == model.get("wb_score")


@settings(deadline=None, max_examples=examples(40))
@given(st.lists(st.tuples(OUTCOMES, LENGTHS, LENGTHS), min_size=1, max_size=30), st.integers(0, 3000))
def test_swapping_the_answers_mirrors_the_reward(rows: list[tuple[float | None, int, int]], margin: int) -> None:
    forward = [make_pair(f"t{i}", v, n_chars=a, baseline_n_chars=b) for i, (v, a, b) in enumerate(rows)]
    mirrored = [
        make_pair(f"t{i}", None if v is None else 0.0 - v, "b", "m", "candidate_second", n_chars=b, baseline_n_chars=a)
        for i, (v, a, b) in enumerate(rows)
    ]
    for k in (None, margin):
        one = reward_report(forward, model="m", margin=k, n_boot=100)
        other = reward_report(mirrored, model="b", margin=k, n_boot=100)
        assert one.mix == (None if other.mix is None else pytest.approx(0.0 - other.mix))
        assert one.baselines["b"].counts == other.baselines["m"].counts[::-1]


@settings(deadline=None, max_examples=examples(40))
@given(
    st.lists(st.tuples(OUTCOMES, LENGTHS, LENGTHS), min_size=1, max_size=30),
    st.lists(st.integers(0, 3000), min_size=1, max_size=6),
)
def test_raising_k_makes_no_new_tie_and_never_touches_much_better(
    rows: list[tuple[float | None, int, int]], margins: list[int]
) -> None:
    """A larger margin forgives more length: fewer slight outcomes become ties, and no more than without a margin."""
    verdicts_ = [make_pair(f"t{i}", v, n_chars=a, baseline_n_chars=b) for i, (v, a, b) in enumerate(rows)]
    sweep = k_sweep(verdicts_, [*sorted(margins), None])
    off = sweep[-1].counts
    for lower, higher in pairwise(sweep):
        assert lower.counts.win + lower.counts.lose <= higher.counts.win + higher.counts.lose <= off.win + off.lose
        assert lower.counts.tie >= higher.counts.tie
    for row in sweep:
        assert (row.counts.win_much, row.counts.lose_much) == (off.win_much, off.lose_much)
        assert row.counts.tie - off.tie == (off.win - row.counts.win) + (off.lose - row.counts.lose)
        assert row.counts.counted == off.counted
        relabelled = reward_report(relabel(verdicts_, row.margin), model="m", n_boot=100)
        assert row.reward == (None if relabelled.mix is None else pytest.approx(relabelled.mix))


@pytest.mark.parametrize(
    "rows",
    [
        [make_pair(f"t{i}", 0.0, "m", "b") for i in range(12)],  # all ties
        [make_score(f"t{i}", 5.0, "m") for i in range(12)],  # one model
        [make_score(f"t{i}", 5.0, m) for i in range(12) for m in "ab"],  # zero variance
        [make_score(f"t{i}", v, m) for i in range(12) for m, v in (("a", 10.0), ("b", 1.0))],  # perfect separation
        [make_pair(f"t{i}", 1.0, "m", "b", n_chars=10 + i) for i in range(12)],  # never loses
        [make_score("t0", None, "m")],  # nothing scored
        [make_pair("t0", None, "m", "b")],
        [make_score("t0", 5.0, "a"), make_score("t1", 5.0, "b")],  # no common task
    ],
)
def test_degenerate_verdicts_give_finite_numbers_or_say_not_identifiable(rows: list[Verdict]) -> None:
    found = board([rows], allow_partial=True, legacy=True)
    assert all(math.isfinite(value) for value in numbers(found))
    for table in found["tables"]:
        ratings = table["ratings"]
        if ratings is not None and ratings["reason"] and ratings["num_votes"]:
            assert ratings["reason"].startswith("not identifiable")


def test_a_partial_model_is_not_ranked_but_its_bounds_and_common_tasks_are_told() -> None:
    rows = [make_score(f"t{i}", 6.0 + i % 3, "whole") for i in range(40)]
    rows += [make_score(f"t{i}", 9.0, "half") for i in range(20)]
    found = board([rows])
    models = {m["name"]: m for m in found["models"]}
    assert (models["half"]["rank"], models["half"]["wb_score"]) == (None, None)
    assert (models["half"]["common_tasks"], models["half"]["common_value"]) == (20, 80.0)
    assert models["half"]["bounds"] == [20 * ((180 + 20) / 40 - 5), 20 * ((180 + 200) / 40 - 5)]
    (note,) = [n for n in found["notes"] if n.startswith("half") and "not ranked" in n]
    assert "50.0 % of the tasks have a score" in note
    assert "lies between 0.0 and 90.0" in note and "on the 20 common tasks 80.0" in note


def test_judges_versions_and_prompts_never_share_a_table(tmp_path: Path) -> None:
    rows = [
        make_score(f"t{i}", 5.0, judge=j, meta={"version": v}) for i in range(3) for j, v in (("a", "1"), ("b", "1"))
    ]
    newer = [replace(v, id=f"{v.id}/2", meta={"version": "2"}) for v in rows[::2]]
    found = board([rows, newer])
    assert [(t["judge"], t["version"]) for t in found["tables"]] == [("a", "1"), ("a", "2"), ("b", "1")]
    other = [replace(v, id=f"{v.id}/p", task_id=f"x{v.task_id}", prompt_hash="other") for v in rows[::2]]
    with pytest.raises(Exception, match="rest on two prompts"):
        board([rows, other])
