"""What a win rate would be if both answers were equally long.

Logistic regression of the preference on the difference in length, ``logit P(y) = w_len * tanh(d / sd(d)) + w_0`` with
d = length of the baseline's answer minus the model's; the length-controlled rate sets the length term to 0 (AlpacaEval
2, arXiv:2404.04475). For AlpacaEval's own instructions the published rate also knows a difficulty for each of them
(`difficulty`) and is regularized with two "gamed" baselines (not here): over 50 models of its leaderboard ours is 1.2
points off on average with the difficulties and 6 without. Compare it with itself alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from agora.core.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray: TypeAlias = NDArray[np.float64]

_STEPS = 100
_TOO_LARGE = 15.0  # a coefficient of this size means a probability that no data of this kind can tell from 0 or 1


class LengthControlled(NamedTuple):
    """A length-controlled win rate in percent, or None and the reason why the data do not determine it."""

    rate: float | None
    length_weight: float | None = None
    reason: str = ""


def length_controlled(
    preferences: Sequence[float],
    model_lengths: Sequence[int],
    baseline_lengths: Sequence[int],
    difficulty: Sequence[float] | None = None,
) -> LengthControlled:
    """The win rate at equal lengths.

    Args:
        preferences: 0 (baseline better) to 1 (model better), ties 0.5; probabilities are taken as they are.
        model_lengths: characters of the model's answers.
        baseline_lengths: characters of the baseline's answers.
        difficulty: one value an instruction, where it is known.

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
    if len(y_N) < 10:
        return LengthControlled(None, reason=f"only {len(y_N)} comparisons")
    gap_N = np.asarray(baseline_lengths, dtype=float) - np.asarray(model_lengths, dtype=float)
    spread = float(gap_N.std(ddof=1))
    length_N = np.tanh(gap_N / spread) if spread > 0 else np.zeros_like(gap_N)
    rest_NF = np.ones((len(y_N), 1))
    if difficulty is not None:
        rest_NF = np.column_stack([rest_NF, np.asarray(difficulty, dtype=float)])
    features_NF = np.column_stack([rest_NF, length_N]) if spread > 0 else rest_NF
    weights_F = _fit(features_NF, y_N)
    if weights_F is None:
        return LengthControlled(None, reason="the preferences can be told apart exactly, so no rate can be fitted")
    rate = float(100 * _sigmoid(rest_NF @ weights_F[: rest_NF.shape[1]]).mean())
    return LengthControlled(rate, float(weights_F[-1]) if spread > 0 else 0.0)


def _fit(features_NF: FloatArray, y_N: FloatArray) -> FloatArray | None:
    """Maximum likelihood by Newton's method; None where it does not exist."""
    import numpy as np

    weights_F: FloatArray = np.zeros(features_NF.shape[1])
    for _ in range(_STEPS):
        p_N = _sigmoid(features_NF @ weights_F)
        gradient_F = features_NF.T @ (y_N - p_N)
        hessian_FF = (features_NF * (p_N * (1 - p_N))[:, None]).T @ features_NF
        try:
            step_F = np.linalg.solve(hessian_FF, gradient_F)
        except np.linalg.LinAlgError:
            return None
        weights_F = weights_F + step_F
        if not np.isfinite(weights_F).all() or abs(features_NF @ weights_F).max() > _TOO_LARGE:
            return None
        if abs(step_F).max() < 1e-9:
            return weights_F
    return None


def _sigmoid(x_N: FloatArray) -> FloatArray:
    import numpy as np

    values: FloatArray = 1 / (1 + np.exp(-x_N))
    return values
