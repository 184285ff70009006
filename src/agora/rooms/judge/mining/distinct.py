"""Which candidates stay: no duplicates, none close in meaning, the last of each user."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from agora.curate.duplicates import mark_duplicates
from agora.rooms.judge.mining.read import Candidate

if TYPE_CHECKING:
    from agora.curate.embeddings import EmbedderSpec
    from agora.curate.minhash import Signatures


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


def drop_close(
    candidates: Sequence[Candidate], embedder: EmbedderSpec, cosine: float, folder: Path, *, workers: int | None = None
) -> Split:
    """Drop requests whose vector has a cosine above ``cosine`` with that of one that stays; the first of the log stays.

    Args:
        embedder: what :func:`agora.curate.embeddings.find_embedder` gave.
        folder: for vectors and pairs; what is there is not computed again.
        workers: processes; None for one a CPU.
    """
    if len(candidates) < 2:
        return Split(list(candidates), [])
    import numpy as np

    from agora.curate.embeddings import embed_texts, write_texts
    from agora.curate.neighbors import find_neighbors, keep_leaders

    texts = folder / "requests.jsonl"
    write_texts(texts, ((c.task, c.text) for c in candidates))
    store = embed_texts(texts, embedder, folder, workers=workers)
    near = find_neighbors(store, folder, pairs_from=max(cosine, 0.5), workers=workers).found
    order = np.arange(len(candidates))
    keepers = keep_leaders(len(candidates), order, near.a, near.b, near.pair_similarity, cosine)
    kept, lost = [], []
    for i, (candidate, keeper) in enumerate(zip(candidates, keepers.keeper.tolist(), strict=True)):
        if keeper == i:
            kept.append(candidate)
        else:
            like = candidates[keeper]
            detail = {"like": like.task, "like_line": like.line, "cosine": round(float(keepers.similarity[i]), 4)}
            lost.append(Lost(candidate, "close in meaning", detail))
    return Split(kept, lost)


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
