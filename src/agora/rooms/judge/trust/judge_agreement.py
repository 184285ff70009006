"""Do two judges agree, and does a judge prefer its own family's answers?"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from agora.core.agreement import cohen_kappa, krippendorff_alpha
from agora.core.errors import DataError, UsageError
from agora.core.records import Verdict
from agora.core.stats import Interval, bootstrap, paired_bootstrap, pearson, spearman

_LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class JudgePair:
    """Two judges on the same answers.

    Args:
        n: common answers.
        mean_first, mean_second: their mean values there; `shift` is first minus second.
        equal, within_one: share of equal values, and of values at most 1 apart.
        kappa: Cohen's, with quadratic weights.
        alpha: Krippendorff's, interval level.
        scale_hint: shown units of one unit of `shift` (20 for scores, 100 for outcomes).
    """

    first: str
    second: str
    kind: str
    n: int
    mean_first: float
    mean_second: float
    shift: Interval
    pearson: Interval
    spearman: Interval
    equal: float
    within_one: float
    kappa: Interval
    alpha: float

    @property
    def scale_hint(self) -> float:
        """Shown units of one unit of value."""
        return 20.0 if self.kind == "score" else 100.0


def judge_pairs_agreement(
    verdicts: Iterable[Verdict], *, versions: Mapping[str, str] | None = None, seed: int = 0, n_boot: int = 500
) -> list[JudgePair]:
    """Agreement of every two judges that judged the same answers.

    Args:
        verdicts: by any judges; without a value they do not count.
        versions: name shown for a verdict's id, where one judge appears in several versions.
        seed, n_boot: of the bootstrap over answers.

    Raises:
        DataError: no two judges have a common answer.
    """
    by_judge: dict[tuple[str, str], dict[tuple[str, ...], float]] = defaultdict(dict)
    for v in verdicts:
        if v.value is not None:
            key = (v.task_id, v.model, v.baseline or "", v.order or "")
            by_judge[v.kind, (versions or {}).get(v.id, v.judge)][key] = v.value
    out = []
    for (kind, first), (other_kind, second) in combinations(sorted(by_judge), 2):
        if kind == other_kind:
            a, b = by_judge[kind, first], by_judge[kind, second]
            common = sorted(a.keys() & b.keys())
            if common:
                pair = [a[key] for key in common], [b[key] for key in common]
                tasks = [key[0] for key in common]
                out.append(_agreement(first, second, kind, *pair, tasks, seed, n_boot))
    if not out:
        raise DataError("no two judges judged the same answers", hint="give the verdicts of two judges on one model")
    return out


def _agreement(
    first: str, second: str, kind: str, a: list[float], b: list[float], tasks: list[str], seed: int, n_boot: int
) -> JudgePair:
    gaps = [abs(x - y) for x, y in zip(a, b, strict=True)]
    step = 1.0 if kind == "score" else 0.5
    return JudgePair(
        first,
        second,
        kind,
        n=len(a),
        mean_first=math.fsum(a) / len(a),
        mean_second=math.fsum(b) / len(b),
        shift=paired_bootstrap(a, b, seed=seed, n_boot=max(n_boot, 100), clusters=tasks),
        pearson=pearson(a, b),
        spearman=spearman(a, b),
        equal=sum(gap == 0 for gap in gaps) / len(gaps),
        within_one=sum(gap <= step for gap in gaps) / len(gaps),
        kappa=bootstrap(_quadratic, a, b, seed=seed, n_boot=max(n_boot, 100)),
        alpha=krippendorff_alpha([a, b], "interval"),
    )


def _quadratic(a: Sequence[float], b: Sequence[float]) -> float:
    return cohen_kappa(a, b, "quadratic")


def panel_alpha(verdicts: Iterable[Verdict], level: Literal["nominal", "ordinal", "interval"] = "interval") -> float:
    """Krippendorff's alpha of all judges over all answers; what a judge did not judge is missing."""
    by_judge: dict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
    for v in verdicts:
        if v.value is not None:
            by_judge[v.judge][v.kind, v.task_id, v.model, v.baseline or "", v.order or ""] = v.value
    answers = sorted({key for values in by_judge.values() for key in values})
    return krippendorff_alpha([[by_judge[judge].get(key) for key in answers] for judge in sorted(by_judge)], level)


@dataclass(frozen=True, slots=True)
class SelfPreference:
    """How a judge treats its own family beyond what the other judges say.

    Args:
        own: mean value the judge gives its family, minus what the other judges give the same answers.
        others: the same for all other models.
        preference: own minus others; above 0 the judge favors its family. On the scale of the verdicts.
    """

    judge: str
    family: tuple[str, ...]
    own: Interval
    others: Interval
    preference: Interval


def self_preference(
    verdicts: Iterable[Verdict], judge: str, family: Sequence[str], *, seed: int = 0, n_boot: int = 1000
) -> SelfPreference:
    """Does a judge favor some models beyond what the other judges see in them?

    Every answer's excess is the judge's value minus the mean of the other judges'; the preference is the excess of the
    family minus that of the rest, with a bootstrap over tasks.

    Raises:
        DataError: the other judges did not judge both the family and other models.
    """
    import numpy as np

    from agora.core.resampling import Resampling, count_blocks, percentiles

    mine: dict[tuple[str, ...], float] = {}
    theirs: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for v in verdicts:
        if v.value is not None:
            key = (v.task_id, v.model, v.kind, v.baseline or "", v.order or "")
            if v.judge == judge:
                mine[key] = v.value
            else:
                theirs[key].append(v.value)
    tasks = sorted({key[0] for key in mine.keys() & theirs.keys()})
    place = {task: i for i, task in enumerate(tasks)}
    sums, counts = np.zeros((2, len(tasks))), np.zeros((2, len(tasks)))
    for answer in sorted(mine.keys() & theirs.keys()):
        side = 0 if answer[1] in family else 1
        sums[side, place[answer[0]]] += mine[answer] - sum(theirs[answer]) / len(theirs[answer])
        counts[side, place[answer[0]]] += 1
    if not counts.sum(axis=1).all():
        raise DataError(f"no other judge judged both {', '.join(family)} and other models on {judge}'s tasks")
    plan = Resampling(seed, n_boot, _LEVEL)
    draws = []
    with np.errstate(invalid="ignore"):
        for block in count_blocks(len(tasks), plan):
            draws.append(np.stack([block @ sums[side] / (block @ counts[side]) for side in (0, 1)], axis=1))
    draws_B2 = np.concatenate(draws)
    means = sums.sum(axis=1) / counts.sum(axis=1)
    method = plan.name("bootstrap over tasks")

    def interval(estimate: float, found: np.ndarray) -> Interval:
        return Interval(estimate, *percentiles(found, _LEVEL), len(tasks), method)

    return SelfPreference(
        judge,
        tuple(family),
        interval(float(means[0]), draws_B2[:, 0]),
        interval(float(means[1]), draws_B2[:, 1]),
        interval(float(means[0] - means[1]), draws_B2[:, 0] - draws_B2[:, 1]),
    )


def read_families(texts: Sequence[str]) -> dict[str, list[str]]:
    """Families from ``JUDGE=MODEL,MODEL``.

    Raises:
        UsageError: another form.
    """
    out = {}
    for text in texts:
        judge, found, models = text.partition("=")
        if not found or not judge or not models.strip(", "):
            raise UsageError(f"a family is JUDGE=MODEL,MODEL, got {text!r}")
        out[judge] = [model.strip() for model in models.split(",") if model.strip()]
    return out
