"""Agreement of raters, against scikit-learn, the krippendorff package and published examples."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from agora.core.agreement import cohen_kappa, krippendorff_alpha
from agora.core.errors import DataError
from agora.core.stats import bootstrap

LEVELS = ["nominal", "ordinal", "interval"]
rating = st.integers(1, 5)
# Krippendorff 2011, example C: four observers, twelve units, missing ratings.
PUBLISHED = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]


@given(st.lists(st.tuples(rating, rating), min_size=1, max_size=50), st.sampled_from([None, "linear", "quadratic"]))
def test_kappa_is_that_of_scikit_learn(pairs: list[tuple[int, int]], weights: Any) -> None:
    a, b = map(list, zip(*pairs, strict=True))
    ours = cohen_kappa(a, b, weights)
    if len(set(a) | set(b)) == 1:
        assert math.isnan(ours)
        return
    assert ours == pytest.approx(cohen_kappa_score(a, b, weights=weights, labels=[1, 2, 3, 4, 5]))
    assert cohen_kappa(a, b, weights, labels=[1, 2, 3, 4, 5]) == pytest.approx(ours)


def test_kappa_of_words_follows_their_order() -> None:
    order = ["bad", "fair", "good"]
    a, b = ["bad", "fair", "good", "good"], ["bad", "good", "good", "fair"]
    ours = cohen_kappa(a, b, "linear", labels=order)
    assert ours == pytest.approx(cohen_kappa_score(a, b, weights="linear", labels=order))
    assert cohen_kappa(a, b) == pytest.approx(cohen_kappa_score(a, b))


def test_unused_steps_of_a_scale_keep_their_place() -> None:
    a, b = [1, 2, 9, 1], [2, 2, 9, 1]
    assert cohen_kappa(a, b, "quadratic") == pytest.approx(
        cohen_kappa_score(a, b, weights="quadratic", labels=list(range(1, 11)))
    )


def test_items_that_one_rater_left_out_do_not_count() -> None:
    assert cohen_kappa([1, 2, None, 1, 2], [1, 2, 2, math.nan, 1]) == cohen_kappa([1, 2, 2], [1, 2, 1])
    assert math.isnan(cohen_kappa([None], [1]))


def test_kappa_interval_comes_from_resampled_items() -> None:
    rng = np.random.default_rng(0)
    a = rng.integers(1, 6, size=150)
    b = np.where(rng.random(150) < 0.7, a, rng.integers(1, 6, size=150))
    interval = bootstrap(cohen_kappa, a, b, n_boot=200)
    assert interval.low < interval.estimate < interval.high
    assert interval.estimate == pytest.approx(cohen_kappa_score(a, b))


@given(
    st.integers(2, 5).flatmap(
        lambda raters: st.lists(
            st.lists(st.one_of(st.none(), rating), min_size=raters, max_size=raters), min_size=1, max_size=25
        )
    ),
    st.sampled_from(LEVELS),
)
@settings(deadline=None)
def test_alpha_is_that_of_the_krippendorff_package(by_item: list[list[int | None]], level: Any) -> None:
    rows = [list(row) for row in zip(*by_item, strict=True)]
    ours = krippendorff_alpha(rows, level)
    pairable = [r for item in by_item if sum(x is not None for x in item) > 1 for r in item if r is not None]
    if len(set(pairable)) < 2:
        assert math.isnan(ours)
        return
    data = [[math.nan if r is None else r for r in row] for row in rows]
    assert ours == pytest.approx(krippendorff.alpha(reliability_data=data, level_of_measurement=level))


@pytest.mark.parametrize(("level", "published"), list(zip(LEVELS, [0.743, 0.815, 0.849], strict=True)))
def test_alpha_of_the_published_example(level: Any, published: float) -> None:
    assert krippendorff_alpha(PUBLISHED, level) == pytest.approx(published, abs=5e-4)


def test_alpha_takes_words_and_arrays() -> None:
    words = [[None if r is None else f"label {r}" for r in row] for row in PUBLISHED]
    array = np.array([[math.nan if r is None else r for r in row] for row in PUBLISHED])
    assert krippendorff_alpha(words) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(array, "interval") == pytest.approx(0.849, abs=5e-4)


def test_alpha_of_nothing_is_unknown() -> None:
    assert math.isnan(krippendorff_alpha([]))
    assert math.isnan(krippendorff_alpha([[1, None], [None, 2]]))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: cohen_kappa([1], [1, 2]),
        lambda: cohen_kappa(["a"], ["b"], "linear"),
        lambda: cohen_kappa([1, 2], [1, 2], "cubic"),
        lambda: cohen_kappa(["a"], ["b"], labels=["a"]),
        lambda: krippendorff_alpha([[1], [1, 2]]),
        lambda: krippendorff_alpha([["a", "b"], ["a", "b"]], "ordinal"),
        lambda: krippendorff_alpha([[1, 2], [1, 2]], "ratio"),
    ],
)
def test_wrong_input_is_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(DataError):
        wrong()
