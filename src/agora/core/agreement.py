"""Agreement between raters, beyond what chance gives.

For an interval, resample the items: ``bootstrap(cohen_kappa, first, second)`` from :mod:`agora.core.stats`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from agora.core.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray: TypeAlias = NDArray[np.float64]

Ratings: TypeAlias = "Sequence[Any] | NDArray[Any]"


def cohen_kappa(
    a: Ratings,
    b: Ratings,
    weights: Literal["linear", "quadratic"] | None = None,
    *,
    labels: Sequence[Hashable] | None = None,
) -> float:
    """Cohen's kappa of two raters of the same items; items that either left out (None, NaN) do not count.

    Args:
        a, b: one rating an item.
        weights: how a disagreement grows with the distance of the ratings; None: all count the same.
        labels: the order of ratings that are words, for `weights`. Numbers stand at their value, so that a step of a
            scale that nobody used keeps its place.

    Returns:
        At most 1, 0 at chance level; NaN without items, or where both raters always give one and the same rating.

    Raises:
        DataError: different lengths, a rating outside `labels`, or weights over words without `labels`.
    """
    import numpy as np

    if len(a) != len(b):
        raise DataError(f"two raters must rate the same items, got {len(a)} and {len(b)} ratings")
    scale, codes = _encode([a, b], labels)
    first, second = codes[:, (codes >= 0).all(axis=0)]
    if not len(first):
        return math.nan
    size = len(scale)
    observed = np.bincount(first * size + second, minlength=size * size).reshape(size, size) / len(first)
    expected = np.outer(observed.sum(axis=1), observed.sum(axis=0))
    cost = _cost(scale, weights, labels)
    by_chance = float((cost * expected).sum())
    return 1 - float((cost * observed).sum()) / by_chance if by_chance > 0 else math.nan


def krippendorff_alpha(
    ratings: Sequence[Ratings] | NDArray[Any],
    level: Literal["nominal", "ordinal", "interval"] = "nominal",
) -> float:
    """Krippendorff's alpha of any number of raters with missing ratings.

    Args:
        ratings: one row a rater, one column an item; None or NaN where a rater did not rate.
        level: how ratings differ: in name, in order, or by distance. Words can be nominal only.

    Returns:
        At most 1, 0 at chance level; NaN where no item has two ratings, or all ratings are the same.

    Raises:
        DataError: rows of different lengths, or words with an ordinal or interval level.

    Source: Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability".
    """
    import numpy as np

    lengths = {len(row) for row in ratings}
    if len(lengths) > 1:
        raise DataError(f"raters must have one rating or None for every item, got lengths {sorted(lengths)}")
    scale, codes = _encode(list(ratings), None)
    counts = np.zeros((codes.shape[1], len(scale)))
    _, item = known = np.nonzero(codes >= 0)
    np.add.at(counts, (item, codes[known]), 1)
    counts = counts[counts.sum(axis=1) > 1]  # a rating that stands alone can neither agree nor disagree
    shares = counts / (counts.sum(axis=1, keepdims=True) - 1)
    coincidences = shares.T @ counts - np.diag(shares.sum(axis=0))
    totals = coincidences.sum(axis=1)
    distance = _alpha_distance(scale, totals, level)
    by_chance = float(totals @ distance @ totals)
    if by_chance <= 0:
        return math.nan
    return 1 - (float(totals.sum()) - 1) * float((coincidences * distance).sum()) / by_chance


def _cost(scale: list[Any], weights: str | None, labels: Sequence[Hashable] | None) -> FloatArray:
    import numpy as np

    if weights is None:
        return 1 - np.eye(len(scale))
    if weights not in ("linear", "quadratic"):
        raise DataError(f"weights must be None, 'linear' or 'quadratic', got {weights!r}")
    if labels is None and any(isinstance(rating, str) for rating in scale):
        raise DataError("weights need the order of ratings that are words", hint="give it as `labels`")
    at = np.arange(len(scale), dtype=float) if labels is not None else np.array(scale, dtype=float)
    distance = np.abs(at[:, None] - at)
    return distance if weights == "linear" else distance**2


def _alpha_distance(scale: list[Any], totals: FloatArray, level: str) -> FloatArray:
    import numpy as np

    if level == "nominal":
        return 1 - np.eye(len(scale))
    if level not in ("ordinal", "interval"):
        raise DataError(f"level must be 'nominal', 'ordinal' or 'interval', got {level!r}")
    if any(isinstance(rating, str) for rating in scale):
        raise DataError(f"ratings that are words cannot be {level}", hint="give their ranks as numbers")
    # ordinal: the distance of two ratings is the number of ratings between them, half of both ends counted
    at = np.cumsum(totals) - totals / 2 if level == "ordinal" else np.array(scale, dtype=float)
    return np.asarray((at[:, None] - at) ** 2)


def _encode(rows: Sequence[Ratings], labels: Sequence[Hashable] | None) -> tuple[list[Any], NDArray[np.int64]]:
    """The scale in order, and the rows as positions in it, -1 where a rating is missing."""
    import numpy as np

    arrays = [np.asarray(row, dtype=object if labels is not None else None) for row in rows]
    if arrays and all(array.dtype.kind in "biuf" and array.ndim == 1 for array in arrays):
        values = np.stack(arrays).astype(float)
        known = ~np.isnan(values)
        steps, places = np.unique(values[known], return_inverse=True)
        codes = np.full(values.shape, -1)
        codes[known] = places
        return list(steps.tolist()), codes
    lists = [list(row.tolist()) if hasattr(row, "tolist") else list(row) for row in rows]
    found = {rating for row in lists for rating in row if not _is_missing(rating)}
    if labels is None:
        scale = sorted(found, key=lambda rating: (isinstance(rating, str), rating))  # words and numbers do not compare
    else:
        scale = list(labels)
        unknown = sorted(map(repr, found - set(scale)))
        if unknown:
            raise DataError(f"ratings {', '.join(unknown[:5])} are not among the labels {scale}")
    position = {rating: i for i, rating in enumerate(scale)}
    coded = [[-1 if _is_missing(rating) else position[rating] for rating in row] for row in lists]
    return scale, np.array(coded, dtype=np.int64).reshape(len(lists), len(lists[0]) if lists else 0)


def _is_missing(rating: Any) -> bool:
    return rating is None or (isinstance(rating, float) and math.isnan(rating))
