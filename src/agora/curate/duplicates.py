"""Exact and near duplicates among texts: which row stays, which rows stand behind it, and how far they are.

Exact means equal after :func:`agora.curate.text.normalize`; near means a Jaccard similarity of character 5-grams of at
least the threshold, found by MinHash and verified exactly, so there are no false pairs. Rows are taken in a fixed order
(higher priority first, then id); a row stays unless it is a duplicate of one that stays. In a chain A~B~C where A and C
differ, A and C stay. The outcome does not depend on the order of the rows in the file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Literal, NamedTuple

from agora.core.errors import DataError, UsageError
from agora.curate.minhash import (
    BANDS,
    ROWS_PER_BAND,
    WIDE_FROM,
    BandIndex,
    ShingleSets,
    Signatures,
    low_bytes,
    promising,
    signatures,
    sketch_of,
    wide_keys,
)
from agora.curate.text import normalize

if TYPE_CHECKING:
    import numpy as np


class Pair(NamedTuple):
    """Two row positions (``a < b``) and their Jaccard similarity."""

    a: int
    b: int
    similarity: float


class Match(NamedTuple):
    """The kept text that a new one repeats, and their Jaccard similarity (1.0 and exact when the texts are equal)."""

    id: str
    similarity: float
    exact: bool


@dataclass(frozen=True, slots=True)
class DuplicateMark:
    """What became of one row.

    ``keeper`` is the row that stands for it (itself when kept), ``cluster`` the first row of its connected component,
    ``distance`` 1 - Jaccard similarity to the keeper.
    """

    id: str
    keeper: str
    cluster: str
    distance: float
    kind: Literal["kept", "exact", "near"]

    @property
    def kept(self) -> bool:
        """True when this row stays."""
        return self.kind == "kept"


def _check_threshold(threshold: float) -> None:
    if not 0.5 <= threshold <= 1.0:
        raise UsageError(
            f"threshold must be between 0.5 and 1, got {threshold}",
            hint="below 0.5 the index misses too many pairs to be trusted",
        )


def mark_duplicates(
    rows: Sequence[tuple[str, str]],
    threshold: float = 0.6,
    *,
    priority: Sequence[float] | None = None,
    signed: Signatures | None = None,
) -> list[DuplicateMark]:
    """Mark every row as kept, an exact duplicate or a near duplicate; marks come in the order of the rows.

    Args:
        rows: ``(id, text)``; ids should be distinct.
        threshold: least Jaccard similarity of near duplicates, 0.5 to 1.
        priority: one number per row; of two duplicates the higher stays. Ties go to the smaller id, then text.
        signed: the signatures of the rows, in their order, where other processes made them; the texts of the rows are
            in normal form then.

    Raises:
        UsageError: threshold out of range.
        DataError: ``priority`` has another length than ``rows``, or holds something that is not a number.
    """
    _check_threshold(threshold)
    texts = [normalize(text) for _, text in rows] if signed is None else [text for _, text in rows]
    order = _row_order(rows, texts, priority)
    first_with: dict[str, int] = {}
    for row in order:
        first_with.setdefault(texts[row], row)
    heads = list(first_with.values())  # one row per distinct text, in order
    made = None if signed is None else Signatures(signed.keys[heads], signed.low[heads])
    clusters = _Clusters([texts[row] for row in heads], threshold, made)
    head_of = {text: head for head, text in enumerate(first_with)}
    marks = []
    for row, (row_id, _) in enumerate(rows):
        head = head_of[texts[row]]
        keeper = clusters.keeper[head]
        kind: Literal["kept", "exact", "near"] = "near" if keeper != head else "exact"
        if heads[keeper] == row:
            kind = "kept"
        cluster = rows[heads[clusters.first(head)]][0]
        marks.append(DuplicateMark(row_id, rows[heads[keeper]][0], cluster, 1.0 - clusters.similarity[head], kind))
    return marks


def _row_order(rows: Sequence[tuple[str, str]], texts: Sequence[str], priority: Sequence[float] | None) -> list[int]:
    if priority is None:
        return sorted(range(len(rows)), key=lambda i: (rows[i][0], texts[i], rows[i][1]))
    if len(priority) != len(rows):
        raise DataError(f"priority has {len(priority)} numbers for {len(rows)} rows")
    for i, value in enumerate(priority):
        if value != value:  # a NaN compares with nothing, so the order would depend on the file's
            raise DataError("priority is not a number", where=rows[i][0])
    return sorted(range(len(rows)), key=lambda i: (-priority[i], rows[i][0], texts[i], rows[i][1]))


def _alike(
    text: int, others: Collection[int], sets: ShingleSets, low: np.ndarray, threshold: float
) -> Iterator[tuple[int, float]]:
    """Those of ``others`` within the threshold of ``text``, ascending, with their similarity."""
    import numpy as np

    if others:
        candidates = np.fromiter(others, dtype=np.int64, count=len(others))
        if likely := promising(low, text, candidates, threshold).tolist():
            yield from sets.alike(text, likely, threshold)


class _Clusters:
    """Keepers and connected components of distinct texts given in keeping order."""

    def __init__(self, texts: Sequence[str], threshold: float, signed: Signatures | None = None) -> None:
        self._threshold = threshold
        self._sets = ShingleSets(texts)
        keys, self._low = signatures(texts) if signed is None else signed
        if threshold >= WIDE_FROM:
            keys = wide_keys(self._low)
        self._parent = list(range(len(texts)))
        self.keeper = list(range(len(texts)))
        self.similarity = [1.0] * len(texts)
        groups = _shared_keys(keys)
        del keys  # of a million texts they are a quarter of a gigabyte
        self._keep_or_drop(groups)
        self._join_dropped(groups)

    def first(self, text: int) -> int:
        """The first text of the component."""
        while self._parent[text] != text:
            self._parent[text] = self._parent[self._parent[text]]
            text = self._parent[text]
        return text

    def _join(self, a: int, b: int) -> None:
        low, high = sorted((self.first(a), self.first(b)))
        self._parent[high] = low

    def _alike(self, text: int, others: Collection[int]) -> Iterator[tuple[int, float]]:
        return _alike(text, others, self._sets, self._low, self._threshold)

    def _keep_or_drop(self, groups: np.ndarray) -> None:
        """Greedy in order: a text within the threshold of kept ones goes to the nearest of them."""
        import numpy as np

        kept_in: defaultdict[int, list[int]] = defaultdict(list)
        for text in np.flatnonzero(groups.any(axis=1)).tolist():  # the others meet nobody
            keys = [g for g in groups[text].tolist() if g]
            for other, similarity in self._alike(text, {c for g in keys for c in kept_in.get(g, ())}):
                self._join(text, other)
                if self.keeper[text] == text or similarity > self.similarity[text]:
                    self.keeper[text], self.similarity[text] = other, similarity
            if self.keeper[text] == text:
                for g in keys:
                    kept_in[g].append(text)

    def _join_dropped(self, groups: np.ndarray) -> None:
        """Links through dropped texts, which the greedy pass does not compare with each other."""
        import numpy as np

        roots = np.array([self.first(t) for t in range(len(self._parent))])
        seen: set[tuple[int, int]] = set()
        for members in _members(groups, roots):
            for text, later in ((m, members[i + 1 :]) for i, m in enumerate(members)):
                others = [o for o in later if self._may_join(text, o) and (text, o) not in seen]
                seen.update((text, o) for o in others)
                for other, _ in self._alike(text, others):
                    self._join(text, other)

    def _may_join(self, a: int, b: int) -> bool:
        # two kept texts were compared already
        both_kept = self.keeper[a] == a and self.keeper[b] == b
        return not both_kept and self.first(a) != self.first(b)


def _shared_keys(keys: np.ndarray) -> np.ndarray:
    """Small numbers from 1 for the keys that several texts share, 0 for the others."""
    import numpy as np

    # each group has at least two keys, so their numbers fit into 32 bits up to four thousand million keys
    groups = np.zeros(keys.shape, dtype=np.int32 if keys.size < 1 << 32 else np.int64)
    given = 0
    for band in range(keys.shape[1]):  # no key is in two bands, and sorting one at a time needs little memory
        _, inverse, counts = np.unique(keys[:, band], return_inverse=True, return_counts=True)
        shared = counts > 1
        groups[:, band] = np.where(shared, given + np.cumsum(shared), 0)[inverse]
        given += int(shared.sum())
    return groups


def _members(groups: np.ndarray, roots: np.ndarray | None = None) -> Iterator[list[int]]:
    """The texts of each shared key, ascending; with ``roots``, of the keys whose texts have several roots."""
    import numpy as np

    flat = groups.ravel()
    places = np.flatnonzero(flat)
    if not len(places):
        return
    order = np.argsort(flat[places], kind="stable")
    places = places[order]
    del order
    starts = np.flatnonzero(np.diff(flat[places], prepend=0))
    ends = np.append(starts[1:], len(places))
    texts = (places // groups.shape[1]).astype(np.int32 if len(groups) < 1 << 31 else np.int64)
    del places
    if roots is not None:
        mixed = np.minimum.reduceat(roots[texts], starts) != np.maximum.reduceat(roots[texts], starts)
        starts, ends = starts[mixed], ends[mixed]
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        yield texts[start:end].tolist()


def similar_pairs(texts: Sequence[str], threshold: float = 0.6) -> list[Pair]:
    """All pairs of rows at or above the threshold, equal texts included, ascending.

    The number of pairs grows with the square of a cluster's size: to drop duplicates use :func:`mark_duplicates`.

    Args:
        texts: as they are; they are normalized here.
        threshold: least Jaccard similarity, 0.5 to 1.

    Raises:
        UsageError: threshold out of range.
    """
    _check_threshold(threshold)
    sets = ShingleSets(normalize(t) for t in texts)
    met: defaultdict[int, list[int]] = defaultdict(list)
    for a, b in sorted(candidate_pairs(texts)):
        met[a].append(b)
    return [Pair(a, b, similarity) for a, others in met.items() for b, similarity in sets.alike(a, others, threshold)]


def candidate_pairs(texts: Sequence[str]) -> set[tuple[int, int]]:
    """The pairs of rows that share a band key: what :func:`similar_pairs` verifies."""
    groups = _shared_keys(signatures([normalize(t) for t in texts]).keys)
    return {pair for members in _members(groups) for pair in combinations(members, 2)}


class OnlineDuplicates:
    """Duplicates among texts that arrive one by one: the first to come stays.

    Gives what :func:`mark_duplicates` gives when the priority is the order of arrival.

    Args:
        threshold: least Jaccard similarity of near duplicates, 0.5 to 1.

    Raises:
        UsageError: threshold out of range.
    """

    def __init__(self, threshold: float = 0.6) -> None:
        import numpy as np

        _check_threshold(threshold)
        self._threshold = threshold
        self._sets = ShingleSets()
        self._ids: list[str] = []
        self._by_text: dict[str, str] = {}
        self._low = np.empty((64, BANDS * ROWS_PER_BAND), dtype=np.uint8)  # grows; one row per kept text
        self._kept = BandIndex()

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, id: str, text: str) -> Match | None:
        """Take a text in, unless it repeats one that was taken before: then the nearest of those is returned."""
        text = normalize(text)
        if text in self._by_text:
            return Match(self._by_text[text], 1.0, True)
        sketch = sketch_of(text)
        index = self._sets.append(text)
        self._put_low(index, low_bytes(sketch))
        found = self._nearest(index, self._kept.meet(sketch))
        if found:
            self._sets.pop()
            return found
        self._ids.append(id)
        self._by_text[text] = id
        self._kept.add(index, sketch)
        return None

    def find(self, text: str) -> Match | None:
        """The nearest text within the threshold that was taken before; this one is not taken."""
        text = normalize(text)
        if text in self._by_text:
            return Match(self._by_text[text], 1.0, True)
        sketch = sketch_of(text)
        met = self._kept.meet(sketch)
        if not met:
            return None
        index = self._sets.append(text)
        self._put_low(index, low_bytes(sketch))
        found = self._nearest(index, met)
        self._sets.pop()
        return found

    def _nearest(self, index: int, met: Sequence[int]) -> Match | None:
        """The nearest of some kept texts, if it is within the threshold."""
        found = list(_alike(index, met, self._sets, self._low, self._threshold))
        if not found:
            return None
        other, similarity = max(found, key=lambda f: (f[1], -f[0]))
        return Match(self._ids[other], similarity, False)

    def _put_low(self, index: int, low: bytes) -> None:
        import numpy as np

        if index == len(self._low):
            self._low = np.concatenate([self._low, np.empty_like(self._low)])
        self._low[index] = np.frombuffer(low, dtype=np.uint8)
