"""Strengths from comparisons: the Bradley-Terry model with a bootstrap over tasks.

Comparisons on one task are not independent, so the bootstrap draws whole tasks. All resamples are fitted at once by
Newton's method, which needs about five steps where the usual minorization needs hundreds.

Shape legend: B resamples, M contestants, T tasks, P = M * M directed pairs.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from agora.core.errors import AgoraError, DataError
from agora.core.logistic import softplus
from agora.core.resampling import Resampling, count_blocks, percentiles
from agora.core.stats import Interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray: TypeAlias = NDArray[np.float64]

ELO_SCALE = 400 / math.log(10)  # Elo points of one unit of log odds

_MAX_STEPS = 200
_TOLERANCE = 1e-10
_BLOCK_CELLS = 4_000_000


class Battle(NamedTuple):
    """One comparison.

    Attributes:
        first, second: the contestants.
        outcome: 1 where the first won, 0 where the second did, 0.5 for a tie; in between for a soft verdict.
        weight: how much it counts, above 0.
        task: what was compared; battles with one task are resampled together. None: each stands alone.
    """

    first: Hashable
    second: Hashable
    outcome: float
    weight: float = 1.0
    task: Hashable | None = None


class BattleColumns(NamedTuple):
    """Many comparisons as arrays, N each: what :class:`Battle` says, without an object a comparison.

    Attributes:
        names: the contestants.
        first_N, second_N: positions in `names`.
        outcome_N: as in :class:`Battle`.
        weight_N: above 0; None: all 1.
        task_N: whole numbers from 0, one a task; None: each comparison stands alone.
    """

    names: tuple[Hashable, ...]
    first_N: NDArray[np.int64]
    second_N: NDArray[np.int64]
    outcome_N: FloatArray
    weight_N: FloatArray | None = None
    task_N: NDArray[np.int64] | None = None

    def weights(self) -> FloatArray:
        """One weight a comparison."""
        import numpy as np

        return np.ones(len(self.outcome_N)) if self.weight_N is None else self.weight_N

    def check(self) -> None:
        """Refuse what :func:`bradley_terry` refuses."""
        import numpy as np

        columns = [self.first_N, self.second_N, self.outcome_N, self.weight_N, self.task_N]
        if len({len(column) for column in columns if column is not None}) != 1:
            raise DataError("the columns of battles must be equally long")
        if not len(self.outcome_N):
            raise DataError("no battles to rank")
        weight_N = self.weights()
        for broken_N, problem in (
            (self.first_N == self.second_N, "a contestant is compared with itself"),
            (~((self.outcome_N >= 0) & (self.outcome_N <= 1)), "the outcome must be in 0..1"),
            (~((weight_N > 0) & np.isfinite(weight_N)), "the weight must be above 0"),
        ):
            if broken_N.any():
                raise DataError(f"battle {int(np.argmax(broken_N))}: {problem}")


@dataclass(frozen=True, slots=True)
class Ranking:
    """Fitted strengths.

    Attributes:
        names: contestants, in the order of first appearance (or of the matrix).
        strengths: natural log odds, mean 0: ``P(a beats b) = 1 / (1 + exp(strength_b - strength_a))``.
        draws_BM: strengths in every resample; no rows without a bootstrap.
        separated: some contestants never lost (or never won) against all others, so the data do not bound their
            distance and the strengths are as large as the ridge allows.
        separated_share: the share of resamples of which that is true; bounds are loose where it is high.
        n: tasks resampled (battles where no task is given).
        method, level: of the intervals.
    """

    names: tuple[Hashable, ...]
    strengths: tuple[float, ...]
    draws_BM: FloatArray
    separated: bool
    separated_share: float
    n: int
    method: str
    level: float

    def ratings(
        self, *, anchor: Hashable | None = None, at: float = 1000.0, scale: float = ELO_SCALE
    ) -> dict[Hashable, Interval]:
        """Ratings with intervals, best first.

        Args:
            anchor: who has the rating `at` exactly; None: the mean of all has it.
            at: rating of the anchor.
            scale: points of one unit of log odds (default: Elo).
        """
        best_first = sorted(self.names, key=lambda name: -self.strengths[self._index(name)])
        return {name: self.difference(name, anchor).rescaled(scale, at) for name in best_first}

    def difference(self, a: Hashable, b: Hashable | None = None) -> Interval:
        """Log odds that `a` beats `b`, with its interval; without `b`, the strength of `a` against the mean."""
        import numpy as np

        i = self._index(a)
        minus = 0.0 if b is None else self.strengths[self._index(b)]
        draws = self.draws_BM[:, i] - (0.0 if b is None else self.draws_BM[:, self._index(b)])
        low, high = percentiles(np.asarray(draws), self.level)
        return Interval(self.strengths[i] - minus, low, high, self.n, self.method, 0, self.level)

    def win_probability(self, a: Hashable, b: Hashable) -> float:
        """The probability that `a` beats `b`."""
        return 1 / (1 + math.exp(self.strengths[self._index(b)] - self.strengths[self._index(a)]))

    def _index(self, name: Hashable) -> int:
        if name not in self.names:
            raise DataError(f"{name!r} is not among the contestants {list(self.names)}")
        return self.names.index(name)


def bradley_terry(
    wins: Iterable[Battle | tuple[Any, ...]] | NDArray[Any] | BattleColumns,
    *,
    n_boot: int = 0,
    seed: int = 0,
    level: float = 0.95,
    ridge: float = 1e-6,
    names: Sequence[Hashable] | None = None,
) -> Ranking:
    """Fit Bradley-Terry strengths; a tie counts as half a win for both.

    Args:
        wins: battles (or tuples ``(first, second, outcome[, weight[, task]])``), the same as columns, or a square array
            whose cell (i, j) is the number of wins of i over j.
        n_boot: resamples for intervals; 0: none. They draw tasks where tasks are given, and battles otherwise.
        seed: of the resampling.
        level: coverage of the intervals in (0, 1).
        ridge: penalty ``ridge / 2 * strength^2`` that keeps strengths finite under perfect separation.
        names: of the rows of an array; default 0, 1, 2, ...

    Raises:
        DataError: no battle, an outcome outside 0..1, a weight not above 0, a contestant against itself, an array that
            is not square, or not of whole numbers where a bootstrap is asked for.
    """
    import numpy as np

    if not ridge > 0:
        raise DataError(f"ridge must be above 0, got {ridge}")
    if isinstance(wins, BattleColumns):
        table = _from_columns(wins)
    else:
        table = _from_matrix(wins, names) if isinstance(wins, np.ndarray) else _from_battles(wins)
    size = len(table.names)
    wins_1MM = table.total().reshape(1, size, size)
    strengths = _fit(wins_1MM, ridge, np.zeros((1, size)))[0]
    method, draws, separated = "no bootstrap", [np.empty((0, size))], []
    if n_boot:
        plan = Resampling(seed, n_boot, level)
        method = plan.name(f"bootstrap over {'tasks' if table.has_tasks else 'battles'}")
        block = max(1, _BLOCK_CELLS // size**2)
        for wins_BP in table.resampled(plan):
            for start in range(0, len(wins_BP), block):
                wins_BMM = wins_BP[start : start + block].reshape(-1, size, size)
                draws.append(_fit(wins_BMM, ridge, np.tile(strengths, (len(wins_BMM), 1))))
                separated.append(_is_separated(wins_BMM))
    return Ranking(
        names=table.names,
        strengths=tuple(map(float, strengths)),
        draws_BM=np.concatenate(draws),
        separated=bool(_is_separated(wins_1MM)[0]),
        separated_share=float(np.concatenate(separated).mean()) if separated else math.nan,
        n=table.num_units,
        method=method,
        level=level,
    )


class _Table(NamedTuple):
    """Wins by unit of resampling (a task, or a kind of battle) and directed pair, as a sparse matrix."""

    names: tuple[Hashable, ...]
    wins_TP: Any
    multiplicity: NDArray[np.int64]  # how many equal units a row stands for
    has_tasks: bool

    @property
    def num_units(self) -> int:
        return int(self.multiplicity.sum())

    def total(self) -> FloatArray:
        import numpy as np

        return np.asarray(self.wins_TP.T @ self.multiplicity.astype(float))

    def resampled(self, plan: Resampling) -> Iterable[FloatArray]:
        """Wins by pair in every resample, in blocks."""
        import numpy as np

        if self.has_tasks:
            # many models a task fill the matrix, and then the dense product is the faster one
            wins_TP = self.wins_TP.toarray() if _is_full(self.wins_TP) else self.wins_TP
            for counts_BT in count_blocks(len(self.multiplicity), plan, width=self.wins_TP.shape[1]):
                yield np.asarray((wins_TP.T @ counts_BT.T).T)
        else:  # equal battles are exchangeable: draw how often each kind occurs
            rng = np.random.default_rng(plan.seed)
            rows = max(1, _BLOCK_CELLS // max(self.wins_TP.shape))
            for start in range(0, plan.n_boot, rows):
                shape = min(rows, plan.n_boot - start)
                counts = rng.multinomial(self.num_units, self.multiplicity / self.num_units, size=shape)
                yield np.asarray((self.wins_TP.T @ counts.T.astype(float)).T)


def _is_full(sparse: Any) -> bool:
    cells = math.prod(sparse.shape)
    return bool(cells <= _BLOCK_CELLS and sparse.nnz > cells / 10)


def _from_battles(battles: Iterable[Battle | tuple[Any, ...]]) -> _Table:
    import numpy as np

    names: dict[Hashable, int] = {}
    units: dict[Hashable, int] = {}
    kinds: dict[tuple[int, int, float, float, int], int] = {}
    for number, given in enumerate(battles):
        battle = Battle(*given)
        problem = _problem(battle)
        if problem:
            raise DataError(f"battle {number}: {problem}", where=repr(tuple(given)))
        i, j = (names.setdefault(name, len(names)) for name in (battle.first, battle.second))
        unit = -1 if battle.task is None else units.setdefault(battle.task, len(units))
        kind = (i, j, float(battle.outcome), float(battle.weight), unit)
        kinds[kind] = kinds.get(kind, 0) + 1
    if not kinds:
        raise DataError("no battles to rank")
    loose = [kind for kind in kinds if kind[4] < 0]
    if units and loose:
        raise DataError("some battles have a task and some have none", hint="give all of them one, or none")
    columns = np.array(list(kinds), dtype=float)
    repeats = np.array(list(kinds.values()))
    rows = np.arange(len(kinds)) if not units else columns[:, 4].astype(int)
    factor = repeats if units else 1
    multiplicity = np.ones(len(units), dtype=np.int64) if units else repeats.astype(np.int64)
    return _Table(tuple(names), _sparse(columns, rows, factor, len(names)), multiplicity, bool(units))


def _from_columns(battles: BattleColumns) -> _Table:
    import numpy as np

    battles.check()
    parts = [battles.first_N, battles.second_N, battles.outcome_N, battles.weights()]
    columns = np.column_stack([np.asarray(part, dtype=float) for part in parts])
    if battles.task_N is not None:
        rows = np.unique(battles.task_N, return_inverse=True)[1]
        multiplicity = np.ones(int(rows.max()) + 1, dtype=np.int64)
        return _Table(battles.names, _sparse(columns, rows, 1, len(battles.names)), multiplicity, True)
    kinds, repeats = np.unique(columns, axis=0, return_counts=True)
    rows = np.arange(len(kinds))
    return _Table(battles.names, _sparse(kinds, rows, 1, len(battles.names)), repeats.astype(np.int64), False)


def _sparse(columns: FloatArray, rows: NDArray[np.int64], factor: Any, size: int) -> Any:
    import numpy as np
    from scipy.sparse import csr_array

    first, second = columns[:, 0].astype(int), columns[:, 1].astype(int)
    outcome, weight = columns[:, 2], columns[:, 3] * factor
    values = np.concatenate([weight * outcome, weight * (1 - outcome)])
    pairs = np.concatenate([first * size + second, second * size + first])
    return csr_array((values, (np.concatenate([rows, rows]), pairs)), shape=(int(rows.max()) + 1, size * size))


def _from_matrix(matrix: NDArray[Any], names: Sequence[Hashable] | None) -> _Table:
    import numpy as np
    from scipy.sparse import csr_array

    size = len(matrix)
    if matrix.shape != (size, size) or (names is not None and len(names) != size):
        raise DataError(f"wins must be square with one name a row, got shape {matrix.shape}")
    counts = np.where(np.eye(size, dtype=bool), 0, matrix).astype(float)
    if not np.isfinite(counts).all() or (counts < 0).any() or counts.sum() == 0:
        raise DataError("wins must be finite, at least 0, and not all 0")
    pairs = np.flatnonzero(counts)
    values = counts.ravel()[pairs]
    whole = bool((values == np.round(values)).all())
    units = np.ones(len(pairs)) if whole else values
    multiplicity = values.astype(np.int64) if whole else np.ones(len(pairs), dtype=np.int64)
    sparse = csr_array((units, (np.arange(len(pairs)), pairs)), shape=(len(pairs), size * size))
    return _Table(tuple(names) if names is not None else tuple(range(size)), sparse, multiplicity, False)


def _problem(battle: Battle) -> str:
    if battle.first == battle.second:
        return f"{battle.first!r} is compared with itself"
    if not 0 <= battle.outcome <= 1:
        return f"the outcome must be in 0..1, got {battle.outcome}"
    if not (battle.weight > 0 and math.isfinite(battle.weight)):
        return f"the weight must be above 0, got {battle.weight}"
    return ""


def _fit(wins_BMM: FloatArray, ridge: float, start_BM: FloatArray) -> FloatArray:
    """Maximum likelihood with the ridge, by Newton steps that are halved where they would not climb."""
    import numpy as np

    theta_BM = start_BM.copy()
    active = np.arange(len(theta_BM))
    reached_B = _likelihood(wins_BMM, theta_BM, ridge)
    for _ in range(_MAX_STEPS):
        wins, theta, before = wins_BMM[active], theta_BM[active], reached_B[active]
        step = _newton_step(wins, theta, ridge)
        for _ in range(30):
            moved = theta + step
            reached = _likelihood(wins, moved, ridge)
            worse = reached < before - 1e-9 * np.abs(before)
            if not worse.any():
                break
            step[worse] /= 2
        reached_B[active] = reached
        theta_BM[active] = moved - moved.mean(axis=1, keepdims=True)
        active = active[np.abs(step).max(axis=1) > _TOLERANCE * (1 + np.abs(moved).max(axis=1))]
        if not len(active):
            return theta_BM
    raise AgoraError(f"Bradley-Terry did not converge in {_MAX_STEPS} steps", hint="raise `ridge`")


def _newton_step(wins: FloatArray, theta: FloatArray, ridge: float) -> FloatArray:
    import numpy as np

    size = theta.shape[1]
    games = wins + wins.transpose(0, 2, 1)
    chance = 0.5 * (1 + np.tanh(0.5 * (theta[:, :, None] - theta[:, None, :])))
    gradient = (wins - games * chance).sum(axis=2) - ridge * theta
    curvature = games * chance * (1 - chance)
    hessian = -curvature
    diagonal = np.arange(size)
    hessian[:, diagonal, diagonal] += curvature.sum(axis=2) + ridge
    # strengths are known up to a constant: this term fixes their sum and leaves the step as it is
    hessian += curvature.sum(axis=(1, 2), keepdims=True) / size**2
    return np.asarray(np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0])


def _likelihood(wins: FloatArray, theta: FloatArray, ridge: float) -> FloatArray:
    import numpy as np

    margin = theta[:, :, None] - theta[:, None, :]
    return np.asarray(-(wins * softplus(-margin)).sum(axis=(1, 2)) - ridge / 2 * (theta**2).sum(axis=1))


def _is_separated(wins_BMM: FloatArray) -> NDArray[np.bool_]:
    """Whether some contestant cannot be reached from another along wins: then no finite maximum exists (Ford 1957)."""
    import numpy as np

    reach = ((wins_BMM > 0) | np.eye(wins_BMM.shape[1], dtype=bool)).astype(np.float32)
    for _ in range(max(1, math.ceil(math.log2(wins_BMM.shape[1])))):
        reach = ((reach @ reach) > 0).astype(np.float32)
    return np.asarray(reach.min(axis=(1, 2)) == 0)
