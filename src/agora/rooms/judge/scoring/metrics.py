"""WB-Score: from verdicts to a number with its n, its error and its bounds (WildBench, arXiv:2406.04770).

What was not judged is missing: it enters no sum and no denominator, is counted, and bounds say what it could change. An
empty answer was judged, with 1, and counts everywhere.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from agora.core.errors import DataError
from agora.core.records import Verdict
from agora.core.resampling import Resampling, count_blocks, percentiles
from agora.core.stats import Interval, bootstrap_mean, paired_bootstrap, standard_error
from agora.rooms.judge.types import GROUP_WEIGHTS, GROUP_WEIGHTS_JUNE, GROUPS, TaskSet, unknown_tags

WARN_UNSCORED = 0.02
#: Resamples of an interval, the same in the summary of a judging and on a leaderboard.
N_BOOT = 1000
WITHHOLD_UNSCORED = 0.05
_SAME_ANSWER_SHARE = 0.5


def wb_scale(mean: float) -> float:
    """A mean of 1..10 on the published scale: (mean - 5) * 2 * 10, so -80..100, with 0 as borderline."""
    return (mean - 5) * 2 * 10


def macro(values: Mapping[str, float | None], weights: Mapping[str, float] = GROUP_WEIGHTS) -> float | None:
    """The weighted mean of the five groups' values; None unless every group has one."""
    known = {group: value for group in weights if (value := values.get(group)) is not None}
    if len(known) < len(weights):
        return None
    return sum(weights[group] * value for group, value in known.items()) / sum(weights.values())


class GroupValue(NamedTuple):
    """A group's value on the published scale."""

    value: float | None
    n: int
    se: float | None


@dataclass(frozen=True, slots=True)
class ScoreReport:
    """One model's WB-Score by one judge.

    Args:
        n: tasks with a score; the value is their mean.
        num_tasks: tasks of the benchmark, judged or not.
        statuses: number of tasks by verdict status; tasks without any verdict count as ``missing``.
        wb_score: on the published scale; None when nothing was scored.
        interval: bootstrap interval over tasks.
        bounds: the value if every unscored task had 1, and 10.
        macro: the groups' values with the published weights; ``macro_june`` with those of June 2024,
            ``macro_unweighted`` with equal ones; ``macro_interval``: bootstrap over tasks.
        empty: empty answers (scored 1 without a call unless the source did otherwise).
        mean_chars: mean length of the answers that are not empty.
    """

    model: str
    judge: str
    n: int
    num_tasks: int
    statuses: Mapping[str, int]
    wb_score: float | None
    se: float | None
    interval: Interval
    bounds: tuple[float, float] | None
    groups: Mapping[str, GroupValue] = field(default_factory=dict)
    macro: float | None = None
    macro_june: float | None = None
    macro_unweighted: float | None = None
    macro_interval: Interval | None = None
    empty: int = 0
    mean_chars: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def coverage(self) -> float:
        """Share of the benchmark's tasks that have a score."""
        return self.n / self.num_tasks if self.num_tasks else 0.0

    @property
    def withheld(self) -> bool:
        """True when more than 5 % of the tasks have no score: the value is then none of this benchmark."""
        return 1 - self.coverage > WITHHOLD_UNSCORED


def score_report(
    verdicts: Iterable[Verdict],
    *,
    tasks: TaskSet | None = None,
    num_tasks: int | None = None,
    seed: int = 0,
    n_boot: int = N_BOOT,
) -> ScoreReport:
    """The WB-Score of one model by one judge.

    Args:
        verdicts: score verdicts, at most one a task.
        tasks: the benchmark; needed for groups, and the denominator of the coverage.
        num_tasks: the benchmark's size where ``tasks`` is not at hand; the number of verdicts when neither is given.
        seed: of the bootstrap.

    Raises:
        DataError: no verdicts, several models or judges, two verdicts on a task, or a task outside the benchmark.
    """
    by_task = dict(sorted(one_a_task(verdicts, tasks).items()))  # the bootstrap must not see the order of the file
    rows = list(by_task.values())
    scored = [v for v in rows if v.status == "ok" and v.value is not None]
    values = [float(v.value) for v in scored if v.value is not None]
    total = len(tasks) if tasks is not None else max(num_tasks or 0, len(rows))
    statuses = Counter(v.status for v in rows)
    statuses["missing"] += total - len(rows)
    lengths = [v.n_chars for v in scored if v.n_chars is not None and not is_empty(v)]
    groups = _groups(by_task, tasks) if tasks is not None else {}
    means = {name: group.value for name, group in groups.items()}
    return ScoreReport(
        model=rows[0].model,
        judge=rows[0].judge,
        n=len(values),
        num_tasks=total,
        statuses={status: n for status, n in statuses.items() if n},
        wb_score=wb_scale(math.fsum(values) / len(values)) if values else None,
        se=_se(values),
        interval=bootstrap_mean(values, seed=seed, n_boot=n_boot).rescaled(20, -100),
        bounds=_bounds(values, total),
        groups=groups,
        macro=macro(means),
        macro_june=macro(means, GROUP_WEIGHTS_JUNE),
        macro_unweighted=macro(means, dict.fromkeys(GROUPS, 1.0)),
        macro_interval=_macro_interval(by_task, tasks, seed, n_boot) if tasks is not None else None,
        empty=sum(is_empty(v) for v in rows),
        mean_chars=sum(lengths) / len(lengths) if lengths else None,
        warnings=tuple(_warnings(rows, len(values), total, tasks)),
    )


