"""Prompts that a test asks: found by equal text and by shared runs of words, removed and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Literal, NamedTuple

from agora.core.records import JsonMap, PreferencePair
from agora.curate.contamination import NgramIndex

NGRAM_WORDS = 8
_EXAMPLES = 20


class Hit(NamedTuple):
    """A training prompt and the test text that it meets; ``shared`` is the run of words, or the whole text."""

    pair_id: str
    test: str
    kind: Literal["exact", "ngram"]
    shared: str


class Decontaminated(NamedTuple):
    """The pairs whose prompts no test asks; how many were removed, by kind; the first of the removed."""

    pairs: list[PreferencePair]
    removed: Counter[str]
    hits: list[Hit]

    def to_json(self) -> JsonMap:
        """Counts and examples, without the pairs."""
        return {"removed": dict(self.removed), "examples": [hit._asdict() for hit in self.hits]}


def decontaminate(pairs: Iterable[PreferencePair], tests: NgramIndex) -> Decontaminated:
    """Remove the pairs in which a user turn is, or shares a run of words with, a text of a test."""
    pairs = list(pairs)
    asked = [
        [m.content for side in (pair.prompt, pair.chosen, pair.rejected) for m in side if m.role == "user"]
        for pair in pairs
    ]
    met = tests.meet_each(text for texts in asked for text in texts)
    kept: list[PreferencePair] = []
    removed: Counter[str] = Counter()
    hits: list[Hit] = []
    for pair, texts in zip(pairs, asked, strict=True):
        overlap = next((o for found in list(islice(met, len(texts))) for o in found), None)
        if overlap is None:
            kept.append(pair)
            continue
        hit = Hit(pair.id, overlap.test, overlap.kind, overlap.shared)
        removed[f"{'equals' if hit.kind == 'exact' else f'{tests.n} words of'} {hit.test.rpartition(':')[0]}"] += 1
        if len(hits) < _EXAMPLES:
            hits.append(hit)
    return Decontaminated(kept, removed, hits)
