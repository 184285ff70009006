"""How often a reward ranks the chosen answer above the rejected one, and whether length alone would do as well.

Accuracy never stands alone: beside it are what "the longer answer wins" reaches on the same pairs, what a coin reaches,
and how many pairs had no score. Source: specification of arXiv:2406.09279, sections 3.5 and 3.11.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from agora.core.errors import DataError
from agora.core.stats import Interval, paired_bootstrap, spearman
from agora.rooms.preferences.calibration import Calibration, calibration
from agora.rooms.preferences.pair_accuracy import RANDOM, Accuracy, PairTable, Ties
from agora.rooms.preferences.pair_scores import ScoredPair
from agora.rooms.preferences.rewardbench import RewardBench, is_rewardbench, rewardbench

# Above this share of pairs without a score, the others may be of another kind.
_MISSING_SHARE_TO_TELL = 0.05


@dataclass(frozen=True, slots=True)
class ScoreSummary:
    """The rewards of all scored answers; ``difference`` is chosen minus rejected, by pair.

    ``std`` is the population's (divided by n); None of the numbers is scaled.
    """

    n: int
    mean: float
    std: float
    chosen_mean: float
    rejected_mean: float
    difference: Interval


@dataclass(frozen=True, slots=True)
class RewardEvaluation:
    """What a set of pairs says about a scorer.

    Attributes:
        overall: all pairs.
        by_prompt: overall accuracy with whole prompts resampled; None where no prompt has two pairs.
        by_subset: by subset or source.
        by_length: by whether the chosen answer is the longer one.
        by_margin: by quartile of the label's margin; empty without margins.
        ties: how equal rewards counted.
        label_ties: pairs that the annotators called a tie; used nowhere.
        scores: mean and spread of the rewards.
        calibration: None where the scorer's differences are no log odds.
        length_correlation: Spearman's rho of reward and characters over all answers.
        length_correlation_within: the same of their differences within a pair, where the prompt cannot matter.
        rewardbench: section scores, where the subsets are RewardBench's.
        warnings: what a reader must know before using the numbers.
    """

    overall: Accuracy
    by_prompt: Interval | None
    by_subset: tuple[Accuracy, ...]
    by_length: tuple[Accuracy, ...]
    by_margin: tuple[Accuracy, ...]
    ties: Ties
    label_ties: int
    scores: ScoreSummary
    calibration: Calibration | None
    length_correlation: Interval
    length_correlation_within: Interval
    rewardbench: RewardBench | None
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The object that ``agora preferences reward-eval --json`` prints; what is unknown is null."""
        from agora.core.json_text import dumps, loads

        plain: dict[str, Any] = loads(dumps({"random": RANDOM, **_plain(self)}))
        return plain


def evaluate_rewards(
    scored: Sequence[ScoredPair],
    *,
    ties: Ties = "wrong",
    log_odds: bool = True,
    num_bins: int = 10,
    seed: int = 0,
    n_boot: int = 2000,
) -> RewardEvaluation:
    """Every statistic of a scored set.

    Args:
        scored: from :func:`agora.rooms.preferences.pair_scores.score_pairs`.
        ties: how pairs with equal rewards count; the length baseline counts its own ties in the same way.
        log_odds: differences are log odds, so that calibration has a meaning (reward models, implicit rewards).
        num_bins: of the reliability table.
        seed, n_boot: of all bootstraps.

    Raises:
        DataError: no pairs, none of them with two scores, or an unknown tie rule.
    """
    judged = [row for row in scored if not row.tie]
    table = PairTable(judged, ties=ties, seed=seed, n_boot=n_boot)
    if not table.present_P.any():
        what = f"none of {len(judged):,} pairs has two scores" if judged else "there are no pairs to evaluate"
        advice = "check that the scorer suits these data, and max_tokens" if judged else None
        raise DataError(what, hint=next((row.error for row in judged if row.error), advice))
    overall, by_subset = table.accuracy("all pairs"), table.by_subset()
    scores = _summary(table, seed, n_boot)
    over_answers, within = _length_correlations(table)
    subsets = {group.name: group.accuracy for group in by_subset}
    return RewardEvaluation(
        overall=overall,
        by_prompt=table.by_prompt(),
        by_subset=by_subset,
        by_length=table.by_length(),
        by_margin=table.by_margin(),
        ties=ties,
        label_ties=len(scored) - len(judged),
        scores=scores,
        calibration=calibration(table.difference_P, num_bins=num_bins, seed=seed, n_boot=n_boot) if log_odds else None,
        length_correlation=over_answers,
        length_correlation_within=within,
        rewardbench=rewardbench(subsets, seed=seed) if any(map(is_rewardbench, subsets)) else None,
        warnings=tuple(_warnings(overall, scores)),
    )


def most_confident_errors(scored: Sequence[ScoredPair], limit: int = 8) -> list[int]:
    """Places of the pairs that the reward got wrong by the most, worst first."""
    wrong = [
        (row.chosen - row.rejected, i)
        for i, row in enumerate(scored)
        if not row.tie and row.chosen is not None and row.rejected is not None and row.chosen < row.rejected
    ]
    return [i for _, i in sorted(wrong)[:limit]]


def _summary(table: PairTable, seed: int, n_boot: int) -> ScoreSummary:
    import numpy as np

    chosen, rejected = table.chosen_P[table.present_P], table.rejected_P[table.present_P]
    both = np.concatenate([chosen, rejected])
    return ScoreSummary(
        n=len(both),
        mean=float(both.mean()),
        std=float(both.std()),
        chosen_mean=float(chosen.mean()),
        rejected_mean=float(rejected.mean()),
        difference=paired_bootstrap(chosen, rejected, seed=seed, n_boot=n_boot),
    )


def _length_correlations(table: PairTable) -> tuple[Interval, Interval]:
    import numpy as np

    at = table.present_P
    rewards = np.concatenate([table.chosen_P[at], table.rejected_P[at]])
    chars = np.concatenate([table.chosen_chars_P[at], table.rejected_chars_P[at]])
    return spearman(rewards, chars), spearman(table.difference_P[at], table.extra_chars_P[at])


def _warnings(overall: Accuracy, scores: ScoreSummary) -> Iterator[str]:
    counted, missing = overall.accuracy.n, overall.missing
    if scores.std == 0:
        yield "every answer has the same score: nothing was learned, or the scorer reads no part of the answer"
    elif overall.ties > 0.2 * (counted + missing):
        yield f"{overall.ties:,} pairs have two equal rewards; how ties count decides the accuracy"
    if missing > _MISSING_SHARE_TO_TELL * (counted + missing):
        yield f"{missing:,} of {counted + missing:,} pairs have no score and count nowhere"
    if overall.over_longer.high < 0:
        yield "picking the longer answer is right more often than this scorer"
    elif overall.over_longer.low <= 0:
        yield "no better than picking the longer answer, within the error of this set"
    if overall.accuracy.low <= RANDOM <= overall.accuracy.high:
        yield "no better than a coin, within the error of this set"
    elif overall.accuracy.high < RANDOM:
        yield "worse than a coin: check that chosen and rejected are not swapped"


def _plain(value: Any) -> Any:
    """Records and intervals as mappings."""
    if isinstance(value, Interval):
        return value._asdict()
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value