def one_a_task(verdicts: Iterable[Verdict], tasks: TaskSet | None = None, *, kind: str = "score") -> dict[str, Verdict]:
    """Verdicts by task, of one kind, one model and one judge."""
    by_task: dict[str, Verdict] = {}
    for verdict in verdicts:
        if verdict.kind != kind:
            raise DataError(f"a {verdict.kind} verdict stands among {kind} verdicts (task {verdict.task_id})")
        if verdict.task_id in by_task:
            raise DataError(
                f"two verdicts by {verdict.judge} on {verdict.model}'s answer to task {verdict.task_id}",
                hint="keep one, or give the answers of two runs two model names",
            )
        by_task[verdict.task_id] = verdict
    if not by_task:
        raise DataError(f"there are no {kind} verdicts")
    rows = by_task.values()
    for what, names in (("models", {v.model for v in rows}), ("judges", {v.judge for v in rows})):
        if len(names) > 1:
            raise DataError(f"one report needs one of each, got the {what} {', '.join(sorted(names))}")
    if tasks is not None and (outside := [task for task in by_task if task not in tasks.by_id]):
        raise DataError(f"{len(outside)} verdicts are on tasks outside the benchmark, the first on {outside[0]}")
    return by_task


def constant_answers(hashes: Sequence[str], total: int) -> int:
    """How many of a model's ``total`` answers are one and the same text, if more than half of them are; else 0."""
    count = Counter(hashes).most_common(1)[0][1] if hashes else 0
    return count if count > 1 and count > _SAME_ANSWER_SHARE * total else 0


def is_empty(verdict: Verdict) -> bool:
    """True when the candidate's answer was empty."""
    meta = verdict.meta
    return verdict.n_chars == 0 or bool(meta.get("empty")) or meta.get("skipped") in ("empty", "both_empty")


def _se(values: Sequence[float]) -> float | None:
    """Standard error on the published scale; None for fewer than two values."""
    return 20 * standard_error(values) if len(values) > 1 else None


def _bounds(values: Sequence[float], total: int) -> tuple[float, float] | None:
    if not total:
        return None
    known, unscored = math.fsum(values), total - len(values)
    return wb_scale((known + unscored) / total), wb_scale((known + 10 * unscored) / total)


def _groups(by_task: Mapping[str, Verdict], tasks: TaskSet) -> dict[str, GroupValue]:
    scores: dict[str, list[float]] = {group: [] for group in GROUPS}
    for task_id, verdict in by_task.items():
        if verdict.value is not None:
            for group in tasks.groups[task_id]:
                scores[group].append(verdict.value)
    return {
        group: GroupValue(wb_scale(math.fsum(values) / len(values)) if values else None, len(values), _se(values))
        for group, values in scores.items()
    }


def _macro_interval(by_task: Mapping[str, Verdict], tasks: TaskSet, seed: int, n_boot: int) -> Interval | None:
    """Bootstrap over tasks, each drawn with all its groups."""
    scored = {task: v.value for task, v in by_task.items() if v.value is not None}
    found = macro_draws(scored, tasks, seed=seed, n_boot=n_boot)
    return None if found is None else found.rescaled(20, -100)


