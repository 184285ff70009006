"""Prediction-powered means: coverage, width, and what a useless judge does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from agora.core.errors import DataError
from agora.rooms.judge.trust.human_labels import correct_verdicts, corrected_mean, prediction_powered, read_labels
from tests.rooms.judge.support import make_pair, make_score

TRUTH = 6.0


def study(
    seed: int, *, n: int = 100, total: int = 1000, noise: float = 1.0, use: float = 1.0
) -> tuple[np.ndarray, ...]:
    """People's values, and a judge that is half a point too kind and follows them with some noise."""
    rng = np.random.default_rng(seed)
    human = rng.normal(TRUTH, 2, size=total)
    judge = TRUTH + 0.5 + use * (human - TRUTH) + rng.normal(0, noise, size=total)
    return judge, judge[:n], human[:n]


def covered(runs: int, **how: float) -> tuple[float, float, float]:
    """Share of intervals that hold the truth, and mean widths of the corrected and the people's own."""
    hits, widths, alone = 0, 0.0, 0.0
    for seed in range(runs):
        found = prediction_powered(*study(seed, **how))  # type: ignore[arg-type]
        hits += found.corrected.low <= TRUTH <= found.corrected.high
        widths += found.corrected.high - found.corrected.low
        alone += found.human.high - found.human.low
    return hits / runs, widths / runs, alone / runs


def test_it_covers_the_truth_at_its_rate_and_is_narrower_than_people_alone() -> None:
    share, width, alone = covered(1000)
    assert 0.93 <= share <= 0.97
    assert width < 0.6 * alone


def test_a_useless_judge_leaves_the_people_as_they_are() -> None:
    share, width, alone = covered(300, use=0.0)
    assert 0.92 <= share <= 0.98
    assert width == pytest.approx(alone, rel=0.05)


def test_a_perfect_judge_is_used_in_full_and_its_shift_taken_out() -> None:
    judge, judged, human = study(0, noise=0.0)
    found = prediction_powered(judge, judged, human)
    assert found.weight == pytest.approx(0.9, abs=0.1)  # n / N of the error is people's own
    assert found.bias.estimate == pytest.approx(0.5)
    assert found.effective_n > 500


def test_a_judge_that_always_says_the_same_changes_nothing() -> None:
    found = prediction_powered([7.0] * 50, [7.0] * 10, list(range(10)))
    assert found.weight == 0.0
    assert found.corrected[:3] == pytest.approx(found.human[:3])


def test_labels_join_by_task_and_model(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("model,task_id,value\nm,t0,6\nm,t0,8\nm,t1,5\nn,t0,3\nn,t1,\n")
    labels = read_labels(path)
    assert labels == {"m": {"t0": 7.0, "t1": 5.0}, "n": {"t0": 3.0}}
    rows = [make_score(f"t{i}", float(5 + i % 3)) for i in range(9)]
    found = correct_verdicts(rows, {"m": labels["m"]})["m"]
    assert (found.human.estimate, found.human.n, found.judge.n) == (6.0, 2, 9)
    with pytest.raises(DataError, match="m: the judge has no value for 1 labeled tasks, the first is t99"):
        correct_verdicts(rows, {"m": {"t99": 1.0, "t0": 2.0}})
    with pytest.raises(DataError, match="at least 2 human labels, got 1"):
        corrected_mean({"t0": 5.0}, {"t0": 4.0})


def test_two_orders_of_a_comparison_are_one_value() -> None:
    rows = [
        make_pair(f"t{i}", value, order=order)
        for i in range(4)
        for order, value in (("candidate_first", 1.0), ("candidate_second", 0.0))
    ]
    assert correct_verdicts(rows, {"m": {"t0": 0.5, "t1": 0.5}})["m"].judge.estimate == 0.5
