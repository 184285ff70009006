"""From per-example results to figures: tests, categories, one average; each with an interval and what is missing.

Category = unweighted mean of its tests, average = unweighted mean of the categories. A mean over something that has no
value has none itself: what is missing is never a number.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from agora.core.records import stable_id
from agora.core.resampling import Resampling, count_blocks, percentiles
from agora.rooms.preferences.suite.protocol import Test, mean_of
from agora.rooms.preferences.types import EvalResult

if TYPE_CHECKING:
    from agora.core.stats import FloatArray

NUM_RESAMPLES, LEVEL = 2000, 0.95


@dataclass(frozen=True, slots=True)
class Figure:
    """A value on the scale 0 to 100 with its 95 % bootstrap interval over examples.

    Attributes:
        value: None where something it rests on is missing.
        low, high: bounds; None where they cannot be known (one example, or no value).
        n: scored examples it rests on.
        missing: examples without a score.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    missing: int = 0


@dataclass(frozen=True, slots=True)
class TestFigure:
    """One test's figure and what else its results tell.

    Attributes:
        more: the test's secondary figures.
        mean_tokens, mean_chars: length of the generations; None where none was generated or counted.
        stopped: percentage of generations ended by the model itself (its end token, or a stop string).
        reasons: why examples are missing: reason -> count.
    """

    __test__ = False

    name: str
    category: str
    unit: str
    figure: Figure
    more: dict[str, float | None] = field(default_factory=dict)
    mean_tokens: float | None = None
    mean_chars: float | None = None
    stopped: float | None = None
    reasons: dict[str, int] = field(default_factory=dict)


class Averages(NamedTuple):
    """Category values, and their mean."""

    categories: dict[str, float | None]
    average: float | None


def mean_or_none(values: Sequence[float | None]) -> float | None:
    """The plain mean; None if there is nothing or something is missing."""
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present and len(present) == len(values) else None


def category_average(scores: Mapping[str, Mapping[str, float | None] | float | None]) -> Averages:
    """Unweighted means of a table of scores.

    Args:
        scores: category -> (test -> score), or category -> score.

    Example:
        >>> category_average({"reasoning": {"gsm8k": 40.0, "bbh": 50.0}, "coding": 35.0})
        Averages(categories={'reasoning': 45.0, 'coding': 35.0}, average=40.0)
    """
    categories = {
        name: mean_or_none(list(tests.values())) if isinstance(tests, Mapping) else tests
        for name, tests in scores.items()
    }
    return Averages(categories, mean_or_none(list(categories.values())))


class Sampled(NamedTuple):
    """A figure with the values it takes in the resamples (None where it has no value)."""

    figure: Figure
    draws: FloatArray | None


def figure_of(test: Test, results: Sequence[EvalResult], *, seed: int = 0) -> tuple[TestFigure, Sampled]:
    """Everything about one test's results.

    Args:
        test: what they are results of.
        results: one an example.
        seed: of the bootstrap.
    """
    scored = [result for result in results if result.status == "ok"]
    sampled = _sampled(test, results, scored, seed)
    ended = [r.meta["finish_reason"] for r in results if r.meta.get("finish_reason")]
    stopped = sum(reason != "length" for reason in ended)
    return TestFigure(
        name=test.name,
        category=test.category,
        unit=test.unit,
        figure=sampled.figure,
        more=test.secondary(scored),
        mean_tokens=mean_of(results, "n_tokens", scale=1.0),
        mean_chars=mean_of(results, "n_chars", scale=1.0),
        stopped=100.0 * stopped / len(ended) if ended else None,
        reasons=_reasons(results),
    ), sampled


def _reasons(results: Sequence[EvalResult]) -> dict[str, int]:
    """Why examples are missing; reasons that differ in numbers alone are one, in the words of the first."""
    first: dict[str, str] = {}
    counts: dict[str, int] = {}
    for result in results:
        if result.status != "ok":
            why = str(result.meta.get("error") or result.status)
            why = first.setdefault(re.sub(r"\d+", "N", why), why)
            counts[why] = counts.get(why, 0) + 1
    return counts


def mean_figure(parts: Sequence[Sampled]) -> Sampled:
    """The unweighted mean of independent figures; its resamples are the means of theirs."""
    n = sum(part.figure.n for part in parts)
    missing = sum(part.figure.missing for part in parts)
    value = mean_or_none([part.figure.value for part in parts])
    draws = [part.draws for part in parts if part.draws is not None]
    if value is None or len(draws) != len(parts):
        return Sampled(Figure(value, None, None, n, missing), None)
    mean = sum(draws[1:], draws[0]) / len(draws)
    return Sampled(_figure(value, mean, n, missing), mean)


def _sampled(test: Test, results: Sequence[EvalResult], scored: Sequence[EvalResult], seed: int) -> Sampled:
    """Mean over strata of the test's figure, resampled within each."""
    strata: dict[str, list[EvalResult]] = {test.stratum(result): [] for result in results}
    for result in scored:
        strata[test.stratum(result)].append(result)
    parts = [
        _stratum(test, members, Resampling(_seed(seed, test.name, name), NUM_RESAMPLES, LEVEL))
        for name, members in strata.items()
    ]
    whole = mean_figure(parts) if parts else Sampled(Figure(None, None, None, 0), None)
    figure = Figure(whole.figure.value, whole.figure.low, whole.figure.high, len(scored), len(results) - len(scored))
    return Sampled(figure, whole.draws)


def _stratum(test: Test, members: Sequence[EvalResult], plan: Resampling) -> Sampled:
    import numpy as np

    n = len(members)
    if not n:
        return Sampled(Figure(None, None, None, 0), None)
    value = 100.0 * float(test.figure(members, np.ones((1, n)))[0])
    if math.isnan(value):
        return Sampled(Figure(None, None, None, n), None)
    if n == 1:  # one example says nothing of its own error, and a mean with it cannot know its own
        return Sampled(Figure(value, None, None, n), None)
    draws = 100.0 * np.concatenate([test.figure(members, weights_RN) for weights_RN in count_blocks(n, plan)])
    if value in (0.0, 100.0) and not np.ptp(draws):
        # all alike: resampling shows no spread, but n examples cannot be sure (Jeffreys' posterior of a share)
        hits = n * value / 100.0
        draws = 100.0 * np.random.default_rng(plan.seed).beta(hits + 0.5, n - hits + 0.5, plan.n_boot)
    return Sampled(_figure(value, draws, n, 0), draws)


def _figure(value: float, draws: FloatArray, n: int, missing: int) -> Figure:
    low, high = percentiles(draws, LEVEL)
    if math.isnan(low):
        return Figure(value, None, None, n, missing)
    return Figure(value, min(low, value), max(high, value), n, missing)


def _seed(*parts: object) -> int:
    """Parts are resampled independently, so each needs a stream of its own."""
    return int(stable_id(*parts, size=4), 16)
