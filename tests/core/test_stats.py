"""Estimates and intervals, against scipy, statsmodels and known truth."""

from __future__ import annotations

import math
import time
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from agora.core import resampling, stats
from agora.core.errors import DataError
from agora.core.stats import (
    Interval,
    bootstrap,
    bootstrap_mean,
    holm,
    kendall,
    paired_bootstrap,
    pearson,
    spearman,
    standard_error,
    wilson,
)
from tests.examples import examples

NAN = math.nan
numbers = st.floats(-1e3, 1e3).map(lambda value: round(value, 3))
columns = st.lists(st.tuples(numbers, numbers), min_size=5, max_size=60)
few_values = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=5, max_size=60)


def bounds(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high


def test_bootstrap_of_a_mean_agrees_with_scipy() -> None:
    x = np.random.default_rng(0).exponential(size=300)
    peer = scipy.stats.bootstrap((x,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    ours = bootstrap_mean(x, seed=2, n_boot=20_000)
    assert ours.estimate == pytest.approx(x.mean())
    assert bounds(ours) == pytest.approx((peer.low, peer.high), abs=0.003)


def test_paired_bootstrap_agrees_with_scipy() -> None:
    rng = np.random.default_rng(3)
    a = rng.normal(size=200)
    b = a + rng.normal(0.3, 0.5, size=200)
    peer = scipy.stats.bootstrap(
        (a, b),
        lambda a, b, axis: np.mean(a - b, axis=axis),
        paired=True,
        n_resamples=20_000,
        method="percentile",
        rng=1,
    ).confidence_interval
    ours = paired_bootstrap(a, b, n_boot=20_000)
    assert bounds(ours) == pytest.approx((peer.low, peer.high), abs=0.003)
    assert ours.excludes(0)


def test_pairs_with_a_missing_value_are_dropped_and_counted() -> None:
    ours = paired_bootstrap([1.0, 2.0, None, 4.0, 5.0], [0.0, NAN, 1.0, 3.0, 5.0])
    assert (ours.n, ours.dropped) == (3, 2)
    assert ours.estimate == pytest.approx(2 / 3)


def test_missing_values_change_nothing_but_the_count() -> None:
    x = list(np.random.default_rng(1).normal(size=50))
    with_gaps = bootstrap_mean([None, *x[:20], NAN, *x[20:]])
    assert with_gaps == bootstrap_mean(x)._replace(dropped=2)


@pytest.mark.parametrize("x", [[], [None, NAN], [3.0]])
def test_too_few_values_leave_the_bounds_unknown(x: list[float | None]) -> None:
    ours = bootstrap_mean(x)
    assert all(map(math.isnan, bounds(ours)))
    assert math.isnan(standard_error(x))
    assert not ours.excludes(0)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    x = np.random.default_rng(1).normal(size=100)
    assert bootstrap_mean(x, seed=5) == bootstrap_mean(x, seed=5)
    assert bootstrap_mean(x, seed=5) != bootstrap_mean(x, seed=6)


def test_block_size_does_not_change_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = np.random.default_rng(1).normal(size=(2, 100))
    whole = bootstrap_mean(x), kendall(x, y)
    monkeypatch.setattr(resampling, "_BLOCK_CELLS", 1_700)
    for found, expected in zip((bootstrap_mean(x), kendall(x, y)), whole, strict=True):
        assert found[:3] == pytest.approx(expected[:3], abs=1e-13)  # summed in another order
        assert found[3:] == expected[3:]


def test_clusters_widen_the_interval_of_repeated_answers() -> None:
    rng = np.random.default_rng(4)
    x = np.repeat(rng.normal(size=100), 5)
    tasks = [f"task {i}" for i in np.repeat(np.arange(100), 5)]
    single, clustered = bootstrap_mean(x), bootstrap_mean(x, clusters=tasks)
    assert clustered.high - clustered.low == pytest.approx((single.high - single.low) * math.sqrt(5), rel=0.1)
    assert "100 clusters" in clustered.method


def test_clusters_of_one_change_nothing() -> None:
    x = np.random.default_rng(4).normal(size=60)
    assert bounds(bootstrap_mean(x, clusters=range(60))) == pytest.approx(bounds(bootstrap_mean(x)))
    assert standard_error(x, clusters=range(60)) == pytest.approx(standard_error(x))


def test_cluster_labels_follow_the_values_that_are_present() -> None:
    x, labels = [1.0, None, 3.0, 5.0], ["a", "a", "b", "c"]
    assert bootstrap_mean(x, clusters=labels)._replace(dropped=0) == bootstrap_mean([1, 3, 5], clusters=["a", "b", "c"])


def test_clustered_standard_error_agrees_with_statsmodels() -> None:
    import statsmodels.api

    rng = np.random.default_rng(8)
    groups = rng.integers(0, 30, size=200)
    x = rng.normal(size=30)[groups] + rng.normal(size=200)
    fit = statsmodels.api.OLS(x, np.ones(200)).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}
    )
    small_sample = math.sqrt(30 / 29)
    assert standard_error(x, clusters=groups.tolist()) == pytest.approx(float(fit.bse[0]) * small_sample)


@given(st.lists(numbers, min_size=2, max_size=50))
def test_standard_error_is_that_of_scipy(x: list[float]) -> None:
    assert standard_error(x) == pytest.approx(float(scipy.stats.sem(x)), abs=1e-9)


@given(st.lists(numbers, min_size=2, max_size=30), st.floats(-5, 5), numbers)
@settings(max_examples=examples(30))
def test_rescaling_an_interval_is_rescaling_the_data(x: list[float], scale: float, shift: float) -> None:
    rescaled = bootstrap_mean(x, n_boot=200).rescaled(scale, shift)
    direct = bootstrap_mean([scale * value + shift for value in x], n_boot=200)
    assert rescaled[:3] == pytest.approx(direct[:3], abs=1e-6)


@given(st.integers(0, 300), st.integers(1, 300), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_is_that_of_statsmodels(k: int, n: int, level: float) -> None:
    k = min(k, n)
    low, high = proportion_confint(k, n, alpha=1 - level, method="wilson")
    ours = wilson(k, n, level)
    assert ours.estimate == k / n
    assert bounds(ours) == pytest.approx((low, high), abs=1e-12)
    assert 0 <= ours.low <= ours.estimate <= ours.high <= 1


def test_wilson_of_nothing_knows_nothing() -> None:
    ours = wilson(0, 0)
    assert math.isnan(ours.estimate)
    assert bounds(ours) == (0, 1)


@given(columns)
def test_pearson_is_that_of_scipy(pairs: list[tuple[float, float]]) -> None:
    x, y = map(np.array, zip(*pairs, strict=True))
    ours = pearson(x, y)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert math.isnan(ours.estimate)
        return
    peer = scipy.stats.pearsonr(x, y)
    assert ours.estimate == pytest.approx(peer.statistic, abs=1e-9)
    if abs(ours.estimate) < 0.999:
        assert bounds(ours) == pytest.approx(tuple(peer.confidence_interval()), abs=1e-9)


@given(few_values)
@settings(max_examples=examples(50), deadline=None)
def test_rank_correlations_are_those_of_scipy_with_ties(pairs: list[tuple[int, int]]) -> None:
    x, y = map(np.array, zip(*pairs, strict=True))
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert math.isnan(spearman(x, y).estimate)
        assert math.isnan(kendall(x, y).estimate)
        return
    assert spearman(x, y).estimate == pytest.approx(scipy.stats.spearmanr(x, y).statistic)
    ours = kendall(x, y, n_boot=100)
    assert ours.estimate == pytest.approx(scipy.stats.kendalltau(x, y).statistic)
    assert -1 <= ours.low <= ours.high <= 1


def test_kendall_interval_agrees_with_a_bootstrap_of_scipy() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(1, 11, size=80)
    y = x + rng.integers(-3, 4, size=80)
    peer = bootstrap(lambda x, y: float(scipy.stats.kendalltau(x, y).statistic), x, y, n_boot=2000)
    assert kendall(x, y)[:3] == pytest.approx(peer[:3])  # the same resamples, so the same bounds


def test_kendall_of_many_pairs_has_the_analytic_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=500)
    y = x + rng.normal(size=500)
    resampled = kendall(x, y)
    monkeypatch.setattr(stats, "_KENDALL_MATRIX_LIMIT", 100)
    analytic = kendall(x, y)
    assert "Fisher" in analytic.method
    assert bounds(analytic) == pytest.approx(bounds(resampled), abs=0.015)


def test_spearman_interval_is_bonett_and_wright() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=100)
    y = x + rng.normal(size=100)
    ours = spearman(x, y)
    half = 1.959964 * math.sqrt((1 + ours.estimate**2 / 2) / 97)
    assert bounds(ours) == pytest.approx(
        (math.tanh(math.atanh(ours.estimate) - half), math.tanh(math.atanh(ours.estimate) + half))
    )


