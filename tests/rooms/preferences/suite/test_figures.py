"""Means of tests and categories, intervals, and what is missing."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agora.core.errors import DataError
from agora.core.stats import bootstrap_mean
from agora.rooms.preferences.suite.figures import category_average, figure_of, mean_figure, mean_or_none
from agora.rooms.preferences.types import EvalResult
from tests.rooms.preferences.suite.support import Echo


def result(i: int, score: float | None, **meta: object) -> EvalResult:
    status = "ok" if score is not None else "missing"
    return EvalResult("echo", "reasoning", f"e{i}", score, status, "0", meta=dict(meta))  # type: ignore[arg-type]


def test_complete_rows_of_the_published_tables_are_reproduced(shared_dir: Path) -> None:
    names = ("factuality", "reasoning", "coding", "truthfulness", "safety", "instruction_following")
    complete = 0
    for table in ("table1_preference_data_dpo.csv", "table2_dpo_vs_ppo.csv"):
        with (shared_dir / "data/preference/tables" / table).open(encoding="utf-8") as source:
            for row in csv.DictReader(source):
                scores = {name: float(row[name]) if row[name] else None for name in names}
                average = category_average(scores).average
                if not row["average"]:
                    assert average is None or None not in scores.values()
                    continue
                complete += 1
                assert average == pytest.approx(float(row["average"]), abs=0.06)
    assert complete == 25


def test_category_is_the_mean_of_its_tests_and_missing_is_no_number() -> None:
    found = category_average({"reasoning": {"gsm8k": 40.0, "bbh": 50.0}, "safety": {"xstest": None, "toxigen": 90.0}})
    assert found == ({"reasoning": 45.0, "safety": None}, None)
    assert category_average({}) == ({}, None)
    assert mean_or_none([]) is None


def test_score_without_ok_is_refused() -> None:
    for score, status in ((1.0, "missing"), (None, "ok"), (1.5, "ok"), (-0.1, "ok"), (float("nan"), "ok")):
        with pytest.raises(DataError, match="echo/e0"):
            EvalResult("echo", "reasoning", "e0", score, status, "0")  # type: ignore[arg-type]


@given(st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=2, max_size=30))
def test_figure_is_the_mean_with_its_bootstrap_interval(scores: list[float]) -> None:
    figure = figure_of(Echo(0), [result(i, score) for i, score in enumerate(scores)])[0].figure
    assert figure.value == pytest.approx(100 * np.mean(scores))
    assert figure.low is not None and figure.high is not None
    assert 0 <= figure.low <= figure.value <= figure.high <= 100
    if len(set(scores)) == 1 and scores[0] in (0.0, 1.0):
        assert figure.high - figure.low > 3  # all alike is not certain


def test_interval_is_as_wide_as_that_of_the_core() -> None:
    rng = np.random.default_rng(0)
    scores = [float(x) for x in rng.integers(0, 2, 400)]
    figure = figure_of(Echo(0), [result(i, score) for i, score in enumerate(scores)])[0].figure
    core = bootstrap_mean(scores).rescaled(100)
    assert figure.low == pytest.approx(core.low, abs=0.7) and figure.high == pytest.approx(core.high, abs=0.7)


def test_missing_examples_are_counted_with_their_reasons() -> None:
    results = [result(0, 1.0), result(1, None, error="3 tokens too many"), result(2, None, error="9 tokens too many")]
    found, _ = figure_of(Echo(0), results)
    assert (found.figure.value, found.figure.n, found.figure.missing) == (100.0, 1, 2)
    assert found.figure.low is None  # one example says nothing of its own error
    assert found.reasons == {"3 tokens too many": 2}


def test_test_without_a_single_score_has_no_value_and_nor_has_its_category() -> None:
    nothing, sampled = figure_of(Echo(0), [result(0, None)])
    assert nothing.figure.value is None
    _, other = figure_of(Echo(0), [result(0, 1.0), result(1, 0.0)])
    assert mean_figure([sampled, other]).figure.value is None


class Stratified(Echo):
    def stratum(self, result: EvalResult) -> str:
        return str(result.meta["task"])


def test_strata_count_alike_whatever_their_size() -> None:
    results = [result(i, 1.0, task="small") for i in range(2)] + [result(9 + i, 0.0, task="large") for i in range(30)]
    results[0] = result(0, 0.0, task="small")
    assert figure_of(Stratified(0), results)[0].figure.value == pytest.approx(25.0)


def test_means_of_independent_parts_are_surer_than_the_parts() -> None:
    rng = np.random.default_rng(1)
    parts = []
    for name in "abcd":
        results = [result(i, float(x)) for i, x in enumerate(rng.integers(0, 2, 100))]
        parts.append(figure_of(Echo(0, name), results)[1])
    mean = mean_figure(parts).figure
    widths = [(p.figure.high or 0) - (p.figure.low or 0) for p in parts]
    assert (mean.high or 0) - (mean.low or 0) == pytest.approx(np.mean(widths) / 2, rel=0.2)
    assert mean.n == 400
