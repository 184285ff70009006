"""Time the statistics and the report against their peers: ``python benchmarks/statistics_speed.py [--json]``.

All data are simulated from a fixed seed. Each row is the best of several runs, since other work on the machine can only
add time. The peers do the same job with the usual tools; where their result is the same number, the row checks it.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from agora.core.agreement import cohen_kappa, krippendorff_alpha
from agora.core.ranking import Battle, bradley_terry
from agora.core.report import Report
from agora.core.report_assets.page import javascript_bundle
from agora.core.stats import Interval, kendall, paired_bootstrap


class Timing(NamedTuple):
    """Seconds of ours and of the peer, and how far their results are apart."""

    task: str
    ours_s: float
    peer: str = ""
    peer_s: float = math.nan
    apart: float = math.nan


def best(call: Callable[[], Any], runs: int = 3) -> tuple[float, Any]:
    """The shortest of some runs, in seconds, and the last result."""
    seconds, result = [], None
    for _ in range(runs):
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


def paired() -> Timing:
    """A paired bootstrap of 1,000 tasks."""
    from scipy.stats import bootstrap

    a, b = np.random.default_rng(0).normal(size=(2, 1000))
    ours_s, ours = best(lambda: paired_bootstrap(a, b))

    def peer() -> Any:
        def difference(x: Any, y: Any, axis: int) -> Any:
            return np.mean(x - y, axis=axis)

        return bootstrap((a, b), difference, paired=True, n_resamples=2000, method="percentile", rng=0)

    peer_s, found = best(peer)
    apart = abs(ours.low - found.confidence_interval.low)
    return Timing("paired bootstrap, 1,000 tasks, 2,000 resamples", ours_s, "scipy.stats.bootstrap", peer_s, apart)


def rank_correlation() -> Timing:
    """Kendall's tau of 300 pairs with its interval."""
    from scipy.stats import kendalltau

    rng = np.random.default_rng(0)
    x = rng.integers(1, 11, size=300)
    y = x + rng.integers(-3, 4, size=300)
    ours_s, ours = best(lambda: kendall(x, y))

    def peer() -> Any:
        rows = np.random.default_rng(0).integers(0, 300, size=(2000, 300))
        return np.quantile([kendalltau(x[row], y[row]).statistic for row in rows], [0.025, 0.975])

    peer_s, found = best(peer, 1)
    return Timing(
        "Kendall's tau, 300 pairs, 2,000 resamples", ours_s, "scipy in a loop", peer_s, abs(ours.low - found[0])
    )


def agreement() -> list[Timing]:
    """Kappa of 100,000 pairs and alpha of 3 raters by 5,000 items."""
    import krippendorff
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(0)
    a = rng.integers(1, 11, size=100_000)
    b = np.clip(a + rng.integers(-2, 3, size=100_000), 1, 10)
    ours_s, ours = best(lambda: cohen_kappa(a, b, "quadratic"))
    peer_s, found = best(lambda: cohen_kappa_score(a, b, weights="quadratic"))
    kappa = Timing("quadratic kappa, 100,000 pairs", ours_s, "scikit-learn", peer_s, abs(ours - found))
    ratings = rng.integers(1, 6, size=(3, 5000)).astype(float)
    ratings[rng.random(ratings.shape) < 0.1] = math.nan
    ours_s, ours = best(lambda: krippendorff_alpha(ratings, "ordinal"))
    peer_s, found = best(lambda: krippendorff.alpha(ratings, level_of_measurement="ordinal"))
    alpha = Timing("ordinal alpha, 3 raters, 5,000 items", ours_s, "krippendorff", peer_s, abs(ours - found))
    return [kappa, alpha]


def battles() -> list[Battle]:
    """All pairs of 12 models on 1,000 tasks: 66,000 votes, two thirds of them ties."""
    rng = np.random.default_rng(0)
    strength = rng.normal(size=12)
    skill = strength + rng.normal(size=(1000, 12))
    found = []
    for task, row in enumerate(skill):
        for i, j in combinations(range(12), 2):
            gap = row[i] - row[j]
            found.append(Battle(i, j, 0.5 if abs(gap) < 1.5 else float(gap > 0), 1.0, task))
    return found


