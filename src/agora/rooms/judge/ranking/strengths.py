"""Bradley-Terry ratings of a table's models, plain and at equal length or style, with a bootstrap over tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from agora.core.controlled_ranking import controlled_bradley_terry
from agora.core.ranking import ELO_SCALE, bradley_terry
from agora.core.stats import Interval
from agora.rooms.judge.ranking.votes import Votes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray: TypeAlias = NDArray[np.float64]

CENTER = 1000.0


@dataclass(frozen=True, slots=True)
class Strengths:
    """Ratings on the Elo scale (400 points are odds of ten), mean 1000 unless anchored.

    Args:
        ratings: by model; empty where the votes do not determine them, and `reason` says why.
        coefficients: of the features that were controlled for, in log odds of one root mean square.
        num_votes, num_decisive: votes, and those among them that are no tie.
    """

    ratings: Mapping[str, Interval]
    num_votes: int
    num_decisive: int
    coefficients: Mapping[str, Interval]
    reason: str = ""


def strengths(
    votes: Votes,
    features: Mapping[str, FloatArray] | None = None,
    *,
    anchor: str | None = None,
    seed: int = 0,
    n_boot: int = 1000,
) -> Strengths:
    """Rate models by their votes.

    Args:
        votes: see :mod:`agora.rooms.judge.ranking.votes`.
        features: differences to control for, one value a vote; None: the plain model.
        anchor: the model that has 1000 exactly; None: the mean of all has it.
        seed, n_boot: of the bootstrap over tasks.
    """
    import numpy as np

    decisive = int(votes.decisive.sum())
    if not len(votes):
        return Strengths({}, 0, 0, {}, "no two models have a common task")
    if features is not None and any(np.isnan(feature).any() for feature in features.values()):
        return Strengths({}, len(votes), decisive, {}, "not every answer's length or style is known")
    if features is None:
        ranking, coefficients, identified = bradley_terry(votes.battles, seed=seed, n_boot=n_boot), {}, True
    else:
        found = controlled_bradley_terry(votes.battles, features, seed=seed, n_boot=n_boot)
        ranking, coefficients, identified = found.ranking, dict(found.coefficients), found.identified
    if ranking.separated or not identified:
        reason = "not identifiable: some models only win, only lose or never meet the others"
        if not identified:
            reason = "not identifiable: the votes do not tell strength from the features"
        return Strengths({}, len(votes), decisive, {}, reason)
    ratings = {str(name): value for name, value in ranking.ratings(anchor=anchor, at=CENTER, scale=ELO_SCALE).items()}
    return Strengths(ratings, len(votes), decisive, coefficients)


def length_strengths(votes: Votes, *, anchor: str | None = None, seed: int = 0, n_boot: int = 1000) -> Strengths:
    """Ratings at equal length: the feature is the gap in characters divided by the sum of both lengths plus 1."""
    return strengths(votes, {"length": votes.share_N}, anchor=anchor, seed=seed, n_boot=n_boot)
