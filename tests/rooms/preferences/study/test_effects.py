"""Paired effects against plain arithmetic."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.stats import holm, paired_bootstrap
from agora.rooms.preferences.study.effects import AVERAGE, Scored, compare, example_weights, with_holm
from agora.rooms.preferences.types import EvalResult
from tests.examples import examples


def results(scores: dict[str, dict[str, list[float | None]]]) -> Scored:
    """Category -> test -> scores of its examples."""
    rows = [
        EvalResult(test, category, str(i), score, "ok" if score is not None else "missing", "hash")
        for category, tests in scores.items()
        for test, values in tests.items()
        for i, score in enumerate(values)
    ]
    return Scored.of(rows, lambda result: "")


def draw(seed: int, shift: float = 0.0) -> Scored:
    rng = random.Random(seed)
    return results(
        {
            "a": {"a1": [min(1, rng.random() + shift) for _ in range(30)], "a2": [rng.random() for _ in range(10)]},
            "b": {"b1": [rng.random() for _ in range(20)]},
        }
    )


def test_category_is_the_mean_of_its_tests_and_average_that_of_categories() -> None:
    model = results({"a": {"a1": [1.0, 0.0], "a2": [1.0, 1.0, 1.0, 0.0]}, "b": {"b1": [0.0, 0.0, 1.0]}})
    figures = model.figures()
    assert figures["a"] == pytest.approx((50 + 75) / 2)
    assert figures[AVERAGE] == pytest.approx(((50 + 75) / 2 + 100 / 3) / 2)


def test_strata_count_alike_whatever_their_sizes() -> None:
    rows = [
        EvalResult("t", "c", str(i), float(i < 9), "ok", "h", meta={"task": "x" if i < 9 else "y"}) for i in range(10)
    ]
    model = Scored.of(rows, lambda result: str(result.meta["task"]))
    assert model.figures()["t"] == pytest.approx(50.0)


def test_the_difference_of_averages_is_the_estimate() -> None:
    old, new = draw(1), draw(2, shift=0.2)
    (average, *rest) = compare({0: new}, {0: old}, n_boot=200)
    assert average.column == AVERAGE
    assert average.difference.estimate == pytest.approx(new.figures()[AVERAGE] - old.figures()[AVERAGE])
    by_column = {effect.column: effect for effect in rest}
    assert set(by_column) == {"a", "a1", "a2", "b"}
    assert by_column["a"].difference.estimate == pytest.approx(new.figures()["a"] - old.figures()["a"])


def test_one_test_alone_is_the_plain_paired_bootstrap() -> None:
    old, new = results({"a": {"t": [0.1, 0.4, 0.9, 0.3]}}), results({"a": {"t": [0.2, 0.9, 0.8, 0.7]}})
    effect = compare({0: new}, {0: old}, seed=3)[0]
    plain = paired_bootstrap([20, 90, 80, 70], [10, 40, 90, 30], seed=3, n_boot=10_000)
    assert effect.difference.estimate == pytest.approx(plain.estimate)
    assert (effect.difference.low, effect.difference.high) == pytest.approx((plain.low, plain.high))


def test_seeds_are_pooled_by_example_and_shown_alone() -> None:
    new, old = {0: draw(1, 0.2), 1: draw(2, 0.2), 2: draw(3, 0.2)}, {s: draw(s + 10) for s in range(3)}
    effect = compare(new, old, n_boot=200)[0]
    assert effect.difference.estimate == pytest.approx(sum(e.estimate for e in effect.by_seed.values()) / 3)
    assert effect.over_seeds is not None and effect.over_seeds.estimate == pytest.approx(effect.difference.estimate)
    assert "60 clusters" in effect.difference.method


def test_an_example_that_one_side_lacks_is_left_out_and_counted() -> None:
    old, new = results({"a": {"t": [0.0, None, 0.5]}}), results({"a": {"t": [1.0, 1.0, 0.5]}})
    effect = compare({0: new}, {0: old}, n_boot=200)[0]
    assert effect.difference.n == 2 and effect.difference.dropped == 1
    assert effect.difference.estimate == pytest.approx(50.0)


def test_seeds_that_disagree_make_no_clear_effect() -> None:
    good, bad, base = (results({"a": {"t": [v] * 20}}) for v in (0.9, 0.4, 0.5))
    agreeing, opposing = (
        compare({0: good, 1: good}, {0: base, 1: base})[0],
        compare({0: good, 1: bad}, {0: base, 1: base})[0],
    )
    assert agreeing.is_clear and not opposing.is_clear and opposing.difference.excludes(0.0)


def test_p_values_are_corrected_over_the_named_columns_of_all_values() -> None:
    base = {0: draw(1)}
    tables = [compare({0: draw(2, 0.3)}, base, n_boot=200), compare({0: draw(3)}, base, n_boot=200)]
    corrected = with_holm(tables, [AVERAGE, "a", "b"])
    family = [e for table in corrected for e in table if e.column in (AVERAGE, "a", "b")]
    assert [e.p_holm for e in family] == pytest.approx(holm([e.p for e in family]))
    assert all(math.isnan(e.p_holm) for table in corrected for e in table if e.column == "a1")


@settings(deadline=None, max_examples=examples(40))
@given(st.dictionaries(st.sampled_from("abc"), st.lists(st.integers(1, 9), min_size=1, max_size=3), min_size=1))
def test_weights_sum_to_one(sizes: dict[str, list[int]]) -> None:
    model = results({c: {f"{c}{i}": [0.5] * n for i, n in enumerate(tests)} for c, tests in sizes.items()})
    assert sum(example_weights(model, list(model.scores), by_category=True).values()) == pytest.approx(1.0)


@settings(deadline=None, max_examples=examples(40))
@given(st.integers(0, 10_000))
def test_swapping_sides_turns_the_effect_round(seed: int) -> None:
    a, b = {0: draw(seed)}, {0: draw(seed + 1)}
    assert compare(a, b, n_boot=100)[0].difference.estimate == pytest.approx(
        -compare(b, a, n_boot=100)[0].difference.estimate
    )
