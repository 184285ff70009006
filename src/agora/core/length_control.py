"""What a win rate would be if both answers were equally long (AlpacaEval 2, arXiv:2404.04475).

Logistic regression of the preference on the difference in length, on the instruction's difficulty where it is known,
and on a constant: ``logit P = w_len * tanh(d / sd(d)) + w_diff * difficulty + w_0``, with d the length of the
baseline's answer minus the model's. The length-controlled rate is the mean prediction with the length term set to 0.

Shape legend: N comparisons, F features, G rows of gamed baselines.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from agora.core.errors import DataError
from agora.core.logistic import fit_logistic, sigmoid

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray: TypeAlias = NDArray[np.float64]

GAMED_WEIGHT = 0.1
_FEWEST = 10


class GamedRows(NamedTuple):
    """Comparisons of the baseline asked to be brief, or verbose, with itself: they pin down what length alone buys.

    They enter each model's fit with a small weight and without the constant, so that nobody can move the length term by
    writing strangely (AlpacaEval 2's regularization).

    Attributes:
        length_G: ``tanh(d / sd(d))`` of each row, d and sd within its gamed baseline.
        difficulty_G: the instruction's difficulty; zeros where it is not used.
        preference_G: 0..1.
        weight: of each row; AlpacaEval divides 0.2 among its two gamed baselines.
    """

    length_G: FloatArray
    difficulty_G: FloatArray
    preference_G: FloatArray
    weight: float = GAMED_WEIGHT


class LengthControlled(NamedTuple):
    """A length-controlled win rate in percent, or None and the reason why the data do not determine it.

    Attributes:
        length_weight, difficulty_weight, constant: the coefficients.
        se: standard error of the rate in percent, by the influence of each comparison (sandwich).
    """

    rate: float | None
    length_weight: float | None = None
    reason: str = ""
    difficulty_weight: float = 0.0
    constant: float = 0.0
    se: float | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % bounds in percent, cut to 0..100."""
        if self.rate is None or self.se is None:
            return None
        return max(0.0, self.rate - 1.96 * self.se), min(100.0, self.rate + 1.96 * self.se)


def length_controlled(
    preferences: Sequence[float] | FloatArray,
    model_lengths: Sequence[int] | FloatArray,
    baseline_lengths: Sequence[int] | FloatArray,
    difficulty: Sequence[float] | FloatArray | None = None,
    *,
    gamed: GamedRows | None = None,
) -> LengthControlled:
    """The win rate at equal lengths.

    Args:
        preferences: 0 (baseline better) to 1 (model better), ties 0.5; probabilities are taken as they are.
        model_lengths: characters of the model's answers.
        baseline_lengths: characters of the baseline's answers.
        difficulty: one value an instruction, where it is known.
        gamed: rows that hold the length term; without them it is the model's own.

    Raises:
        DataError: the columns differ in length, or a preference is outside 0..1.
    """
    import numpy as np

    y_N = np.asarray(preferences, dtype=float)
    columns = [model_lengths, baseline_lengths, *([difficulty] if difficulty is not None else [])]
    if any(len(column) != len(y_N) for column in columns):
        raise DataError(f"columns of different lengths: {[len(y_N), *map(len, columns)]}")
    if ((y_N < 0) | (y_N > 1) | np.isnan(y_N)).any():
        raise DataError("preferences must be from 0 to 1")
    if len(y_N) < _FEWEST:
        return LengthControlled(None, reason=f"not identifiable: only {len(y_N)} comparisons")
    length_N = scaled_gap(np.asarray(baseline_lengths, dtype=float) - np.asarray(model_lengths, dtype=float))
    rest_NF = np.ones((len(y_N), 1))
    if difficulty is not None:
        rest_NF = np.column_stack([rest_NF, np.asarray(difficulty, dtype=float)])
    return _controlled(np.column_stack([rest_NF, length_N]), y_N, gamed)


def scaled_gap(gap_N: FloatArray) -> FloatArray:
    """``tanh(d / sd(d))`` (sd with n - 1); zeros where all gaps are equal."""
    import numpy as np

    spread = float(gap_N.std(ddof=1)) if len(gap_N) > 1 else 0.0
    return np.asarray(np.tanh(gap_N / spread)) if spread > 0 else np.zeros_like(gap_N)


def is_extreme(rate: float, raw_rate: float) -> bool:
    """Whether a controlled rate is so far from the raw one that it asks for a look (AlpacaEval's warning rule)."""
    return rate < min(0.75 * raw_rate, raw_rate - 10) or rate > max(raw_rate + (100 - raw_rate) / 4, raw_rate + 10)


def _controlled(features_NF: FloatArray, y_N: FloatArray, gamed: GamedRows | None) -> LengthControlled:
    import numpy as np

    rows, outcomes, weights = features_NF, y_N, np.ones(len(y_N))
    with_difficulty = features_NF.shape[1] == 3
    if gamed is not None:
        zeros = np.zeros(len(gamed.preference_G))
        extra = [zeros, *([gamed.difficulty_G] if with_difficulty else []), gamed.length_G]
        rows = np.vstack([rows, np.column_stack(extra)])
        outcomes = np.concatenate([outcomes, gamed.preference_G])
        weights = np.concatenate([weights, np.full(len(zeros), gamed.weight)])
    fit = fit_logistic(rows, outcomes, weight_N=weights)
    if fit.separated:
        return LengthControlled(None, reason="not identifiable: the preferences can be told apart exactly")
    at_equal_NF = features_NF.copy()
    at_equal_NF[:, -1] = 0.0
    p_N = sigmoid(at_equal_NF @ fit.weights_F)
    # each comparison's influence on the rate: through its own prediction, and through the coefficients
    slope_F = (at_equal_NF * (p_N * (1 - p_N))[:, None]).mean(axis=0)
    score_NF = features_NF * (y_N - sigmoid(features_NF @ fit.weights_F))[:, None]
    influence_N = p_N - p_N.mean() + len(y_N) * (score_NF @ (fit.bread_FF @ slope_F))
    se = 100 * float(influence_N.std(ddof=1)) / math.sqrt(len(y_N))
    constant, length = float(fit.weights_F[0]), float(fit.weights_F[-1])
    difficulty = float(fit.weights_F[1]) if with_difficulty else 0.0
    return LengthControlled(float(100 * p_N.mean()), length, "", difficulty, constant, se)
