"""Statistics of comparisons that people or judges made: win rates, agreement, consistency, pull of length.

A preference is written as AlpacaEval writes it: 1 where the first output is better, 2 where the second is, 0 or 1.5 for
a tie, a number in between for a soft preference, None where nobody could tell.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from agora.core.errors import DataError
from agora.core.stats import Interval, bootstrap_mean, wilson


class WinRate(NamedTuple):
    """Attributes: rate in 0..1 with its interval (`dropped`: not judged), and the counts behind it."""

    rate: Interval
    wins: int
    losses: int
    ties: int

    @property
    def missing(self) -> int:
        """Comparisons without a preference."""
        return self.rate.dropped


def win_rate(
    preferences: Iterable[float | None],
    *,
    side: Literal[1, 2] = 2,
    ties: float = 0.5,
    seed: int = 0,
    n_boot: int = 2000,
) -> WinRate:
    """How often one side wins, over the comparisons that were judged.

    Args:
        preferences: see the module.
        side: whose wins are counted.
        ties: what a tie is worth, 0..1; AlpacaEval takes one half.
        seed, n_boot: of the bootstrap; without ties and soft preferences the interval is Wilson's.

    Raises:
        DataError: a preference that is neither 0 nor in 1..2, or `ties` outside 0..1.
    """
    if not 0 <= ties <= 1:
        raise DataError(f"a tie must be worth 0..1, got {ties}")
    given = list(preferences)
    for preference in given:
        if preference is not None and preference != 0 and not 1 <= preference <= 2:
            raise DataError(f"a preference must be 1, 2, a tie (0 or 1.5), in between or None, got {preference!r}")
    judged = [1.5 if p == 0 else float(p) for p in given if p is not None and not math.isnan(p)]
    worth = [ties if p == 1.5 else (p - 1 if side == 2 else 2 - p) for p in judged]
    wins, num_ties = sum(p != 1.5 and w > 0.5 for p, w in zip(judged, worth, strict=True)), judged.count(1.5)
    if all(w in (0.0, 1.0) for w in worth):
        rate = wilson(int(sum(worth)), len(worth))
    else:
        rate = bootstrap_mean(worth, seed=seed, n_boot=n_boot)
    return WinRate(rate._replace(dropped=len(given) - len(judged)), wins, len(judged) - wins - num_ties, num_ties)


def longer_wins(
    preferences: Sequence[float | None], first_chars: Sequence[int], second_chars: Sequence[int]
) -> Interval:
    """How often the longer output is the preferred one; equal lengths predict nothing and are wrong.

    Ties and comparisons that were not judged have no winner to predict: they are left out and counted as `dropped`.

    Raises:
        DataError: columns of different lengths.
    """
    if not len(preferences) == len(first_chars) == len(second_chars):
        raise DataError("preferences and lengths must be equally many")
    hits = [
        second > first if preference > 1.5 else first > second
        for preference, first, second in zip(preferences, first_chars, second_chars, strict=True)
        if preference is not None and preference not in (0, 1.5)
    ]
    return wilson(sum(hits), len(hits))._replace(dropped=len(preferences) - len(hits))


class JudgeStatistics(NamedTuple):
    """A judge asked in both orders about pairs with a known better answer; a reply without a verdict is wrong.

    Attributes:
        original, swapped: accuracy in each order.
        average: their mean.
        both: right in both orders.
        consistent: the same verdict in both orders, right or wrong.
    """

    original: Interval
    swapped: Interval
    average: float
    both: Interval
    consistent: Interval


def judge_statistics(
    gold: Sequence[int],
    original: Sequence[int | None],
    swapped: Sequence[int | None],
    *,
    unparsed_agree: bool = False,
) -> JudgeStatistics:
    """Accuracy and position consistency of a judge.

    Args:
        gold: the better answer of each pair, 1 or 2.
        original, swapped: the judge's winner with the answers in either order, both in the numbering of `gold`; None
            where the reply had none.
        unparsed_agree: count two replies without a verdict as consistent, as LLMBar's published statistics do.

    Raises:
        DataError: columns of different lengths.
    """
    if not len(gold) == len(original) == len(swapped):
        raise DataError(f"columns must be equally long, got {len(gold)}, {len(original)} and {len(swapped)}")
    n, rows = len(gold), list(zip(gold, original, swapped, strict=True))
    first, second = sum(a == g for g, a, _ in rows), sum(b == g for g, _, b in rows)
    return JudgeStatistics(
        original=wilson(first, n),
        swapped=wilson(second, n),
        average=(first + second) / (2 * n) if n else math.nan,
        both=wilson(sum(a == b == g for g, a, b in rows), n),
        consistent=wilson(sum(a == b and (unparsed_agree or a is not None) for _, a, b in rows), n),
    )


class Agreement(NamedTuple):
    """Attributes: exact agreement, and the relaxed one in which a tie against a win or loss counts half."""

    exact: Interval
    relaxed: Interval


def annotator_agreement(
    first: Sequence[float | None], second: Sequence[float | None], *, seed: int = 0, n_boot: int = 2000
) -> Agreement:
    """Agreement of two annotators on the sign of a preference: win, tie or loss.

    For agreement beyond chance see :func:`agora.core.agreement.cohen_kappa`.

    Args:
        first, second: preferences as signed numbers (strength does not matter, 0 is a tie), in the order of the items;
            items that either left out (None) do not count.

    Raises:
        DataError: columns of different lengths.
    """
    if len(first) != len(second):
        raise DataError(f"two annotators must rate the same items, got {len(first)} and {len(second)}")
    both = [(_sign(a), _sign(b)) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    missing = len(first) - len(both)
    same = [float(a == b) for a, b in both]
    relaxed = [1.0 if a == b else 0.5 if 0 in (a, b) else 0.0 for a, b in both]
    return Agreement(
        wilson(int(sum(same)), len(same))._replace(dropped=missing),
        bootstrap_mean(relaxed, seed=seed, n_boot=n_boot)._replace(dropped=missing),
    )


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
