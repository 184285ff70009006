"""WB-Elo as published, to compare with published numbers. Prefer :mod:`agora.rooms.judge.ranking.strengths`.

Three things make it a poor measure. Its rounds only shuffle the same votes, so their spread is the noise of the order
and no sampling error. It starts from, and is pulled back to, the human ratings that it is then compared with
(circular). And its length rule makes a tie of every decisive vote with a long gap, also where the shorter answer won.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from agora.rooms.judge.ranking.votes import Votes

START = 1000.0


class EloRating(NamedTuple):
    """A rating over rounds; `low` and `high` are the 2.5 and 97.5 percentiles of orders of the same votes.

    Attributes:
        anchor: the human rating that it started from and was pulled back to; None without one.
    """

    mean: float
    sd: float
    median: float
    low: float
    high: float
    anchor: float | None


def wb_elo(
    votes: Votes,
    anchors: Mapping[str, float] | None = None,
    *,
    step: float = 4.0,
    rounds: int = 128,
    interval: int = 100,
    length_margin: float | None = 1500.0,
    seed: int = 0,
) -> dict[str, EloRating]:
    """Elo ratings over rounds of shuffled votes, highest mean first.

    All rounds go forward together: one vote of each round at a time.

    Args:
        votes: differences of scores (:func:`agora.rooms.judge.ranking.votes.score_votes` with tie margin 2).
        anchors: human ratings. A vote between two anchored models is skipped, and every `interval`-th update of one
            (the first included) moves it halfway back.
        step: Elo's K.
        rounds: number of shuffles.
        length_margin: a vote whose answers differ by more characters is a tie; None for no such rule.
        seed: of the shuffles.
    """
    import numpy as np

    if length_margin is not None:
        votes = votes.without_long_gaps(length_margin)
    battles, names = votes.battles, [str(name) for name in votes.battles.names]
    known = {name: value for name, value in (anchors or {}).items() if name in names}
    anchored_M = np.array([name in known for name in names])
    anchor_M = np.array([known.get(name, START) for name in names])
    used = np.flatnonzero(~(anchored_M[battles.first_N] & anchored_M[battles.second_N]))
    rng = np.random.default_rng(seed)
    orders_NR = np.stack([rng.permutation(used) for _ in range(rounds)], axis=1)
    rating = np.tile(anchor_M, (rounds, 1)).ravel()
    updates = np.zeros(rounds * len(names), dtype=int)
    offset_R = np.arange(rounds) * len(names)
    for vote_R in orders_NR:
        first_R, second_R = battles.first_N[vote_R], battles.second_N[vote_R]
        i, j = offset_R + first_R, offset_R + second_R
        expected_R = 1 / (1 + 10 ** ((rating[j] - rating[i]) / 400))
        gain_R = step * (battles.outcome_N[vote_R] - expected_R)
        rating[i] += gain_R
        rating[j] -= gain_R
        if known:
            for at, model_R in ((i, first_R), (j, second_R)):
                pulled = anchored_M[model_R] & (updates[at] % interval == 0)
                rating[at] = np.where(pulled, (rating[at] + anchor_M[model_R]) / 2, rating[at])
            updates[i] += 1
            updates[j] += 1
    rating_RM = rating.reshape(rounds, len(names))
    low, median, high = np.percentile(rating_RM, [2.5, 50, 97.5], axis=0)
    found = {
        name: EloRating(
            float(rating_RM[:, m].mean()),
            float(rating_RM[:, m].std()),
            float(median[m]),
            float(low[m]),
            float(high[m]),
            known.get(name),
        )
        for m, name in enumerate(names)
    }
    return dict(sorted(found.items(), key=lambda item: -item[1].mean))
