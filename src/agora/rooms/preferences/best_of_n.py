"""Best-of-N: what keeping the reward's favorite of n samples is worth, from one set of N samples a prompt.

The mean over *all* subsets of n samples has a closed form in the ranks of the rewards, so every n up to N comes from
the same samples without a new draw, and without the noise of picking one subset (arXiv:2406.09279 tests its reward
models so; the estimator is to best-of-n what the unbiased one is to pass@k).

Shape legend: P prompts, N samples a prompt, n samples kept from.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from agora.core.errors import DataError
from agora.core.stats import Interval, bootstrap_mean, paired_bootstrap

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray: TypeAlias = NDArray[np.float64]

Table: TypeAlias = "Sequence[Sequence[float | None]] | FloatArray"


@dataclass(frozen=True, slots=True)
class BestOfPoint:
    """The curve at one n; intervals resample prompts.

    Attributes:
        n: samples that the best is taken from.
        true: expected true score of the sample with the highest reward.
        gain: the same minus that of one sample, on the same prompts.
        reward: expected reward of that sample. Rising reward with falling `true` is over-optimization.
        ceiling: expected true score if the true score itself chose.
        kl_bound: log n - (n - 1) / n nats, the most that choosing can move the distribution away from the sampler's.
    """

    n: int
    true: Interval
    gain: Interval
    reward: Interval
    ceiling: Interval
    kl_bound: float


@dataclass(frozen=True, slots=True)
class BestOfN:
    """A best-of-N curve.

    Attributes:
        points: by rising n.
        peak: the n with the highest true score.
        fall: true score at the largest n minus that at the peak, paired by prompt; 0 where they are the same.
        num_prompts: prompts used at every n.
        dropped_prompts: prompts with fewer complete samples than the largest n; used at none, so that every point of
            the curve is about the same prompts.
        missing_samples: samples without a reward or a true score.
    """

    points: tuple[BestOfPoint, ...]
    peak: int
    fall: Interval
    num_prompts: int
    dropped_prompts: int
    missing_samples: int

    @property
    def overoptimized(self) -> bool:
        """Whether the true score falls after its peak by more than its error; the expected reward never does."""
        return self.fall.high < 0

    def as_json(self) -> dict[str, Any]:
        """The curve as plain values."""
        from agora.core.json_text import dumps, loads

        shown = {
            "points": [
                {
                    "n": p.n,
                    **{name: getattr(p, name)._asdict() for name in ("true", "gain", "reward", "ceiling")},
                    "kl_bound": p.kl_bound,
                }
                for p in self.points
            ],
            "peak": self.peak,
            "fall": self.fall._asdict(),
            "overoptimized": self.overoptimized,
            "num_prompts": self.num_prompts,
            "dropped_prompts": self.dropped_prompts,
            "missing_samples": self.missing_samples,
        }
        plain: dict[str, Any] = loads(dumps(shown))
        return plain


def best_of_n(
    rewards: Table,
    true: Table,
    *,
    ns: Sequence[int] | None = None,
    seed: int = 0,
    n_boot: int = 2000,
    level: float = 0.95,
) -> BestOfN:
    """The curve of best-of-n for n = 1, 2, 4, ... up to the number of samples.

    Args:
        rewards: the reward of every sample, [P, N]; None or NaN where it is missing.
        true: what the answer is worth (a checker's score, 0 or 1 for correct), [P, N].
        ns: values of n, each 1..N; powers of two and N itself when None.
        seed, n_boot, level: of the bootstrap over prompts.

    Raises:
        DataError: tables of different shapes, an n outside 1..N, or no prompt with enough complete samples.
    """
    import numpy as np

    reward_PN, true_PN = _table(rewards, "rewards"), _table(true, "true scores")
    if reward_PN.shape != true_PN.shape:
        raise DataError(f"rewards have shape {reward_PN.shape} and true scores {true_PN.shape}; they must be equal")
    asked = _asked(ns, reward_PN.shape[1])
    complete_PN = ~np.isnan(reward_PN + true_PN)
    enough_P = complete_PN.sum(axis=1) >= asked[-1]
    if not enough_P.any():
        what = f"no prompt has {asked[-1]} samples with both a reward and a true score"
        raise DataError(what, hint="ask for a smaller n")
    reward_PN, true_PN = (np.where(complete_PN, table, np.nan)[enough_P] for table in (reward_PN, true_PN))
    plan: dict[str, Any] = {"seed": seed, "n_boot": n_boot, "level": level}
    true_PC = expected_best(reward_PN, true_PN, asked)
    peak = int(np.argmax(true_PC.mean(axis=0)))
    return BestOfN(
        _points(reward_PN, true_PN, asked, plan),
        peak=asked[peak],
        fall=paired_bootstrap(true_PC[:, -1], true_PC[:, peak], **plan),
        num_prompts=int(enough_P.sum()),
        dropped_prompts=int((~enough_P).sum()),
        missing_samples=int((~complete_PN).sum()),
    )


def _points(
    reward_PN: FloatArray, true_PN: FloatArray, ns: Sequence[int], plan: dict[str, Any]
) -> tuple[BestOfPoint, ...]:
    one_P = expected_best(reward_PN, true_PN, [1])[:, 0]
    chosen, rewards, best = (
        expected_best(by, of, ns) for by, of in ((reward_PN, true_PN), (reward_PN, reward_PN), (true_PN, true_PN))
    )
    return tuple(
        BestOfPoint(
            n,
            true=bootstrap_mean(chosen[:, i], **plan),
            gain=paired_bootstrap(chosen[:, i], one_P, **plan),
            reward=bootstrap_mean(rewards[:, i], **plan),
            ceiling=bootstrap_mean(best[:, i], **plan),
            kl_bound=kl_bound(n),
        )
        for i, n in enumerate(ns)
    )


def expected_best(rewards_PN: FloatArray, values_PN: FloatArray, ns: Sequence[int]) -> FloatArray:
    """Mean over all subsets of n samples of the value of the subset's highest reward, per prompt: [P, len(ns)].

    Of equal highest rewards each is chosen equally often. NaN marks a missing sample, the same ones in both tables; a
    row with fewer than n samples gives NaN. With samples in rising order of reward, sample i (0-based) is the best of
    C(i, n - 1) of the C(N, n) subsets.
    """
    import numpy as np

    order = np.argsort(rewards_PN, axis=1, kind="stable")  # NaN comes last
    reward_PN = np.take_along_axis(rewards_PN, order, axis=1)
    value_PN = _mean_over_ties(reward_PN, np.take_along_axis(values_PN, order, axis=1))
    sizes_P = (~np.isnan(reward_PN)).sum(axis=1)
    best = np.full((len(reward_PN), len(ns)), np.nan)
    for size in np.unique(sizes_P):
        rows = sizes_P == size
        for column, n in enumerate(ns):
            if n <= size:
                best[rows, column] = value_PN[rows, :size] @ _rank_weights(int(size), n)
    return best


def kl_bound(n: int) -> float:
    """log n - (n - 1) / n in nats: an upper bound on KL(best-of-n, sampler); equal for continuous rewards.

    Raises:
        DataError: n below 1.
    """
    if n < 1:
        raise DataError(f"n must be at least 1, got {n}")
    return math.log(n) - (n - 1) / n


def _rank_weights(size: int, n: int) -> FloatArray:
    """The share of n-subsets of `size` samples whose best is the sample of each rank; sums to 1."""
    import numpy as np

    subsets = math.comb(size, n)  # whole numbers of any length: nothing overflows or loses digits
    return np.array([math.comb(rank, n - 1) / subsets for rank in range(size)])


def _mean_over_ties(reward_PN: FloatArray, value_PN: FloatArray) -> FloatArray:
    """Values with the mean of their group of equal rewards in place of their own; rows in rising order of reward.

    Members of a group are exchangeable, so this gives every one of them the same chance to be chosen.
    """
    import numpy as np

    starts = np.ones(reward_PN.shape, dtype=bool)
    starts[:, 1:] = reward_PN[:, 1:] != reward_PN[:, :-1]
    group = np.cumsum(starts.ravel()) - 1
    totals = np.bincount(group, weights=value_PN.ravel())
    return np.asarray((totals / np.bincount(group))[group].reshape(value_PN.shape))


def _asked(ns: Sequence[int] | None, width: int) -> list[int]:
    """The values of n in rising order; powers of two and `width` by default."""
    asked = sorted(set(ns) if ns is not None else {*(2**i for i in range(width.bit_length())), width})
    if not asked or not 1 <= asked[0] <= asked[-1] <= width:
        raise DataError(f"n must lie in 1..{width} (samples a prompt), got {asked}")
    return asked


def _table(values: Table, name: str) -> FloatArray:
    import numpy as np

    rows = values if isinstance(values, np.ndarray) else [[math.nan if v is None else v for v in r] for r in values]
    if len({len(row) for row in rows}) > 1:
        raise DataError(f"{name} must have the same number of samples a prompt", hint="fill gaps with None")
    table = np.asarray(rows, dtype=float)
    if table.ndim != 2 or not table.size:
        raise DataError(f"{name} must be a table of prompts by samples, got shape {table.shape}")
    if np.isinf(table).any():
        raise DataError(f"{name} hold an infinite value")
    return table