def test_three_pairs_have_no_interval_and_a_perfect_line_has_no_width() -> None:
    assert math.isnan(pearson([1, 2, 3], [1, 3, 2]).low)
    assert pearson([1, 2, 3, 4], [2, 4, 6, 8])[:3] == (1, 1, 1)


def test_correlation_of_tiny_and_huge_numbers_neither_vanishes_nor_overflows() -> None:
    x = np.array([1.0, 2.0, 4.0, 3.0, 7.0])
    assert pearson(x * 1e-200, x[::-1] * 1e200).estimate == pytest.approx(pearson(x, x[::-1]).estimate)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
@settings(max_examples=examples(10), deadline=None)  # statsmodels takes 0.2 s a call
def test_holm_is_that_of_statsmodels(pvalues: list[float]) -> None:
    assert holm(pvalues) == pytest.approx(list(multipletests(pvalues, method="holm")[1]))


def test_holm_does_not_count_missing_tests() -> None:
    adjusted = holm([0.01, NAN, 0.04])
    assert adjusted[::2] == pytest.approx([0.02, 0.04])
    assert math.isnan(adjusted[1])


def test_general_bootstrap_of_the_mean_equals_the_fast_one() -> None:
    x = np.random.default_rng(0).normal(size=40)
    assert bootstrap(np.mean, x, n_boot=500)[:3] == pytest.approx(bootstrap_mean(x, n_boot=500)[:3])


