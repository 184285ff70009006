from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agora.core.errors import DataError
from agora.rooms.preferences.best_of_n import best_of_n, expected_best, kl_bound


def by_enumeration(rewards: list[float], values: list[float], n: int) -> float:
    """Every subset of n samples, every highest reward in it equally likely."""
    found = []
    for subset in combinations(range(len(rewards)), n):
        top = max(rewards[i] for i in subset)
        winners = [values[i] for i in subset if rewards[i] == top]
        found.append(sum(winners) / len(winners))
    return math.fsum(found) / len(found)


# few distinct rewards, so that ties are common
samples = st.lists(st.tuples(st.integers(0, 3), st.integers(-5, 5)), min_size=1, max_size=8)


@given(samples, st.data())
def test_the_estimator_is_the_mean_over_all_subsets(rows: list[tuple[int, int]], data: st.DataObject) -> None:
    n = data.draw(st.integers(1, len(rows)))
    rewards, values = ([float(row[k]) for row in rows] for k in (0, 1))
    found = expected_best(np.array([rewards]), np.array([values]), [n])
    assert found[0, 0] == pytest.approx(by_enumeration(rewards, values, n), abs=1e-12)


@given(st.lists(samples, min_size=1, max_size=4))
def test_missing_samples_are_as_if_never_drawn(prompts: list[list[tuple[int, int]]]) -> None:
    width = max(map(len, prompts))
    table = np.full((2, len(prompts), width), np.nan)
    for p, rows in enumerate(prompts):
        table[:, p, width - len(rows) :] = np.array(rows).T
    found = expected_best(table[0], table[1], range(1, width + 1))
    for p, rows in enumerate(prompts):
        rewards, values = ([float(row[k]) for row in rows] for k in (0, 1))
        for n in range(1, width + 1):
            if n > len(rows):
                assert np.isnan(found[p, n - 1])
            else:
                assert found[p, n - 1] == pytest.approx(by_enumeration(rewards, values, n), abs=1e-12)


@given(st.integers(1, 200), st.data())
def test_one_sample_is_the_mean_and_all_samples_the_favorite(size: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    rewards, values = rng.normal(size=(2, 3, size))
    found = expected_best(rewards, values, [1, size])
    assert found[:, 0] == pytest.approx(values.mean(axis=1))
    assert found[:, 1] == pytest.approx(values[np.arange(3), rewards.argmax(axis=1)])


def test_a_perfect_reward_climbs_to_the_ceiling_and_a_reversed_one_falls() -> None:
    true = np.random.default_rng(0).normal(size=(200, 16))
    perfect, reversed_ = best_of_n(true, true), best_of_n(-true, true)
    assert [p.n for p in perfect.points] == [1, 2, 4, 8, 16]
    for point, worst in zip(perfect.points, reversed_.points, strict=True):
        assert point.true.estimate == point.ceiling.estimate == pytest.approx(-worst.true.estimate, abs=0.2)
    assert perfect.points[0].gain.estimate == 0 == perfect.points[0].kl_bound
    assert perfect.points[-1].gain.low > 0 > reversed_.points[-1].gain.high
    assert (perfect.peak, perfect.overoptimized) == (16, False)
    assert (reversed_.peak, reversed_.overoptimized) == (1, True)
    # rewards of the reversed scorer rise all the same: that is what over-optimization looks like
    assert reversed_.points[-1].reward.low > reversed_.points[0].reward.high


def test_gains_are_paired_by_prompt() -> None:
    """Prompts differ far more than samples do: only a paired interval can see the gain."""
    rng = np.random.default_rng(1)
    true = 100 * rng.normal(size=(50, 1)) + rng.normal(size=(50, 4))
    last = best_of_n(true, true).points[-1]
    assert last.gain.excludes(0)
    assert last.gain.high - last.gain.low < 1 < last.true.high - last.true.low


def test_incomplete_prompts_are_counted_and_used_at_no_n() -> None:
    rewards = [[1.0, 2.0], [None, 1.0], [3.0, 3.0]]
    curve = best_of_n(rewards, [[0.0, 1.0], [1.0, 1.0], [0.0, 1.0]])
    assert (curve.num_prompts, curve.dropped_prompts, curve.missing_samples) == (2, 1, 1)
    assert [p.true.n for p in curve.points] == [2, 2]
    assert curve.points[1].true.estimate == (1.0 + 0.5) / 2
    assert best_of_n(rewards, [[0.0, 1.0], [1.0, 1.0], [0.0, 1.0]], ns=[1]).num_prompts == 3


def test_the_bound_is_zero_for_one_and_log_n_less_one_in_the_limit() -> None:
    assert kl_bound(1) == 0
    assert kl_bound(16) == pytest.approx(math.log(16) - 15 / 16)


def test_thousands_of_samples_do_not_overflow() -> None:
    values = np.arange(3000.0)[None]
    assert expected_best(values, values, [1500])[0, 0] == pytest.approx(1500 * 3001 / 1501 - 1)


@pytest.mark.parametrize(
    ("rewards", "true", "ns", "said"),
    [
        ([[1.0]], [[1.0, 2.0]], None, "shape"),
        ([[1.0, 2.0]], [[1.0, 2.0]], [3], "1..2"),
        ([[1.0, 2.0], [1.0]], [[1.0, 2.0], [1.0]], None, "same number"),
        ([], [], None, "table"),
        ([[math.inf]], [[1.0]], None, "infinite"),
        ([[None]], [[1.0]], None, "no prompt"),
        ([[1.0]], [[1.0]], [0], "1..1"),
    ],
)
def test_wrong_tables_are_refused_in_words(rewards: object, true: object, ns: list[int] | None, said: str) -> None:
    with pytest.raises(DataError, match=said):
        best_of_n(rewards, true, ns=ns)  # type: ignore[arg-type]


def test_json_holds_plain_values() -> None:
    shown = best_of_n([[1.0, 2.0]], [[0.0, 1.0]]).as_json()
    assert shown["points"][1]["true"]["estimate"] == 1.0
    assert shown["points"][0]["gain"]["low"] is None  # one prompt says nothing of its error
