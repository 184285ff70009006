"""How much of a data set stands in another one too, equal or nearly so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agora.core.records import JsonMap
from agora.curate.duplicates import OnlineDuplicates


def overlap(sample: Sequence[str], other: Iterable[str], *, threshold: float = 0.6) -> JsonMap:
    """Shares of some first prompts that the first prompts of another set hold.

    Args:
        sample: of the set that is described; the shares are of these.
        other: all first prompts of the other set; their distinct texts are held in memory.
        threshold: least Jaccard similarity of character 5-grams of a near duplicate.
    """
    held = OnlineDuplicates(threshold)
    n_other = 0
    for text in other:
        held.add(str(n_other), text)
        n_other += 1
    found = [held.find(text) for text in sample]
    exact = sum(match is not None and match.exact for match in found)
    near = sum(match is not None and not match.exact for match in found)
    n = len(sample)
    return {
        "prompts": n,
        "other_prompts": n_other,
        "threshold": threshold,
        "exact_share": exact / n if n else None,
        "near_share": near / n if n else None,
    }
