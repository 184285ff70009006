"""Pairwise accuracy by group, always beside what length alone reaches on the same pairs.

Shape legend: P pairs. NaN marks what is missing.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from agora.core.errors import DataError
from agora.core.stats import Interval, bootstrap_mean, paired_bootstrap, wilson
from agora.rooms.preferences.pair_scores import ScoredPair

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray: TypeAlias = NDArray[np.float64]

#: How pairs with equal rewards count: as wrong (RewardBench's rule), as half right, or not at all.
Ties = Literal["wrong", "half", "drop"]
TIE_RULES: tuple[Ties, ...] = ("wrong", "half", "drop")

#: What a coin reaches, whatever the pairs.
RANDOM = 0.5

LENGTH_SIGNS = ("chosen is longer", "chosen is shorter", "equally long")
_QUANTILES = (0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Pairwise accuracy on one group of pairs.

    Attributes:
        name: of the group.
        accuracy: share of pairs whose chosen answer has the higher reward; `dropped` counts pairs without a score.
        longer: what "the longer answer wins" reaches on the same pairs.
        over_longer: accuracy minus longer, paired.
        ties: pairs with two equal rewards.
    """

    name: str
    accuracy: Interval
    longer: Interval
    over_longer: Interval
    ties: int

    @property
    def missing(self) -> int:
        """Pairs without a score on at least one side."""
        return self.accuracy.dropped


class PairTable:
    """Scored pairs as columns, cut into groups.

    Args:
        scored: the pairs; those that annotators called a tie do not belong here.
        ties: how equal rewards count, and equal lengths for the length baseline.
        seed, n_boot: of the bootstraps.

    Raises:
        DataError: an unknown tie rule.
    """

    def __init__(
        self, scored: Sequence[ScoredPair], *, ties: Ties = "wrong", seed: int = 0, n_boot: int = 2000
    ) -> None:
        import numpy as np

        if ties not in TIE_RULES:
            raise DataError(f"ties must be one of {', '.join(TIE_RULES)}, got {ties!r}")
        self.scored = scored
        self._plan: dict[str, Any] = {"seed": seed, "n_boot": n_boot}
        self.chosen_P = _column([row.chosen for row in scored])
        self.rejected_P = _column([row.rejected for row in scored])
        self.chosen_chars_P = np.array([row.chosen_chars for row in scored], dtype=float)
        self.rejected_chars_P = np.array([row.rejected_chars for row in scored], dtype=float)
        self.difference_P = self.chosen_P - self.rejected_P
        self.extra_chars_P = self.chosen_chars_P - self.rejected_chars_P
        self.present_P = ~np.isnan(self.difference_P)
        self.right_P = _right(self.difference_P, ties)
        self.longer_right_P = np.where(self.present_P, _right(self.extra_chars_P, ties), np.nan)

    def accuracy(self, name: str, rows: Sequence[int] | None = None) -> Accuracy:
        """Accuracy of the pairs at `rows`, of all when None."""
        import numpy as np

        at = np.arange(len(self.scored)) if rows is None else np.asarray(rows, dtype=int)
        missing = int((~self.present_P[at]).sum())
        right, longer = self.right_P[at], self.longer_right_P[at]
        return Accuracy(
            name,
            self._share(right)._replace(dropped=missing),
            self._share(longer),
            paired_bootstrap(right, longer, **self._plan)._replace(dropped=missing),
            int((self.difference_P[at] == 0).sum()),
        )

    def by_subset(self) -> tuple[Accuracy, ...]:
        """By the subset or source of the pairs, in order of first appearance."""
        return self._by_label([row.subset for row in self.scored])

    def by_length(self) -> tuple[Accuracy, ...]:
        """By which answer is the longer one."""
        signs = [LENGTH_SIGNS[0 if extra > 0 else 1 if extra < 0 else 2] for extra in self.extra_chars_P]
        found = {group.name: group for group in self._by_label(signs)}
        return tuple(found[name] for name in LENGTH_SIGNS if name in found)

    def by_margin(self) -> tuple[Accuracy, ...]:
        """By quartile of the label's margin; fewer groups where many margins are equal, none without margins."""
        import numpy as np

        margin_P = _column([row.margin for row in self.scored])
        known = margin_P[~np.isnan(margin_P)]
        if not len(known):
            return ()
        cuts = np.unique(np.quantile(known, _QUANTILES))
        place_P = np.searchsorted(cuts, margin_P, side="left")
        groups = []
        for i in range(len(cuts) + 1):
            rows = np.flatnonzero((place_P == i) & ~np.isnan(margin_P))
            if len(rows):
                low, high = margin_P[rows].min(), margin_P[rows].max()
                span = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
                groups.append(self.accuracy(f"margin {span}", rows.tolist()))
        return tuple(groups)

    def by_prompt(self) -> Interval | None:
        """Accuracy with an interval that resamples whole prompts; None where every prompt has one pair."""
        prompts = [row.prompt for row in self.scored]
        if len(set(prompts)) == len(prompts):
            return None
        return bootstrap_mean(self.right_P, clusters=prompts, **self._plan)

    def _by_label(self, labels: Sequence[Hashable]) -> tuple[Accuracy, ...]:
        rows: dict[Hashable, list[int]] = {}
        for i, label in enumerate(labels):
            rows.setdefault(label, []).append(i)
        return tuple(self.accuracy(str(label), at) for label, at in rows.items())

    def _share(self, right: FloatArray) -> Interval:
        """The share that is right: Wilson's interval for whole successes, a bootstrap where ties count half."""
        import numpy as np

        known = right[~np.isnan(right)]
        if (known == np.round(known)).all():
            return wilson(int(known.sum()), len(known))
        return bootstrap_mean(known, **self._plan)


def _right(difference_P: FloatArray, ties: Ties) -> FloatArray:
    """1 where the difference is above 0, 0 below, and for 0 what the rule says; NaN stays."""
    import numpy as np

    worth = {"wrong": 0.0, "half": 0.5, "drop": math.nan}[ties]
    right = np.where(difference_P > 0, 1.0, np.where(difference_P == 0, worth, 0.0))
    return np.where(np.isnan(difference_P), np.nan, right)


def _column(values: Sequence[float | None]) -> FloatArray:
    import numpy as np

    return np.array([math.nan if v is None else v for v in values], dtype=float)
