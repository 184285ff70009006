"""Remove duplicates from a file in up to three layers; every removed row stays on record with its keeper.

``exact``: equal after normalizing. ``surface``: character 5-grams alike (MinHash, verified). ``semantic``: vectors near
each other (squared distance). Each layer looks at what the one before left. Rows are preferred by quality, then reward,
then id (that of the source where it has one); a row stays unless it is a duplicate of one that stays, so nothing is
lost along chains and the file's order does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from agora.core.errors import UsageError
from agora.core.jobs import check_place
from agora.core.progress import progress
from agora.core.records import JsonMap
from agora.curate.curation import CurateReport, Curation, curate
from agora.curate.duplicates import mark_duplicates
from agora.curate.embeddings import find_embedder
from agora.curate.expressions.fields import spec_of
from agora.curate.neighbors.search import EXACT_UP_TO, PAIRS_FROM, THRESHOLD, similarity_of
from agora.curate.row_parts import is_shared
from agora.curate.rows import instruction_of, user_turns, with_tag
from agora.curate.scales import SCALES
from agora.curate.signing import signatures_apart
from agora.curate.text import normalize
from agora.curate.write import beside

if TYPE_CHECKING:
    import numpy as np

Layer = Literal["exact", "surface", "semantic"]
Key = Literal["first", "user", "all"]
LAYERS: tuple[str, ...] = get_args(Layer)
KEYS: tuple[str, ...] = get_args(Key)
_STEPS = {layer: f"no {layer} duplicate" for layer in LAYERS}
_REASONS = {layer: f"{layer} duplicate" for layer in LAYERS}


@dataclass(frozen=True, slots=True)
class DedupSettings:
    """What decides which rows stay.

    Args:
        by: layers, in this order: exact, surface, semantic.
        surface: least Jaccard similarity of character 5-grams, 0.5 to 1.
        semantic: squared distances of unit vectors below this are duplicates, above 0 and up to 1.
        key: what is compared: the first user turn, all user turns, or the whole conversation.
        embedder: see :mod:`agora.curate.embeddings.embedder`.
        pairs_from: least cosine similarity of the pairs that are kept on disk, 0.5 to 1.
        exact_up_to: rows up to which all pairs are compared.

    Raises:
        UsageError: a value is out of range.
    """

    by: tuple[str, ...] = ("exact", "surface")
    surface: float = 0.6
    semantic: float = THRESHOLD
    key: str = "first"
    embedder: str = "tfidf"
    pairs_from: float = PAIRS_FROM
    exact_up_to: int = EXACT_UP_TO

    def __post_init__(self) -> None:
        unknown = [name for name in self.by if name not in LAYERS]
        if unknown or not self.by or len(set(self.by)) != len(self.by):
            said = f"{unknown[0]!r} is no layer" if unknown else "name each layer once"
            raise UsageError(said, hint=f"--by takes {', '.join(LAYERS)}")
        if self.key not in KEYS:
            raise UsageError(f"{self.key!r} is no key", hint=f"--key takes {', '.join(KEYS)}")
        if not 0 < self.semantic <= 1:
            raise UsageError(f"the semantic threshold is a squared distance above 0 and up to 1, got {self.semantic:g}")
        if not 0.5 <= self.surface <= 1:
            raise UsageError(f"the surface threshold is a similarity of 0.5 to 1, got {self.surface:g}")

    @property
    def layers(self) -> list[str]:
        """The layers in the order in which they are applied."""
        return [layer for layer in LAYERS if layer in self.by]

    @property
    def thresholds(self) -> JsonMap:
        """The thresholds of the layers that have one."""
        return {name: getattr(self, name) for name in ("surface", "semantic") if name in self.by}


def dedup_file(
    path: Path,
    out: Path,
    settings: DedupSettings | None = None,
    *,
    format: str = "auto",
    work: Path | None = None,
    on: str = "local",
    workers: int | None = None,
) -> CurateReport:
    """Remove duplicates from a file.

    Kept rows get the tag ``dedup``: keeper and cluster (rows linked by duplicates), how many duplicates they have. The
    removed rows lie in the reject file with the same tag, where ``nn_id`` and ``nn_distance`` name the row that the
    layer found them to repeat: 1 - Jaccard similarity (surface), squared distance (semantic), 0 (exact). For kept rows
    they name the nearest row that the semantic layer compared them with.

    Args:
        path: any readable file.
        out: the rows that stay.
        settings: layers and thresholds.
        format: of the input.
        work: folder for vectors and pairs of the semantic layer, kept so that a threshold can be changed without
            computing them again; default: ``OUT.work`` beside the output.
        on: where signatures (surface) and the semantic layer are computed, see :func:`agora.core.jobs.run_tasks`.
        workers: processes for both; without a number the surface layer signs in this one.

    Raises:
        UsageError: a setting is out of range, or the output is the input.
        MissingError: the embedder's package is not installed.
    """
    settings = settings or DedupSettings()
    check_place(on)
    if "semantic" in settings.by:
        find_embedder(settings.embedder)
    folder = Path(work) if work else beside(Path(out), "work")
    steps = [_STEPS[layer] for layer in settings.layers]
    with curate(path, out, verb="dedup", steps=steps, config=asdict(settings), format=format) as curation:
        table = _read(curation, settings.key)
        marks = _Marks(table)
        for layer in settings.layers:
            _apply(layer, marks, settings, folder, curation.facts, on, workers)
        curation.facts["clusters"] = marks.n_clusters
        curation.write(_kept(curation, marks, settings))
    return curation.report


class _Table(NamedTuple):
    """What is compared, and the row numbers in the order of preference."""

    ids: list[str]
    texts: list[str]
    order: np.ndarray


def key_text(row: JsonMap, key: str) -> str:
    """The text by which a row is compared."""
    if key == "first":
        return instruction_of(row)
    turns = user_turns(row) if key == "user" else [str(message["content"]) for message in row["messages"]]
    return "\n".join(turns)


def _read(curation: Curation, key: str) -> _Table:
    import numpy as np

    ids: list[str] = []
    texts: list[str] = []
    quality: list[float] = []
    reward: list[float] = []
    own: list[str] = []
    quality_of, reward_of = spec_of("quality").get, spec_of("reward").get
    with progress(None, "reading", "rows") as bar:
        for row in curation.rows():
            ids.append(str(row["id"]))
            own.append(str((row.get("provenance") or {}).get("source_id") or row["id"]))
            texts.append(normalize(key_text(row, key)))
            quality.append(SCALES["quality"].rank(quality_of(row)) or 0)
            reward.append(_number(reward_of(row)))
            bar.advance()
    # equal ids: still not the order of the file
    by_text = sorted(range(len(ids)), key=lambda i: (own[i], ids[i], texts[i]))
    place = np.empty(len(ids), dtype=np.int64)
    place[by_text] = np.arange(len(ids))
    return _Table(ids, texts, np.lexsort((place, -np.array(reward), -np.array(quality))))


def _number(value: object) -> float:
    """A score for ordering; what is missing or not finite comes last."""
    number = float(value) if isinstance(value, int | float) else float("-inf")
    return number if number == number else float("-inf")


class _Marks:
    """What became of each row so far: layers are applied one after another to the rows that are left."""

    def __init__(self, table: _Table) -> None:
        import numpy as np

        n = len(table.ids)
        self.table = table
        self.left = table.order  # row numbers, those to be preferred first
        self.keeper = np.arange(n)
        self.cluster = np.arange(n)
        # the row that the layer found this one to repeat; of a row that stays the nearest one in meaning, -1 if unknown
        self.repeats = np.full(n, -1)
        self.distance = np.zeros(n)
        self.layer = np.zeros(n, dtype=np.int8)  # 0 for a row that stays, else 1 + the number in LAYERS

    def apply(self, layer: str, keeper: np.ndarray, distance: np.ndarray, cluster: np.ndarray) -> None:
        """Take in a layer's outcome; all three arrays are over ``left``, keepers and clusters as places in it."""
        import numpy as np

        removed = keeper != np.arange(len(self.left))
        gone = self.left[removed]
        self.repeats[gone] = self.left[keeper[removed]]
        self.distance[gone] = distance[removed]
        self.layer[gone] = 1 + LAYERS.index(layer)
        step, group = np.arange(len(self.keeper)), np.arange(len(self.keeper))
        step[self.left] = self.left[keeper]
        group[self.left] = self.left[cluster]
        self.keeper, self.cluster = step[self.keeper], group[self.cluster]
        self.left = self.left[~removed]

    @property
    def n_clusters(self) -> int:
        """Groups of rows linked by duplicates, single rows included."""
        import numpy as np

        return len(np.unique(self.cluster))


