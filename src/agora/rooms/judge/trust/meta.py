"""How well a benchmark ranks models as people do: correlations, separability, agreement with confidence, Brier score.

Source of the last three: Arena-Hard, arXiv:2406.11939.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from agora.core.dependent_correlation import correlation_difference
from agora.core.errors import DataError
from agora.core.stats import Interval, kendall, pearson, spearman


class Rated(NamedTuple):
    """A model's value with what is known of its error; NaN where nothing is.

    Attributes:
        low, high: 95 % bounds.
        mean, variance: of the bootstrap; the value and its squared standard error do as well.
    """

    value: float
    low: float = math.nan
    high: float = math.nan
    mean: float = math.nan
    variance: float = math.nan


Ratings = Mapping[str, Rated]


@dataclass(frozen=True, slots=True)
class Confidence:
    """What a benchmark says about pairs of models, beside what people say.

    Args:
        separability: share of pairs whose 95 % intervals do not overlap; None without intervals.
        agreement: over the pairs that people separate, 1 where the benchmark separates them in the same order, 0.5
            where its intervals overlap, 0 where it separates them the other way; None without intervals on both sides.
        strict: share of all pairs in the same order.
        brier: mean squared error of P(a below b) by the normal approximation; None without variances.
        num_pairs, num_human: pairs, and those among them that people separate.
    """

    separability: float | None
    agreement: float | None
    strict: float | None
    brier: float | None
    num_pairs: int
    num_human: int


@dataclass(frozen=True, slots=True)
class Correlation:
    """One metric beside the human ratings, on the models that have both."""

    metric: str
    pearson: Interval
    spearman: Interval
    kendall: Interval
    confidence: Confidence

    @property
    def n(self) -> int:
        """Number of models."""
        return self.pearson.n


@dataclass(frozen=True, slots=True)
class MetricGap:
    """How much better one metric correlates with people than another, on the models that have all three values."""

    first: str
    second: str
    difference: Interval

    @property
    def separable(self) -> bool:
        """True when the interval excludes 0."""
        return self.difference.excludes(0)


@dataclass(frozen=True, slots=True)
class MetaReport:
    """Metrics against one human rating, best Pearson first, and the gaps between them.

    Args:
        unmatched: models of the leaderboard that have no human rating.
    """

    human: str
    correlations: tuple[Correlation, ...]
    gaps: tuple[MetricGap, ...]
    unmatched: tuple[str, ...]


def correlate(
    metrics: Mapping[str, Ratings], human: Ratings, *, name: str = "human", top: int | None = None
) -> MetaReport:
    """Compare metrics with human ratings.

    Args:
        metrics: ratings by metric.
        human: ratings by people.
        name: of the human rating.
        top: use the `top` models that people rate highest, among those that every metric has; None: each metric's own.

    Raises:
        DataError: no metric shares a model with the human ratings.
    """
    chosen = dict(metrics)
    if top is not None:
        shared = set(human).intersection(*chosen.values()) if chosen else set()
        kept = sorted(shared, key=lambda model: (-human[model].value, model))[:top]
        chosen = {metric: {model: ratings[model] for model in kept} for metric, ratings in chosen.items()}
    found = [_correlation(metric, ratings, human) for metric, ratings in chosen.items()]
    found = [row for row in found if row.n > 0]
    if not found:
        raise DataError("no model of the leaderboard has a human rating", hint="do the names agree? see --names")
    found.sort(key=lambda row: (math.isnan(row.pearson.estimate), -row.pearson.estimate, row.metric))
    gaps = [_gap(a.metric, b.metric, chosen, human) for a, b in combinations(found, 2)]
    models = sorted({model for ratings in chosen.values() for model in ratings} - set(human))
    return MetaReport(name, tuple(found), tuple(gaps), tuple(models))


def _correlation(metric: str, ratings: Ratings, human: Ratings) -> Correlation:
    models = sorted(ratings.keys() & human.keys())
    x, y = [ratings[model].value for model in models], [human[model].value for model in models]
    return Correlation(metric, pearson(x, y), spearman(x, y), kendall(x, y), confidence(ratings, human))


def _gap(first: str, second: str, metrics: Mapping[str, Ratings], human: Ratings) -> MetricGap:
    models = sorted(metrics[first].keys() & metrics[second].keys() & human.keys())
    a, b, people = ([ratings[m].value for m in models] for ratings in (metrics[first], metrics[second], human))
    return MetricGap(first, second, correlation_difference(a, b, people))


def confidence(benchmark: Ratings, human: Ratings, *, as_published: bool = False) -> Confidence:
    """Separability, agreement and Brier score on the models that both know.

    Args:
        benchmark, human: the two ratings.
        as_published: as the reference counts: an interval of no width overlaps with nothing (it measures the length of
            the overlap; the anchor of the human ratings has such an interval, inside three others), and separated pairs
            are ordered by their lower bounds.
    """
    models = sorted(benchmark.keys() & human.keys())
    overlap = _overlap_length if as_published else _overlap
    pairs = list(combinations(models, 2))
    with_bounds = _all(benchmark, models, lambda r: (r.low, r.high))
    human_bounds = _all(human, models, lambda r: (r.low, r.high))
    by_people = [human_bounds and not overlap(human[a], human[b]) for a, b in pairs]
    key: Callable[[Rated], float] = (lambda r: r.low) if as_published else (lambda r: r.value)
    credits = [
        0.5 if overlap(benchmark[a], benchmark[b]) else float(_same_order(key, (benchmark, human), a, b))
        for (a, b), people in zip(pairs, by_people, strict=True)
        if people and with_bounds
    ]
    return Confidence(
        separability=_mean([not _overlap(benchmark[a], benchmark[b]) for a, b in pairs]) if with_bounds else None,
        agreement=_mean(credits),
        strict=_mean([_same_order(lambda r: r.value, (benchmark, human), a, b) for a, b in pairs]),
        brier=_brier(pairs, benchmark, human) if _all(benchmark, models, lambda r: (r.mean, r.variance)) else None,
        num_pairs=len(pairs),
        num_human=sum(by_people),
    )


def _order(a: float, b: float) -> int:
    return (a > b) - (a < b)


def _same_order(key: Callable[[Rated], float], both: tuple[Ratings, Ratings], a: str, b: str) -> bool:
    first, second = (_order(key(ratings[a]), key(ratings[b])) for ratings in both)
    return first * second > 0


def _overlap(a: Rated, b: Rated) -> bool:
    return a.low <= b.high and b.low <= a.high


def _overlap_length(a: Rated, b: Rated) -> bool:
    return min(a.high, b.high) - max(a.low, b.low) > 0


def _all(ratings: Ratings, models: Sequence[str], parts: Callable[[Rated], Iterable[float]]) -> bool:
    return bool(models) and all(part == part for model in models for part in parts(ratings[model]))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _brier(pairs: Sequence[tuple[str, str]], benchmark: Ratings, human: Ratings) -> float | None:
    errors = []
    for a, b in pairs:
        gap = benchmark[b].mean - benchmark[a].mean
        spread = math.sqrt(benchmark[a].variance + benchmark[b].variance)
        below = 0.5 * math.erfc(-gap / (spread * math.sqrt(2))) if spread > 0 else 0.5 + 0.5 * _order(gap, 0)
        errors.append((below - (human[a].value < human[b].value)) ** 2)
    return _mean(errors)