def macro_draws(values: Mapping[str, float], tasks: TaskSet, *, seed: int, n_boot: int) -> Interval | None:
    """The weighted mean of the groups' means of any value by task, with its interval; None unless all groups have one.

    Resamples in which a group has no task are not counted.
    """
    import numpy as np

    ids = sorted(values)
    member_TG = np.array([[group in tasks.groups.get(task, ()) for group in GROUPS] for task in ids], dtype=float)
    if len(ids) < 2 or not (member_TG.sum(axis=0) > 0).all():
        return None
    value_T = np.array([values[task] for task in ids])
    weight_G = np.array([GROUP_WEIGHTS[group] for group in GROUPS])
    weight_G /= weight_G.sum()
    plan = Resampling(seed, n_boot, 0.95)
    draws = []
    with np.errstate(invalid="ignore"):
        for counts_BT in count_blocks(len(ids), plan):
            draws.append(((counts_BT * value_T) @ member_TG / (counts_BT @ member_TG)) @ weight_G)
    low, high = percentiles(np.concatenate(draws), 0.95)
    estimate = float((value_T @ member_TG / member_TG.sum(axis=0)) @ weight_G)
    return Interval(estimate, low, high, len(ids), plan.name("bootstrap over tasks"))


def answer_warnings(rows: Sequence[Verdict]) -> Iterator[str]:
    """What looks wrong with a model's answers: one text over and over, or the judge's own."""
    answers = {v.task_id: sha for v in rows if (sha := v.meta.get("answer")) and not is_empty(v)}
    if count := constant_answers(list(answers.values()), len({v.task_id for v in rows})):
        yield f"{count} of {len(answers):,} answers are the same text: it answers no task, it may speak to the judge"
    if rows and rows[0].model and rows[0].model in rows[0].judge:
        yield "the judge is the judged model: a judge may prefer its own words"


def _warnings(rows: Sequence[Verdict], n: int, total: int, tasks: TaskSet | None) -> Iterator[str]:
    unscored = total - n
    if total and unscored / total > WARN_UNSCORED:
        yield f"{unscored} of {total:,} tasks have no score ({100 * unscored / total:.1f} %)"
    yield from answer_warnings(rows)
    strange = [task for task in tasks or () if unknown_tags(task)]
    if strange:
        first = unknown_tags(strange[0])[0]
        yield f"{len(strange)} tasks have tags outside the twelve, such as {first!r}: they count as Others"


@dataclass(frozen=True, slots=True)
class Difference:
    """Two models on the tasks that both have a score for; all figures on the published scale.

    ``value`` is first minus second, ``z`` = value / se; the pair is separable when |z| > 1.96.
    """

    first: str
    second: str
    n_common: int
    value: float | None
    se: float | None
    z: float | None
    wins: int
    ties: int
    losses: int
    interval: Interval | None = None

    @property
    def separable(self) -> bool:
        """True when the difference is more than noise (paired, 95 %)."""
        return self.z is not None and abs(self.z) > 1.96

    def mirrored(self) -> Difference:
        """The same difference, second minus first."""
        return Difference(
            self.second,
            self.first,
            self.n_common,
            None if self.value is None else 0.0 - self.value,
            self.se,
            None if self.z is None else 0.0 - self.z,
            self.losses,
            self.ties,
            self.wins,
            self.interval.rescaled(-1.0) if self.interval else None,
        )


def paired_difference(
    first: Iterable[Verdict] | Mapping[str, float],
    second: Iterable[Verdict] | Mapping[str, float],
    *,
    names: tuple[str, str] | None = None,
    seed: int = 0,
    n_boot: int | None = 2000,
) -> Difference:
    """Compare two models task by task, on their common tasks only.

    Args:
        first, second: score verdicts by one judge, or scores (1..10) by task id.
        names: the models' names, needed with scores.
        n_boot: bootstrap resamples; None leaves the interval out.
    """
    name_a, a = _scores(first)
    name_b, b = _scores(second)
    name_a, name_b = names or (name_a, name_b)
    common = sorted(a.keys() & b.keys())
    left, right = [a[task] for task in common], [b[task] for task in common]
    gaps = [x - y for x, y in zip(left, right, strict=True)]
    se = _se(gaps)
    value = 20 * math.fsum(gaps) / len(gaps) if gaps else None
    z = None if value is None or se is None else _z(value, se)
    interval = paired_bootstrap(left, right, seed=seed, n_boot=n_boot).rescaled(20) if n_boot and gaps else None
    wins, losses = sum(gap > 0 for gap in gaps), sum(gap < 0 for gap in gaps)
    return Difference(name_a, name_b, len(gaps), value, se, z, wins, len(gaps) - wins - losses, losses, interval)


def _z(value: float, se: float) -> float:
    if se > 0:
        return value / se
    return math.copysign(math.inf, value) if value else 0.0


def _scores(source: Iterable[Verdict] | Mapping[str, float]) -> tuple[str, dict[str, float]]:
    if isinstance(source, Mapping):
        return "", dict(source)
    rows = one_a_task(source)
    name = next(iter(rows.values())).model
    return name, {task: float(v.value) for task, v in rows.items() if v.status == "ok" and v.value is not None}