def test_interval_says_whether_it_excludes_a_value() -> None:
    interval = Interval(1.0, 0.5, 1.5, 10, "made up")
    assert interval.excludes()
    assert interval.excludes(1.6)
    assert not interval.excludes(0.5)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: paired_bootstrap([1, 2], [1]),
        lambda: pearson([1, 2], [1]),
        lambda: bootstrap_mean([1, math.inf]),
        lambda: bootstrap_mean([1, 2], level=95),
        lambda: bootstrap_mean([1, 2], n_boot=3),
        lambda: bootstrap_mean([1, 2], clusters=["a"]),
        lambda: bootstrap_mean(np.ones((2, 2))),
        lambda: wilson(3, 2),
        lambda: holm([1.5]),
        lambda: bootstrap(np.mean),
    ],
)
def test_wrong_input_is_refused_in_one_line(wrong: Callable[[], object]) -> None:
    with pytest.raises(DataError) as caught:
        wrong()
    assert "\n" not in str(caught.value)


def test_two_thousand_resamples_of_a_thousand_pairs_take_under_a_tenth_of_a_second() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 1000))
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        paired_bootstrap(a, b)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.1


def test_memory_does_not_grow_with_the_number_of_resamples() -> None:
    x = np.random.default_rng(0).normal(size=20_000)
    tracemalloc.start()
    bootstrap_mean(x, n_boot=1000)  # 160 MB of indices, were they made at once
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["normal", "scores"])
def test_paired_bootstrap_covers_the_true_difference_as_often_as_it_says(shape: str) -> None:
    rng = np.random.default_rng(11)
    covered, rounds, n = 0, 1500, 200
    for seed in range(rounds):
        task = rng.normal(size=n)  # what both models share makes the pairs correlate
        noise_a, noise_b = rng.normal(size=(2, n))
        a, b = task + noise_a + 0.25, task + noise_b
        truth = 0.25
        if shape == "scores":  # whole scores 1..10, clipped at both ends
            a, b = np.clip(np.round(5.5 + 2 * a), 1, 10), np.clip(np.round(5.5 + 2 * b), 1, 10)
            truth = SCORE_TRUTH
        ours = paired_bootstrap(a, b, seed=seed, n_boot=1000)
        covered += ours.low <= truth <= ours.high
    assert 0.93 <= covered / rounds <= 0.97


def _mean_score(shift: float) -> float:
    """The mean of round(5.5 + 2 (shift + N(0, 2))) clipped to 1..10."""
    spread = 2 * math.sqrt(2)
    cuts = (np.arange(1, 10) + 0.5 - 5.5 - 2 * shift) / spread
    return float(1 + scipy.stats.norm.sf(cuts).sum())


SCORE_TRUTH = _mean_score(0.25) - _mean_score(0.0)


def test_equal_orders_of_few_pairs_leave_wide_bounds() -> None:
    for n, low in ((6, 0.6), (30, 0.99)):
        x = list(range(n))
        for found in (spearman(x, [v**3 for v in x]), kendall(x, x, n_boot=100)):
            assert found.estimate == found.high == pytest.approx(1.0)
            assert found.low < 0.9999
        assert spearman(x, x).low == pytest.approx(low, abs=0.15)
        reverse = spearman(x, x[::-1])
        assert (reverse.estimate, reverse.low) == (-1.0, -1.0) and reverse.high > -1.0
