"""What else moves a judge's verdicts: who is shown first, and who writes more."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from agora.core.records import Verdict
from agora.core.stats import Interval, spearman, standard_error, wilson
from agora.rooms.judge.scoring.metrics import is_empty

FIRST, SECOND = "candidate_first", "candidate_second"


@dataclass(frozen=True, slots=True)
class OrderBias:
    """How comparisons depend on who is shown first.

    Args:
        n_first, n_second: comparisons with the candidate shown first, second.
        mean_first, mean_second: the candidate's mean outcome (x100) in each.
        difference: first minus second (x100); 0 for a judge without a position bias. From tasks asked both ways where
            there are any (paired), else between the two halves (Welch).
        first_wins: share of decisive comparisons won by whoever was shown first; 0.5 without a bias.
        n_both: comparisons asked in both orders.
        conflicts: those among them whose two orders had different winners.
        by_model: mean outcome (x100) of each model when shown first, and second; those that were shown in both places.
    """

    n_first: int
    n_second: int
    mean_first: float | None
    mean_second: float | None
    difference: Interval
    first_wins: Interval
    n_both: int
    conflicts: int
    by_model: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def models_better_second(self) -> int:
        """Models that do better when shown second."""
        return sum(second > first for first, second in self.by_model.values())


def order_bias(verdicts: Iterable[Verdict]) -> OrderBias:
    """The order bias of a judge; pair verdicts of any number of models and baselines.

    Verdicts that needed no call (empty or equal answers) are left out: the judge did not see them. So are those of a
    model with itself.
    """
    pairs = (v for v in verdicts if v.kind == "pair" and v.model != v.baseline)
    judged = [v for v in pairs if v.value is not None and "skipped" not in v.meta]
    halves: dict[str, list[float]] = {FIRST: [], SECOND: []}
    by_pair: dict[tuple[str, str, str | None], dict[str, float]] = defaultdict(dict)
    by_model: dict[str, dict[str, list[float]]] = defaultdict(lambda: {name: [] for name in halves})
    first_won = decisive = 0
    for v in judged:
        if v.order not in halves or v.value is None:
            continue
        halves[v.order].append(v.value)
        by_model[v.model][v.order].append(v.value)
        by_pair[v.task_id, v.model, v.baseline][v.order] = v.value
        decisive += v.value != 0
        first_won += (v.value > 0) == (v.order == FIRST) and v.value != 0
    both = [(p[FIRST], p[SECOND]) for p in by_pair.values() if len(p) == 2]
    first, second = halves[FIRST], halves[SECOND]
    return OrderBias(
        n_first=len(first),
        n_second=len(second),
        mean_first=_mean(first),
        mean_second=_mean(second),
        difference=_paired([a - b for a, b in both]) if len(both) > 1 else _welch(first, second),
        first_wins=wilson(first_won, decisive),
        n_both=len(both),
        conflicts=sum(a * b < 0 for a, b in both),
        by_model={
            model: (100 * math.fsum(places[FIRST]) / len(places[FIRST]), 100 * math.fsum(rest) / len(rest))
            for model, places in sorted(by_model.items())
            if places[FIRST] and (rest := places[SECOND])
        },
    )


def _mean(values: Sequence[float]) -> float | None:
    return 100 * math.fsum(values) / len(values) if values else None


def _paired(gaps: Sequence[float]) -> Interval:
    mean, se = 100 * math.fsum(gaps) / len(gaps), 100 * standard_error(gaps)
    return Interval(mean, mean - 1.96 * se, mean + 1.96 * se, len(gaps), "paired, normal 95 %")


def _welch(first: Sequence[float], second: Sequence[float]) -> Interval:
    n = len(first) + len(second)
    if min(len(first), len(second)) < 2:
        return Interval(math.nan, math.nan, math.nan, n, "too few comparisons in one of the orders")
    gap = 100 * (math.fsum(first) / len(first) - math.fsum(second) / len(second))
    se = 100 * math.hypot(standard_error(first), standard_error(second))
    return Interval(gap, gap - 1.96 * se, gap + 1.96 * se, n, "two halves, normal 95 %")


@dataclass(frozen=True, slots=True)
class LengthEffect:
    """How verdicts go with length (which may be the answers' merit: it is a correlation).

    Args:
        scores: Spearman correlation of score and length within a model's answers; None without score verdicts.
        longer_wins: share of decisive comparisons won by the longer answer; None without pair verdicts.
    """

    scores: Interval | None
    longer_wins: Interval | None


def length_effect(verdicts: Iterable[Verdict]) -> LengthEffect:
    """Length correlation of score verdicts and length preference of pair verdicts; empty answers are left out."""
    scores: list[tuple[float, int]] = []
    longer_won = decisive = 0
    has_pairs = False
    for v in verdicts:
        if v.value is None or v.n_chars is None or is_empty(v):
            continue
        if v.kind == "score":
            scores.append((v.value, v.n_chars))
        elif v.baseline_n_chars:
            has_pairs = True
            gap = v.n_chars - v.baseline_n_chars
            decisive += gap != 0 and v.value != 0
            longer_won += gap * v.value > 0
    return LengthEffect(
        scores=spearman([s for s, _ in scores], [float(n) for _, n in scores]) if scores else None,
        longer_wins=wilson(longer_won, decisive) if has_pairs else None,
    )


def difficulty_by_order(verdicts: Iterable[Verdict], difficulty: Mapping[str, float]) -> Interval:
    """Mean difficulty of the tasks that show the candidate second, minus that of those that show it first.

    Where every model is shown in the same place on a task, an estimated difficulty takes in the order bias, and this is
    far from 0. Tasks on which the place differs between models, or is not known, are left out.
    """
    places: dict[str, set[str]] = defaultdict(set)
    for v in verdicts:
        if v.kind == "pair" and v.order in (FIRST, SECOND) and v.model != v.baseline:
            places[v.task_id].add(v.order)
    halves: dict[str, list[float]] = {FIRST: [], SECOND: []}
    for task, found in places.items():
        if len(found) == 1 and task in difficulty:
            halves[found.pop()].append(difficulty[task])
    return _welch(halves[SECOND], halves[FIRST]).rescaled(0.01)
