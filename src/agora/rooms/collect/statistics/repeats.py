"""Long prompts that many people use (jailbreaks, templates): near duplicates with their uses, people and success.

Equal prompts are counted as they come. When more distinct ones are held than ``most``, near duplicates are joined and
those that nothing resembled are forgotten, so memory stays bounded; how many were forgotten is told.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agora.core.records import JsonMap
from agora.curate.duplicates import mark_duplicates
from agora.curate.text import normalize


@dataclass(slots=True)
class _Use:
    text: str
    uses: int = 0
    subjects: set[int] = field(default_factory=set)
    replies: int = 0
    toxic: int = 0
    variants: int = 1


@dataclass(slots=True)
class LongPrompts:
    """Counts the uses of prompts of at least ``min_chars`` characters."""

    min_chars: int = 500
    most: int = 20_000
    threshold: float = 0.6
    forgotten: int = 0
    _uses: dict[str, _Use] = field(default_factory=dict)

    def add(self, prompt: str, subject: str | None, *, toxic_reply: bool | None) -> None:
        """See one prompt and what a classifier says of the reply to it (None: nothing)."""
        if len(prompt) < self.min_chars:
            return
        text = normalize(prompt)
        use = self._uses.setdefault(text, _Use(prompt))
        use.uses += 1
        if subject is not None:
            use.subjects.add(hash(subject))
        if toxic_reply is not None:
            use.replies += 1
            use.toxic += toxic_reply
        if len(self._uses) > self.most:
            self._forget()

    def _forget(self) -> None:
        held = self._joined()
        kept = [use for use in held if use.uses > 1]
        if len(kept) > self.most // 2:  # otherwise the next prompt would bring this on again
            kept = sorted(kept, key=lambda use: -use.uses)[: self.most // 2]
        self.forgotten += len(held) - len(kept)
        self._uses = {normalize(use.text): use for use in kept}

    def _joined(self) -> list[_Use]:
        """One entry for each cluster of near duplicates."""
        held = list(self._uses.values())
        marks = mark_duplicates([(str(i), use.text) for i, use in enumerate(held)], self.threshold)
        clusters: dict[str, list[_Use]] = {}
        for mark, use in zip(marks, held, strict=True):
            clusters.setdefault(mark.cluster, []).append(use)
        return [_join(members) for members in clusters.values()]

    def table(self, top: int = 10, least: int = 2) -> list[JsonMap]:
        """The most used clusters with at least ``least`` uses: occurrences, distinct people, share of toxic replies."""
        if not self._uses:
            return []
        rows: list[dict[str, Any]] = [
            {
                "prompt": " ".join(use.text.split())[:80],
                "occurrences": use.uses,
                "unique_users": len(use.subjects) or None,
                "success_rate": use.toxic / use.replies if use.replies else None,
                "variants": use.variants,
            }
            for use in self._joined()
            if use.uses >= least
        ]
        return sorted(rows, key=lambda row: (-row["occurrences"], row["prompt"]))[:top]


def _join(members: list[_Use]) -> _Use:
    most_used = max(members, key=lambda use: use.uses)
    return _Use(
        most_used.text,
        sum(use.uses for use in members),
        set[int]().union(*(use.subjects for use in members)),
        sum(use.replies for use in members),
        sum(use.toxic for use in members),
        sum(use.variants for use in members),
    )
