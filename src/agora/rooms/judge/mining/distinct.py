"""Which candidates stay: no duplicates, none close in meaning, the last of each user."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from agora.core.errors import DataError
from agora.curate.duplicates import mark_duplicates
from agora.rooms.judge.mining.read import Candidate

if TYPE_CHECKING:
    import numpy as np

    from agora.curate.minhash import Signatures

Embed = Callable[[Sequence[str]], Sequence[Sequence[float]]]
_BLOCK = 1024


class Lost(NamedTuple):
    """A candidate that goes, why, and what is worth knowing beside (which one stays, how alike they are)."""

    candidate: Candidate
    reason: str
    detail: dict[str, Any]


class Split(NamedTuple):
    """Those who stay, in the order of the log, and those who go."""

    kept: list[Candidate]
    lost: list[Lost]


def drop_duplicates(candidates: Sequence[Candidate], signed: Signatures, threshold: float) -> Split:
    """Of requests that are alike the first of the log stays.

    Args:
        signed: signatures of the candidates' texts, in their order.
        threshold: least Jaccard similarity of character 5-grams of near duplicates.
    """
    rows = [(str(i), c.text) for i, c in enumerate(candidates)]
    marks = mark_duplicates(rows, threshold, priority=range(0, -len(rows), -1), signed=signed)
    kept, lost = [], []
    for candidate, mark in zip(candidates, marks, strict=True):
        if mark.kept:
            kept.append(candidate)
            continue
        keeper = candidates[int(mark.keeper)]
        same = candidate.line == keeper.line and candidate.task == keeper.task
        reason = "the same turns on another path" if same else f"{mark.kind} duplicate"
        detail = {"like": keeper.task, "like_line": keeper.line, "similarity": round(1.0 - mark.distance, 4)}
        lost.append(Lost(candidate, reason, detail))
    return Split(kept, lost)


def drop_close(candidates: Sequence[Candidate], embed: Embed, cosine: float) -> Split:
    """Drop requests whose vector has a cosine above ``cosine`` with that of one that stays; the first of the log stays.

    Takes time in the square of the number of candidates: about 2 s for 10,000 of 384 dimensions on two cores.

    Args:
        embed: one vector a text.

    Raises:
        DataError: the embedder gave another number of vectors, or vectors of different lengths.
    """
    if not candidates:
        return Split([], [])
    vectors = unit_vectors(embed([c.text for c in candidates]), len(candidates))
    kept_rows: list[int] = []
    lost: list[Lost] = []
    for start in range(0, len(candidates), _BLOCK):
        block = vectors[start : start + _BLOCK]
        before = list(kept_rows)
        best, where = _nearest(block, vectors[before])
        within = block @ block.T
        for i in range(len(block)):
            row = start + i
            own = [k for k in kept_rows[len(before) :] if within[i, k - start] > best[i]]
            if own:
                nearest = max(own, key=lambda k: float(within[i, k - start]))
                similarity = float(within[i, nearest - start])
            else:
                similarity = float(best[i])
                nearest = before[int(where[i])] if before else -1
            if nearest >= 0 and similarity > cosine:
                keeper = candidates[nearest]
                detail = {"like": keeper.task, "like_line": keeper.line, "cosine": round(similarity, 4)}
                lost.append(Lost(candidates[row], "close in meaning", detail))
            else:
                kept_rows.append(row)
    return Split([candidates[row] for row in kept_rows], lost)


def _nearest(block: np.ndarray, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The highest cosine of each row with a kept one, and which that is; -1 where none is kept yet."""
    import numpy as np

    if not len(kept):
        return np.full(len(block), -1.0, dtype=np.float32), np.zeros(len(block), dtype=np.int64)
    cosines = block @ kept.T
    where = cosines.argmax(axis=1)
    return cosines[np.arange(len(block)), where], where


def unit_vectors(vectors: Sequence[Sequence[float]], expected: int) -> np.ndarray:
    """An embedder's vectors as rows of length one; a vector of zeros stays.

    Raises:
        DataError: another number of vectors than ``expected``, or vectors of different lengths.
    """
    import numpy as np

    try:
        found = np.asarray(vectors, dtype=np.float32)
    except ValueError:
        raise DataError("the embedder gave vectors of different lengths") from None
    if found.ndim != 2 or len(found) != expected:
        raise DataError(f"the embedder gave {len(found)} vectors for {expected} texts")
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    return found / np.where(lengths > 0, lengths, 1.0)


def last_of_each_user(candidates: Sequence[Candidate]) -> Split:
    """The last conversation of each user; a candidate without a user stays. Equal times: the later line is the last."""
    last: dict[str, tuple[str, int, int]] = {}
    for candidate in candidates:
        if candidate.user is not None:
            at = (candidate.created, candidate.line, candidate.leaf)
            last[candidate.user] = max(last.get(candidate.user, at), at)
    kept, lost = [], []
    for candidate in candidates:
        at = (candidate.created, candidate.line, candidate.leaf)
        if candidate.user is None or last[candidate.user] == at:
            kept.append(candidate)
        else:
            lost.append(Lost(candidate, "not the last of its user", {"last_line": last[candidate.user][1]}))
    return Split(kept, lost)
