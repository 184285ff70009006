"""Logistic regression on outcomes in 0..1, by Newton's method.

Outcomes may be probabilities, rows may have weights, and a small ridge keeps the coefficients finite where the outcomes
can be told apart exactly. Shape legend: N rows, F features.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from agora.core.errors import AgoraError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray: TypeAlias = NDArray[np.float64]

RIDGE = 1e-6
_STEPS = 200
_TOLERANCE = 1e-10
# where the data know a thousand ridges or less and coefficients still go, only the ridge ends it
_RIDGES = 1000.0


class LogisticFit(NamedTuple):
    """Coefficients of a fit.

    Attributes:
        weights_F: one a feature.
        separated: the outcomes can be told apart exactly, so the coefficients are as large as the ridge allows.
        bread_FF: inverse of the information matrix, ``(X' diag(w p (1 - p)) X + ridge I)^-1``.
    """

    weights_F: FloatArray
    separated: bool
    bread_FF: FloatArray


def fit_logistic(
    features_NF: FloatArray, y_N: FloatArray, *, weight_N: FloatArray | None = None, ridge: float = RIDGE
) -> LogisticFit:
    """Maximize ``sum w (y log p + (1 - y) log(1 - p)) - ridge / 2 |b|^2`` with ``p = sigmoid(X b)``.

    Args:
        features_NF: the rows; add a column of ones for an intercept.
        y_N: outcomes in 0..1.
        weight_N: how much each row counts; default 1.
        ridge: above 0.

    Raises:
        AgoraError: no convergence (values that are not finite).
    """
    import numpy as np

    weight = np.ones(len(y_N)) if weight_N is None else weight_N
    beta = np.zeros(features_NF.shape[1])
    value = _likelihood(features_NF, y_N, weight, beta, ridge)
    for _ in range(_STEPS):
        p_N = sigmoid(features_NF @ beta)
        gradient = features_NF.T @ (weight * (y_N - p_N)) - ridge * beta
        information = _information(features_NF, weight * p_N * (1 - p_N), ridge)
        step = np.asarray(np.linalg.solve(information, gradient), dtype=float)
        moved, reached = _climb(features_NF, y_N, weight, ridge, beta, step, value)
        size = float(abs(moved - beta).max(initial=0.0))
        beta, value = moved, reached
        if size <= _TOLERANCE * (1 + float(abs(beta).max(initial=0.0))):
            p_N = sigmoid(features_NF @ beta)
            information = _information(features_NF, weight * p_N * (1 - p_N), ridge)
            bread = np.asarray(np.linalg.inv(information), dtype=float)
            return LogisticFit(beta, unbounded(information, beta, ridge), bread)
    raise AgoraError(f"a logistic fit did not converge in {_STEPS} steps")


def unbounded(information_FF: FloatArray, weights_F: FloatArray, ridge: float) -> bool:
    """Whether coefficients are finite only because of the ridge: they go far where the data know next to nothing."""
    import numpy as np

    known_F, directions_FF = np.linalg.eigh(information_FF)
    return bool(((known_F < (_RIDGES + 1) * ridge) & (abs(weights_F @ directions_FF) > 1)).any())


def sigmoid(x_N: FloatArray) -> FloatArray:
    """``1 / (1 + exp(-x))`` without overflow."""
    import numpy as np

    return np.asarray(0.5 * (1 + np.tanh(0.5 * x_N)))


def softplus(x_N: FloatArray) -> FloatArray:
    """``log(1 + exp(x))`` without overflow: ``np.logaddexp(0, x)`` from functions that NumPy has vectorized."""
    import numpy as np

    return np.asarray(np.maximum(x_N, 0) + np.log1p(np.exp(-np.abs(x_N))))


def _information(features_NF: FloatArray, curvature_N: FloatArray, ridge: float) -> FloatArray:
    import numpy as np

    return (features_NF * curvature_N[:, None]).T @ features_NF + ridge * np.eye(features_NF.shape[1])


def _climb(
    features_NF: FloatArray,
    y_N: FloatArray,
    weight_N: FloatArray,
    ridge: float,
    beta: FloatArray,
    step: FloatArray,
    value: float,
) -> tuple[FloatArray, float]:
    """The Newton step, halved until it does not go down."""
    for _ in range(40):
        reached = _likelihood(features_NF, y_N, weight_N, beta + step, ridge)
        if reached >= value - 1e-12 * abs(value):
            return beta + step, reached
        step = step / 2
    return beta, value


def _likelihood(
    features_NF: FloatArray, y_N: FloatArray, weight_N: FloatArray, beta: FloatArray, ridge: float
) -> float:
    log_odds = features_NF @ beta
    # y log p + (1 - y) log(1 - p) = y x - log(1 + e^x)
    return float(weight_N @ (y_N * log_odds - softplus(log_odds)) - ridge / 2 * beta @ beta)
