"""Whether a reward difference means what it says: P(first is better) = sigma(difference), as Bradley and Terry have it.

A reward model trained on pairs claims this probability for every pair; a calibrated one is right as often as it claims.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from agora.core.errors import DataError
from agora.core.stats import Interval, Values, bootstrap_mean, wilson

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray: TypeAlias = NDArray[np.float64]

#: Brier score and log loss of a scorer that knows nothing (every difference 0).
BRIER_OF_CHANCE = 0.25
LOG_LOSS_OF_CHANCE = math.log(2)


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """Pairs whose claimed confidence lies in [low, high).

    Attributes:
        low, high: bounds of the confidence, 0.5..1.
        n: pairs in the bin.
        confidence: mean claimed probability that the preferred answer is the chosen one; None in an empty bin.
        accuracy: how often it was; ties of the reward count half.
    """

    low: float
    high: float
    n: int
    confidence: float | None
    accuracy: Interval


@dataclass(frozen=True, slots=True)
class Calibration:
    """How honest the differences are.

    Attributes:
        n: pairs.
        error: expected calibration error: mean gap of confidence and accuracy over bins, weighted by pairs, 0..1.
            Small samples raise it: that of a perfectly calibrated scorer is of the order of sqrt(bins / n).
        brier: mean of (1 - sigma(difference))^2; 0.25 is chance.
        log_loss: mean of -log sigma(difference) in nats, the Bradley-Terry loss; log 2 is chance.
        temperature: differences divided by it have the least log loss; above 1 the scorer is overconfident. None where
            no finite one exists (no pair is wrong, or being wrong is as likely as being right).
        bins: equal steps of confidence from 0.5 to 1.
    """

    n: int
    error: float
    brier: Interval
    log_loss: Interval
    temperature: float | None
    bins: tuple[CalibrationBin, ...]


def calibration(differences: Values, *, num_bins: int = 10, seed: int = 0, n_boot: int = 2000) -> Calibration:
    """Compare claimed with observed confidence.

    Args:
        differences: reward of the chosen minus reward of the rejected answer, in log odds; None and NaN are left out.
        num_bins: of equal width in confidence 0.5..1, at least 1.
        seed, n_boot: of the bootstrap behind the intervals of Brier score and log loss.

    Raises:
        DataError: fewer than one bin, or an infinite difference.
    """
    import numpy as np

    if num_bins < 1:
        raise DataError(f"num_bins must be at least 1, got {num_bins}")
    given = np.array([math.nan if d is None else d for d in differences], dtype=float)
    diff = given[~np.isnan(given)]
    if np.isinf(diff).any():
        raise DataError("a reward difference is infinite")
    loss = np.logaddexp(0.0, -diff)
    right = (diff > 0) + 0.5 * (diff == 0)
    bins = _bins(np.exp(-np.logaddexp(0.0, -np.abs(diff))), right, num_bins)
    gaps = [b.n * abs(b.confidence - b.accuracy.estimate) for b in bins if b.confidence is not None]
    return Calibration(
        n=len(diff),
        error=math.fsum(gaps) / len(diff) if len(diff) else math.nan,
        brier=bootstrap_mean((1 - np.exp(-loss)) ** 2, seed=seed, n_boot=n_boot),
        log_loss=bootstrap_mean(loss, seed=seed, n_boot=n_boot),
        temperature=_temperature(diff),
        bins=bins,
    )


def _bins(confidence: FloatArray, right: FloatArray, num_bins: int) -> tuple[CalibrationBin, ...]:
    import numpy as np

    edges = np.linspace(0.5, 1.0, num_bins + 1)
    place = np.clip(np.searchsorted(edges, confidence, side="right") - 1, 0, num_bins - 1)
    bins = []
    for i in range(num_bins):
        inside = place == i
        n, share = int(inside.sum()), float(right[inside].sum())
        # Wilson's bounds need whole successes: half a success of a tie is rounded for them, not for the estimate
        accuracy = wilson(round(share), n)._replace(estimate=share / n if n else math.nan)
        mean = float(confidence[inside].mean()) if n else None
        bins.append(CalibrationBin(float(edges[i]), float(edges[i + 1]), n, mean, accuracy))
    return tuple(bins)


def _temperature(diff: FloatArray) -> float | None:
    """The T that minimizes the log loss of diff / T: the root of its slope in 1 / T, which is monotone."""
    import numpy as np
    from scipy.optimize import brentq

    unit = float(np.abs(diff).max()) if len(diff) else 0.0
    if not unit or (diff >= 0).all() or diff.sum() <= 0:
        return None  # 1 / T is driven to infinity, or to zero and below
    scaled = diff / unit

    def slope(inverse: float) -> float:
        return float(np.mean(scaled * np.exp(-np.logaddexp(0.0, inverse * scaled))))

    upper = 1.0
    while slope(upper) > 0:
        upper *= 2
        if upper > 1e12:
            return None
    return unit / float(brentq(slope, 0.0, upper))
