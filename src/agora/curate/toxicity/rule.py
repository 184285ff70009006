"""When an utterance counts as toxic, from what several providers say, and how much hangs on the threshold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

COMPAT_THRESHOLD = 0.1  # the published rule's; criticized as prone to false alarms, so it is a setting
REPORTED = (0.1, 0.5, 0.9)


def is_toxic(text: str, results: Iterable[Mapping[str, Any]], *, threshold: float = COMPAT_THRESHOLD) -> bool | None:
    """The published rule: not empty, and flagged by moderation or ``detoxify.toxicity`` above the threshold.

    Args:
        text: the utterance.
        results: annotations of kind ``tox``, one a provider.
        threshold: of Detoxify's toxicity alone; its own flag does not count.

    Returns:
        None where no provider has spoken: unknown is not harmless.
    """
    if not text.strip():
        return False
    spoke = None
    for result in results:
        if "detoxify" in result:
            toxicity = result["detoxify"].get("toxicity")
            said = None if toxicity is None else toxicity > threshold
        else:
            said = bool(result["flagged"])
        if said:
            return True
        spoke = spoke if said is None else False
    return spoke


def counts_at(scores: Sequence[float], thresholds: Iterable[float] = REPORTED) -> dict[str, int]:
    """How many scores lie above each threshold: ``{"0.1": 12, "0.5": 4, "0.9": 1}``."""
    return {f"{threshold:g}": sum(score > threshold for score in scores) for threshold in thresholds}
