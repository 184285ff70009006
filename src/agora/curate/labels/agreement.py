"""How far two labelers agree: the annotator-bias check of Magpie (arXiv:2406.08464, figure 13), with intervals."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from agora.core.records import JsonMap
from agora.curate.scales import SCALES


@dataclass(frozen=True, slots=True)
class LabelAgreement:
    """Two labelers on the same rows.

    Args:
        label: the tag.
        first, second: who labeled.
        n: rows that both labeled; ``missing`` rows that one of them did not.
        kappa: Cohen's, weighted quadratically where the scale has an order; with a 95 % bootstrap interval.
        exact: share of equal labels.
        means: of the ranks (1 is the lowest value), for ordered scales.
        confusion: pairs of labels that differ, the most frequent first.
    """

    label: str
    first: str
    second: str
    n: int
    missing: int
    kappa: float | None
    kappa_low: float | None
    kappa_high: float | None
    exact: float | None
    means: tuple[float | None, float | None]
    confusion: tuple[tuple[str, str, int], ...] = ()

    def as_json(self) -> JsonMap:
        """Plain JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def label_agreement(
    label: str, first: Sequence[str | None], second: Sequence[str | None], *, names: tuple[str, str], seed: int = 0
) -> LabelAgreement:
    """Compare two labelings of the same rows; None stands for a label that failed.

    Args:
        label: the name of a scale.
        names: of the labelers.
        seed: of the bootstrap.
    """
    from agora.core.agreement import cohen_kappa
    from agora.core.stats import bootstrap

    scale = SCALES[label]
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    n = len(pairs)
    ranks = [(scale.values.index(a), scale.values.index(b)) for a, b in pairs]
    a, b = [float(x) for x, _ in ranks], [float(y) for _, y in ranks]

    def kappa(x: Sequence[float], y: Sequence[float]) -> float:
        return cohen_kappa(x, y, "quadratic" if scale.ordered else None)

    interval = bootstrap(kappa, a, b, seed=seed) if n >= 2 else None
    means = (sum(a) / n + 1, sum(b) / n + 1) if n and scale.ordered else (None, None)
    differing = Counter((x, y) for x, y in pairs if x != y)
    return LabelAgreement(
        label=label,
        first=names[0],
        second=names[1],
        n=n,
        missing=len(first) - n,
        kappa=_number(interval.estimate) if interval else None,
        kappa_low=_number(interval.low) if interval else None,
        kappa_high=_number(interval.high) if interval else None,
        exact=sum(x == y for x, y in pairs) / n if n else None,
        means=means,
        confusion=tuple((x, y, k) for (x, y), k in differing.most_common(8)),
    )


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
