"""Bradley-Terry strengths with other causes of winning taken out: length, style, who is shown first.

``logit P(first beats second) = strength_first - strength_second + features . coefficients``. A feature is a difference
between the two (it changes its sign when they change places) and is 0 where they are equal, so the strengths answer who
wins at equal length or style. Features are divided by their root mean square and never centered: subtracting a mean
would make the answer depend on who is called first.

Shape legend: N comparisons, M contestants, K features, P = M + K coefficients, T tasks, B resamples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, permutations
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from agora.core.errors import AgoraError, DataError
from agora.core.logistic import sigmoid, softplus, unbounded
from agora.core.ranking import BattleColumns, Ranking
from agora.core.resampling import Resampling, count_blocks, percentiles
from agora.core.stats import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray: TypeAlias = NDArray[np.float64]

_STEPS = 100
_TOLERANCE = 1e-10


@dataclass(frozen=True, slots=True)
class ControlledRanking:
    """Strengths at equal features, and what the features do.

    Attributes:
        ranking: the strengths, as those of :func:`~agora.core.ranking.bradley_terry`.
        coefficients: log odds of one root mean square of each feature.
        identified: False where the data do not tell the strengths from the features (a direction of no information).
    """

    ranking: Ranking
    coefficients: Mapping[str, Interval]
    identified: bool


def root_mean_square(feature_N: FloatArray) -> FloatArray:
    """The feature divided by its root mean square; zeros stay zeros."""
    import numpy as np

    size = float(np.sqrt(np.mean(np.square(feature_N)))) if len(feature_N) else 0.0
    return feature_N / size if size > 0 else np.zeros_like(feature_N)


def controlled_bradley_terry(
    battles: BattleColumns,
    features: Mapping[str, FloatArray],
    *,
    n_boot: int = 0,
    seed: int = 0,
    level: float = 0.95,
    ridge: float = 1e-6,
) -> ControlledRanking:
    """Fit strengths and feature coefficients together; features are scaled by their root mean square.

    Args:
        battles: comparisons; the bootstrap draws tasks where they have them, comparisons otherwise.
        features: N values by name.
        n_boot: resamples for the intervals; 0: none. Each is one step from the fit of all data (Moulton and Zeger 1991,
            with the second order of the step), which is a refit wherever each task is a small part of the data.
        seed, level, ridge: as in :func:`~agora.core.ranking.bradley_terry`.

    Raises:
        DataError: a feature of another length, or what :func:`~agora.core.ranking.bradley_terry` refuses.
    """
    import numpy as np

    battles.check()
    n, num_models = len(battles.outcome_N), len(battles.names)
    if any(len(feature) != n for feature in features.values()):
        raise DataError("each feature needs one value a battle")
    scaled = [root_mean_square(np.asarray(feature, dtype=float)) for feature in features.values()]
    problem = _Problem.of(battles, scaled, ridge)
    point = _fit(problem)
    theta, information = point.theta, problem.information(point)
    units = np.arange(n) if battles.task_N is None else np.unique(battles.task_N, return_inverse=True)[1]
    method, draws_BP = "no bootstrap", np.empty((0, len(theta)))
    if n_boot:
        plan = Resampling(seed, n_boot, level)
        method = plan.name(f"one-step bootstrap over {'battles' if battles.task_N is None else 'tasks'}")
        draws_BP = problem.resampled(point, np.asarray(units), plan)
    ranking = Ranking(
        names=battles.names,
        strengths=tuple(map(float, theta[:num_models])),
        draws_BM=draws_BP[:, :num_models],
        separated=unbounded(information, theta, ridge),
        separated_share=float("nan"),
        n=int(units.max()) + 1,
        method=method,
        level=level,
    )
    coefficients = {
        name: Interval(float(theta[k]), *percentiles(draws_BP[:, k], level), ranking.n, method, 0, level)
        for k, name in enumerate(features, num_models)
    }
    known, directions = np.linalg.eigh(information)
    # a feature that is always 0 is unknown too, but moves no strength
    blurred = np.abs(directions[:num_models, known <= 10 * ridge]).max(initial=0.0) > 1e-6
    return ControlledRanking(ranking, coefficients, not blurred)


class _Point(NamedTuple):
    """Coefficients, the chance of each outcome under them, and their likelihood with the ridge."""

    theta: FloatArray
    chance_N: FloatArray
    value: float


class _Problem(NamedTuple):
    """The likelihood of coefficients: P = M strengths, then K features.

    A row of the design has E = 2 + K entries that are not 0: 1 and -1 at the two contestants, then the features. So
    sums over comparisons are counted up by position, without a sparse matrix.
    """

    places: tuple[NDArray[np.int64], ...]  # E columns of N: which coefficient an entry belongs to
    entries: tuple[FloatArray, ...]  # E columns of N
    outcomes: FloatArray
    weights: FloatArray
    num_models: int
    ridge: float
    pair_N: NDArray[np.int64]
    pairs: tuple[NDArray[np.int64], ...]  # first and second contestant of each pair that met

    @classmethod
    def of(cls, battles: BattleColumns, features: Sequence[FloatArray], ridge: float) -> _Problem:
        import numpy as np

        n, num_models = len(battles.outcome_N), len(battles.names)
        ones = np.ones(n)
        own = [np.full(n, num_models + k) for k in range(len(features))]
        places = (np.asarray(battles.first_N), np.asarray(battles.second_N), *own)
        met, pair_N = np.unique(places[0].astype(np.int64) * num_models + places[1], return_inverse=True)
        pairs, entries = (met // num_models, met % num_models), (ones, -ones, *features)
        return cls(places, entries, battles.outcome_N, battles.weights(), num_models, ridge, pair_N, pairs)

    @property
    def size(self) -> int:
        """P, the number of coefficients."""
        return self.num_models + len(self.places) - 2

    def logits(self, theta: FloatArray) -> FloatArray:
        total: FloatArray = theta[self.places[0]] - theta[self.places[1]]
        for k, feature_N in enumerate(self.entries[2:], self.num_models):
            total += theta[k] * feature_N
        return total

    def at(self, theta: FloatArray) -> _Point:
        x_N = self.logits(theta)
        likelihood = float(self.weights @ (self.outcomes * x_N - softplus(x_N)))
        return _Point(theta, sigmoid(x_N), likelihood - self.ridge / 2 * float(theta @ theta))

    def gradient(self, point: _Point) -> FloatArray:
        residual_N = self.weights * (self.outcomes - point.chance_N)
        score: FloatArray = self._summed(residual_N, 1)[0] - self.ridge * point.theta
        return score

    def information(self, point: _Point) -> FloatArray:
        return self._pinned(self._summed(self._curvature(point), 2).reshape(self.size, self.size))

    def _summed(
        self, values_N: FloatArray, order: int, units: NDArray[np.int64] | None = None, num_units: int = 1
    ) -> FloatArray:
        """Sums of ``value * x * ... * x`` (`order` factors of a design's row) by unit: num_units x P^order cells."""
        import numpy as np

        shape = (num_units, *[self.size] * order)
        total = np.zeros(shape)
        by_features: dict[tuple[int, ...], FloatArray] = {}
        for chosen in combinations_with_replacement(range(len(self.places)), order):
            index, sums = self._terms(chosen, values_N, units, by_features)
            part = np.bincount(index, sums, total.size).reshape(shape)
            # the order of the factors changes nothing but the axes
            for axes in {tuple(chosen[i] for i in axes): axes for axes in permutations(range(order))}.values():
                total += part.transpose(0, *(1 + i for i in axes))
        return total.reshape(num_units, -1)

    def _terms(
        self,
        chosen: tuple[int, ...],
        values_N: FloatArray,
        units: NDArray[np.int64] | None,
        by_features: dict[tuple[int, ...], FloatArray],
    ) -> tuple[NDArray[np.int64], FloatArray]:
        """Cells and terms of one product of entries: one a comparison, or one a pair where units are not told apart.

        Comparisons of one pair differ in their features alone, so they are summed before they are placed.

        Args:
            by_features: sums by pair that are known already.
        """
        import numpy as np

        if units is not None:
            index_N, sum_N = units, values_N
            for e in chosen:
                index_N, sum_N = index_N * self.size + self.places[e], sum_N * self.entries[e]
            return index_N, sum_N
        features = tuple(e for e in chosen if e > 1)
        if features not in by_features:
            product = values_N
            for e in features:
                product = product * self.entries[e]
            by_features[features] = np.asarray(np.bincount(self.pair_N, product, len(self.pairs[0])), dtype=float)
        index: NDArray[np.int64] = np.zeros(len(self.pairs[0]), dtype=np.int64)
        for e in chosen:
            index = index * self.size + (self.pairs[e] if e < 2 else self.num_models + e - 2)
        return index, by_features[features] * (-1.0) ** chosen.count(1)

    def _pinned(self, information: FloatArray) -> FloatArray:
        """With the ridge, and with a term for the sum of strengths, of which the data know nothing."""
        import numpy as np

        size, m = information.shape[-1], self.num_models
        pinned = information + self.ridge * np.eye(size)
        scale = np.trace(information[..., :m, :m], axis1=-2, axis2=-1) / m**2
        pinned[..., :m, :m] += np.asarray(scale)[..., None, None]
        return np.asarray(pinned)

    def _curvature(self, point: _Point) -> FloatArray:
        return self.weights * point.chance_N * (1 - point.chance_N)

    def _bend(self, point: _Point) -> FloatArray:
        """Third derivatives of the likelihood, up to the sign, as P * P rows of P."""
        return self._summed(self._curvature(point) * (1 - 2 * point.chance_N), 3).reshape(-1, self.size)

    def resampled(self, point: _Point, units: NDArray[np.int64], plan: Resampling) -> FloatArray:
        """Coefficients (B x P) of resamples of units (one label a comparison) by one step each."""
        import numpy as np

        size, num_units, theta = self.size, int(units.max()) + 1, point.theta
        residual_N = self.weights * (self.outcomes - point.chance_N)
        score_TP = self._summed(residual_N, 1, units, num_units)
        information_TC = self._summed(self._curvature(point), 2, units, num_units)
        bend_CP = self._bend(point)
        draws = []
        for counts_BT in count_blocks(num_units, plan, width=size * size):
            information = self._pinned((counts_BT @ information_TC).reshape(-1, size, size))
            score = counts_BT @ score_TP - self.ridge * theta
            step = np.linalg.solve(information, score[:, :, None])[:, :, 0]
            # how the information changes along the step, to second order (Chebyshev's method)
            squares = (step[:, :, None] * step[:, None, :]).reshape(-1, size * size)
            score -= squares @ bend_CP / 2
            draws.append(theta + np.linalg.solve(information, score[:, :, None])[:, :, 0])
        draws_BP = np.concatenate(draws)
        strengths = draws_BP[:, : self.num_models]
        strengths -= strengths.mean(axis=1, keepdims=True)
        return np.asarray(draws_BP)


def _fit(problem: _Problem) -> _Point:
    """Maximum likelihood with the ridge and mean strength 0, by Newton steps halved where they would not climb."""
    import numpy as np

    point = problem.at(np.zeros(problem.size))
    for _ in range(_STEPS):
        gradient = problem.gradient(point)
        step = np.asarray(np.linalg.solve(problem.information(point), gradient), dtype=float)
        gain = float(step @ gradient)  # twice what the step can add to the likelihood
        for _ in range(40):
            theta = point.theta + step
            theta[: problem.num_models] -= theta[: problem.num_models].mean()
            moved = problem.at(theta)
            if moved.value >= point.value - 1e-12 * abs(point.value):
                break
            step = step / 2
        point = moved
        # where the data know nothing of a direction, rounding moves along it forever and the likelihood stands still
        still = float(abs(step).max()) <= _TOLERANCE * (1 + float(abs(point.theta).max()))
        if still or gain <= 1e-15 * abs(point.value):
            return point
    raise AgoraError(f"the controlled Bradley-Terry fit did not converge in {_STEPS} steps", hint="raise `ridge`")