def _apply(
    layer: str, marks: _Marks, settings: DedupSettings, folder: Path, facts: JsonMap, on: str, workers: int | None
) -> None:
    import numpy as np

    texts = [marks.table.texts[i] for i in marks.left]
    if not texts:
        return
    if layer == "exact":
        first: dict[str, int] = {}
        keeper = np.array([first.setdefault(text, place) for place, text in enumerate(texts)])
        marks.apply(layer, keeper, np.zeros(len(keeper)), keeper)
    elif layer == "surface":
        # signing alone can be shared out: who repeats whom is decided in the order of preference
        found = mark_duplicates(
            [(str(place), text) for place, text in enumerate(texts)],
            settings.surface,
            priority=range(len(texts), 0, -1),
            signed=signatures_apart(texts, folder / "signatures", on=on, workers=workers)
            if is_shared(on, workers)
            else None,
        )
        keeper, cluster = (np.array([int(getattr(m, name)) for m in found]) for name in ("keeper", "cluster"))
        marks.apply(layer, keeper, np.array([m.distance for m in found]), cluster)
    else:
        _by_meaning(texts, marks, settings, folder, facts, on, workers)


def _by_meaning(
    texts: Sequence[str],
    marks: _Marks,
    settings: DedupSettings,
    folder: Path,
    facts: JsonMap,
    on: str,
    workers: int | None,
) -> None:
    import numpy as np

    from agora.curate.neighbors import keep_leaders
    from agora.curate.neighbors.of_texts import neighbors_of_texts

    above = similarity_of(settings.semantic)
    near = neighbors_of_texts(
        ((marks.table.ids[i], text) for i, text in zip(marks.left, texts, strict=True)),
        folder,
        embedder=settings.embedder,
        pairs_from=min(settings.pairs_from, above),
        exact_up_to=settings.exact_up_to,
        on=on,
        workers=workers,
    )
    facts["neighbors"] = {"embedder": settings.embedder, "folder": str(near.folder), **near.to_json()}
    pairs = near.found.a, near.found.b, near.found.pair_similarity
    known = np.flatnonzero(near.found.nearest >= 0)
    marks.repeats[marks.left[known]] = marks.left[near.found.nearest[known]]
    marks.distance[marks.left[known]] = np.maximum(2 - 2 * near.found.similarity[known].astype(float), 0)
    kept = keep_leaders(len(texts), np.arange(len(texts)), *pairs, above)
    marks.apply("semantic", kept.keeper, np.maximum(2 - 2 * kept.similarity.astype(float), 0), kept.cluster)


def _kept(curation: Curation, marks: _Marks, settings: DedupSettings) -> Iterator[JsonMap]:
    import numpy as np

    ids = marks.table.ids
    sizes = np.bincount(marks.cluster, minlength=len(ids))
    with progress(len(ids), "writing", "rows") as bar:
        for place, row in enumerate(curation.again()):
            bar.advance()
            layer, repeats = int(marks.layer[place]), int(marks.repeats[place])
            row = with_tag(
                row,
                "dedup",
                {
                    "keeper_id": ids[marks.keeper[place]],
                    "cluster_id": ids[marks.cluster[place]],
                    "count": int(sizes[marks.cluster[place]]) - 1,
                    "nn_id": ids[repeats] if repeats >= 0 else None,
                    "nn_distance": round(float(marks.distance[place]), 6) if repeats >= 0 else None,
                    "method": LAYERS[layer - 1] if layer else ",".join(settings.layers),
                    "threshold": settings.thresholds,
                },
            )
            if not layer:
                yield row
                continue
            name = LAYERS[layer - 1]
            detail = f"of {ids[repeats]} at distance {marks.distance[place]:.4f}; {ids[marks.keeper[place]]} stays"
            curation.drop(row, _STEPS[name], _REASONS[name], detail=detail)
