"""Tell of every row of a file how far its nearest neighbor is and which rows repeat it; nothing is removed.

The fields are those of the Magpie data sets: the squared distance to the nearest row (``min_neighbor_distance`` there),
``repeat_count`` and the first of the rows that repeat each other (``min_similar_uuid`` there). Their mean distance says
how much a decoding temperature adds (arXiv:2406.08464, figure 11).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from agora.core.errors import UsageError
from agora.core.jobs import check_place
from agora.core.progress import progress
from agora.core.records import JsonMap
from agora.curate.curation import CurateReport, Curation, curate
from agora.curate.dedup import KEYS, key_text
from agora.curate.embeddings import find_embedder
from agora.curate.neighbors.search import EXACT_UP_TO, THRESHOLD, Neighbors
from agora.curate.rows import tag_of, with_tag
from agora.curate.write import beside


@dataclass(frozen=True, slots=True)
class NeighborSettings:
    """How neighbors are found.

    Args:
        threshold: rows of a smaller squared distance repeat each other, above 0 and up to 1.
        key: what is compared: ``first`` (user turn), ``user`` (all user turns) or ``all``.
        embedder: see :mod:`agora.curate.embeddings.embedder`.
        exact_up_to: rows up to which all pairs are compared.

    Raises:
        UsageError: a value is out of range.
    """

    threshold: float = THRESHOLD
    key: str = "first"
    embedder: str = "tfidf"
    exact_up_to: int = EXACT_UP_TO

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise UsageError(f"the threshold is a squared distance above 0 and up to 1, got {self.threshold:g}")
        if self.key not in KEYS:
            raise UsageError(f"{self.key!r} is no key", hint=f"--key takes {', '.join(KEYS)}")


def mark_neighbors_file(
    path: Path,
    out: Path,
    settings: NeighborSettings | None = None,
    *,
    format: str = "auto",
    work: Path | None = None,
    on: str = "local",
    workers: int | None = None,
) -> CurateReport:
    """Add ``nn_id``, ``nn_distance``, ``repeat_count`` and ``min_similar_id`` to the tag ``dedup`` of each row.

    Args:
        path: any readable file.
        out: the same rows with their tag.
        settings: how neighbors are found.
        format: of the input.
        work: folder for vectors and pairs; default: ``OUT.work`` beside the output.
        on: where the search runs, see :func:`agora.core.jobs.run_tasks`.
        workers: its processes.

    Raises:
        UsageError: a setting is out of range, or the output is the input.
        MissingError: the embedder's package is not installed.
    """
    from agora.curate.neighbors.of_texts import neighbors_of_texts

    settings = settings or NeighborSettings()
    check_place(on)
    find_embedder(settings.embedder)
    folder = Path(work) if work else beside(Path(out), "work")
    with curate(path, out, verb="neighbors", steps=[], config=asdict(settings), format=format) as curation:
        rows = [(str(row["id"]), key_text(row, settings.key)) for row in curation.rows()]
        if not rows:
            curation.write([])
        else:
            near = neighbors_of_texts(
                rows,
                folder,
                embedder=settings.embedder,
                pairs_from=max(0.5, min(0.9, 1 - settings.threshold / 2)),
                exact_up_to=settings.exact_up_to,
                on=on,
                workers=workers,
            )
            curation.write(_marked(curation, [name for name, _ in rows], near, settings))
    return curation.report


def _marked(curation: Curation, ids: list[str], near: Neighbors, settings: NeighborSettings) -> Iterator[JsonMap]:
    import numpy as np

    squared = np.maximum(2 - 2 * near.found.similarity.astype(float), 0)
    known = near.found.nearest >= 0
    repeats, first = near.repeats(settings.threshold), near.first_similar(settings.threshold)
    mean = float(squared[known].mean()) if known.any() else 0.0
    curation.facts["neighbors"] = {"embedder": settings.embedder, "mean_distance": mean, **near.to_json()}
    with progress(len(ids), "writing", "rows") as bar:
        for place, row in enumerate(curation.again()):
            bar.advance()
            tag = {
                "nn_id": ids[near.found.nearest[place]] if known[place] else None,
                "nn_distance": round(float(squared[place]), 6) if known[place] else None,
                "repeat_count": int(repeats[place]),
                "min_similar_id": ids[first[place]] if first[place] >= 0 else None,
                "embedder": settings.embedder,
            }
            yield with_tag(row, "dedup", (tag_of(row, "dedup") or {}) | tag)
