"""When an utterance counts as toxic, from what several providers say, and how much hangs on the threshold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

COMPAT_THRESHOLD = 0.1  # the published rule's; criticized as prone to false alarms, so it is a setting
REPORTED = (0.1, 0.5, 0.9)
_NOTHING: Mapping[str, Any] = {}


def is_toxic(text: str, results: Iterable[Mapping[str, Any]], *, threshold: float = COMPAT_THRESHOLD) -> bool | None:
    """The published rule: not empty, and flagged by moderation or ``detoxify.toxicity`` above the threshold.

    Args:
        text: the utterance.
        results: annotations of kind ``tox``, one a provider.
        threshold: of Detoxify's toxicity alone; its own flag does not count.

    Returns:
        None where no provider has spoken: unknown is not harmless.
    """
    return is_any_toxic(results, threshold) if text.strip() else False


def is_any_toxic(results: Iterable[Mapping[str, Any]], threshold: float = COMPAT_THRESHOLD) -> bool | None:
    """:func:`is_toxic` of an utterance that is known not to be empty."""
    spoke = None
    for result in results:
        scores = detoxify_of(result)
        if scores:
            toxicity = scores.get("toxicity")
            said = None if toxicity is None else toxicity > threshold
        else:
            said = bool(result.get("flagged"))
        if said:
            return True
        spoke = spoke if said is None else False
    return spoke


def detoxify_of(result: Mapping[str, Any]) -> Mapping[str, Any]:
    """Detoxify's seven scores of a result; empty where another provider made it."""
    own = result.get("scores") if result.get("provider") == "detoxify" else None
    return result.get("detoxify") or own or _NOTHING


def counts_at(scores: Sequence[float], thresholds: Iterable[float] = REPORTED) -> dict[str, int]:
    """How many scores lie above each threshold: ``{"0.1": 12, "0.5": 4, "0.9": 1}``."""
    return {f"{threshold:g}": sum(score > threshold for score in scores) for threshold in thresholds}