def ranking() -> list[Timing]:
    """1,000 Bradley-Terry fits, over tasks and over battles; the peer fits one resample of battles after the other."""
    votes = battles()
    loose = [vote._replace(task=None) for vote in votes]
    by_task_s, _ = best(lambda: bradley_terry(votes, n_boot=1000))
    ours_s, ours = best(lambda: bradley_terry(loose, n_boot=1000))
    peer_s, found = best(lambda: one_fit_a_resample(loose, 1000), 1)
    a, b = ours.difference(0, 1), found
    return [
        Timing("Bradley-Terry, 12 models, 66,000 votes, 1,000 resamples of tasks", by_task_s),
        Timing("the same, resamples of battles", ours_s, "L-BFGS a resample", peer_s, abs(a.low - b.low)),
    ]


def one_fit_a_resample(votes: list[Battle], n_boot: int) -> Interval:
    """The difference of models 0 and 1 as leaderboards find it: distinct outcomes, multinomial counts, L-BFGS."""
    from scipy.optimize import minimize
    from scipy.special import expit

    rows, counts = np.unique([vote[:3] for vote in votes], axis=0, return_counts=True)
    first, second, outcome = rows[:, 0].astype(int), rows[:, 1].astype(int), rows[:, 2]

    def loss(theta: Any, weight: Any) -> tuple[float, Any]:
        chance = expit(theta[first] - theta[second])
        slope = (chance - outcome) * weight
        gradient = np.bincount(first, slope, 12) - np.bincount(second, slope, 12)
        return -float(weight @ (outcome * np.log(chance) + (1 - outcome) * np.log1p(-chance))), gradient

    total = counts.sum()
    draws = np.random.default_rng(0).multinomial(total, counts / total, size=n_boot) / total
    fits = [minimize(loss, np.zeros(12), (w,), jac=True, method="L-BFGS-B", options={"gtol": 1e-6}).x for w in draws]
    gaps = np.array([fit[0] - fit[1] for fit in fits])
    low, high = np.quantile(gaps, [0.025, 0.975])
    return Interval(float(gaps.mean()), float(low), float(high), int(total), "L-BFGS a resample")


def report() -> tuple[list[Timing], int, int]:
    """Writing a page with three charts, and its size in bytes with and without charts."""

    def write(num_charts: int) -> int:
        made = Report("Speed").table(["a", "b"], [[i, i / 7] for i in range(200)], caption="numbers")
        values = [{"x": i, "y": i % 7} for i in range(200)]
        encoding = {"x": {"field": "x", "type": "quantitative"}, "y": {"field": "y", "type": "quantitative"}}
        for _ in range(num_charts):
            made.chart({"data": {"values": values}, "mark": "line", "encoding": encoding}, caption="c", alt="a")
        return made.write(Path(folder) / "report.html").stat().st_size

    with tempfile.TemporaryDirectory() as folder:
        first_s, _ = best(javascript_bundle, 1)
        charts_s, with_charts = best(lambda: write(3))
        plain_s, plain = best(lambda: write(0))
    timings = [
        Timing("the charting library, once a process", first_s),
        Timing("report with 3 charts and a table of 200 rows", charts_s),
        Timing("report with a table of 200 rows", plain_s),
    ]
    return timings, with_charts, plain


def main() -> None:
    """Print the timings as a table, or as JSON."""
    pages, with_charts, plain = report()
    timings = [paired(), rank_correlation(), *agreement(), *ranking(), *pages]
    if "--json" in sys.argv[1:]:
        rows = [{k: None if v != v else v for k, v in timing._asdict().items()} for timing in timings]
        print(json.dumps({"timings": rows, "page_bytes": {"with_charts": with_charts, "plain": plain}}))
        return
    for timing in timings:
        line = f"{timing.task:<66}{timing.ours_s:8.3f} s"
        if timing.peer:
            ratio = timing.peer_s / timing.ours_s
            line += f"   {timing.peer}: {timing.peer_s:.3f} s ({ratio:.1f}x), results {timing.apart:.1e} apart"
        print(line)
    print(f"page with 3 charts {with_charts / 1e6:.2f} MB, without charts {plain / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
