"""Several judges on the same answers: where they agree, and what they say together.

A panel's value of an item is the mean of all its judges. An item that one of them could not judge has no panel value:
judges differ in level, so a mean over whoever happened to answer would move with the gaps.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from statistics import fmean, stdev
from typing import Any

from agora.core.records import Verdict, stable_id
from agora.core.stats import Interval, bootstrap_mean
from agora.rooms.judge.scoring.metrics import wb_scale

Key = tuple[str, str, str | None, str | None]  # task, model, baseline, order


@dataclass(frozen=True, slots=True)
class JudgePair:
    """Two judges on the items that both gave a value.

    Args:
        gap: first minus second, in points of their scale.
        equal, within_one: shares (within one: a point of ten, or one of the five steps).
        same_winner: of comparisons, the share with the same sign; None for scores.
        pearson, spearman, kappa: kappa with quadratic weights; NaN where one of them never varies.
    """

    first: str
    second: str
    n: int
    gap: float
    equal: float
    within_one: float
    same_winner: float | None
    pearson: float
    spearman: float
    kappa: float


@dataclass(frozen=True, slots=True)
class PanelModel:
    """One model by the panel: its value on the published scale (scores: -80..100, comparisons: -100..100).

    Args:
        by_judge: the same value by each judge, on the tasks that all judged.
        spread: standard deviation of those values over the judges.
        n: tasks with a value by every judge.
    """

    model: str
    baseline: str | None
    value: float | None
    interval: Interval | None
    by_judge: Mapping[str, float]
    spread: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Panel:
    """What judges say together.

    Args:
        alpha: Krippendorff's alpha over all items and judges (interval level).
        item_spread: mean standard deviation of an item's values over the judges, in points of their scale.
    """

    kind: str
    judges: tuple[str, ...]
    models: tuple[PanelModel, ...]
    pairs: tuple[JudgePair, ...]
    alpha: float
    item_spread: float | None
    n_items: int
    n_common: int

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        from dataclasses import asdict

        return asdict(self)


def panel(by_judge: Mapping[str, Iterable[Verdict]], *, seed: int = 0, n_boot: int = 2000) -> Panel:
    """Put judges' verdicts of one kind side by side.

    Args:
        by_judge: verdicts by judge; one a judge and item.
        seed: of the bootstrap over tasks.
    """
    from agora.core.agreement import krippendorff_alpha

    values: dict[Key, dict[str, float | None]] = defaultdict(dict)
    kind = "score"
    for judge, verdicts in by_judge.items():
        for verdict in verdicts:
            kind = verdict.kind
            values[verdict.task_id, verdict.model, verdict.baseline, verdict.order][judge] = verdict.value
    judges = tuple(by_judge)
    common = {key: [v for j in judges if (v := of.get(j)) is not None] for key, of in values.items()}
    common = {key: row for key, row in common.items() if len(row) == len(judges)}
    ratings = [[of.get(judge) for of in values.values()] for judge in judges]
    return Panel(
        kind=kind,
        judges=judges,
        models=tuple(_models(common, judges, kind, seed, n_boot)),
        pairs=tuple(_judge_pair(values, a, b, kind) for a, b in combinations(judges, 2)),
        alpha=krippendorff_alpha(ratings, "interval") if common else math.nan,
        item_spread=fmean(stdev(row) for row in common.values()) if common and len(judges) > 1 else None,
        n_items=len(values),
        n_common=len(common),
    )


def panel_verdicts(by_judge: Mapping[str, Sequence[Verdict]]) -> list[Verdict]:
    """The panel as a judge of its own: score verdicts whose value is the mean of all judges'.

    Its name tells its members, so its scores share a table with nobody else's.
    """
    judges = sorted(by_judge)
    name = "panel(" + " + ".join(judges) + ")"
    rows: dict[tuple[str, str], dict[str, Verdict]] = defaultdict(dict)
    for judge in judges:
        for verdict in by_judge[judge]:
            rows[verdict.task_id, verdict.model][judge] = verdict
    sha = stable_id([next(iter(by_judge[j])).prompt_hash for j in judges if by_judge[j]])
    found = []
    for (task, model), of in rows.items():
        given = {j: v.value for j, v in of.items() if v.value is not None}
        whole = len(given) == len(judges)
        some = next(iter(of.values()))
        meta: dict[str, Any] = {key: some.meta[key] for key in ("answer", "skipped") if key in some.meta}
        found.append(
            replace(
                some,
                id=stable_id("panel", name, sha, task, model),
                judge=name,
                status="ok" if whole else "missing",
                value=fmean(given.values()) if whole else None,
                raw_text="",
                prompt_name="panel",
                prompt_hash=sha,
                parsed={"by_judge": given},
                usage={},
                meta={**meta, "spread": stdev(given.values()) if whole and len(given) > 1 else None},
            )
        )
    return found


def _models(
    common: Mapping[Key, Sequence[float]], judges: Sequence[str], kind: str, seed: int, n_boot: int
) -> Iterable[PanelModel]:
    tasks: dict[tuple[str, str | None], dict[str, list[Sequence[float]]]] = defaultdict(lambda: defaultdict(list))
    for (task, model, baseline, _), row in common.items():
        tasks[model, baseline][task].append(row)
    for (model, baseline), by_task in sorted(tasks.items(), key=lambda each: (each[0][0], each[0][1] or "")):
        # a task asked in both orders counts once
        means = [[fmean(column) for column in zip(*rows, strict=True)] for rows in by_task.values()]
        overall = [fmean(row) for row in means]
        own = {judge: _scaled(fmean(row[i] for row in means), kind) for i, judge in enumerate(judges)}
        interval = bootstrap_mean(overall, seed=seed, n_boot=n_boot)
        shown = interval.rescaled(20, -100) if kind == "score" else interval.rescaled(100)
        spread = stdev(own.values()) if len(own) > 1 else None
        yield PanelModel(model, baseline, _scaled(fmean(overall), kind), shown, own, spread, len(means))


def _scaled(mean: float, kind: str) -> float:
    return wb_scale(mean) if kind == "score" else 100 * mean


def _judge_pair(values: Mapping[Key, Mapping[str, float | None]], first: str, second: str, kind: str) -> JudgePair:
    from agora.core.agreement import cohen_kappa
    from agora.core.stats import pearson, spearman

    both = [(a, b) for of in values.values() if (a := of.get(first)) is not None and (b := of.get(second)) is not None]
    if not both:
        nan = math.nan
        return JudgePair(first, second, 0, nan, nan, nan, None, nan, nan, nan)
    xs, ys = [a for a, _ in both], [b for _, b in both]
    n, step = len(both), 1.0 if kind == "score" else 0.5
    return JudgePair(
        first,
        second,
        n,
        gap=fmean(xs) - fmean(ys),
        equal=sum(a == b for a, b in both) / n,
        within_one=sum(abs(a - b) <= step for a, b in both) / n,
        same_winner=sum((a > 0) == (b > 0) and (a < 0) == (b < 0) for a, b in both) / n if kind == "pair" else None,
        pearson=pearson(xs, ys).estimate,
        spearman=spearman(xs, ys).estimate,
        kappa=cohen_kappa(xs, ys, weights="quadratic"),
    )
