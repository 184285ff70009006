"""What each slice of a decoding schedule came to: kept, fresh, and the three means of the paper's Fig. 11.

Quality and difficulty are means of labels on the paper's scales of 1 to 5, where samples carry them; in the microcosm
the world itself says whether an instruction is well-posed and how hard it is. The distance is that of each instruction
to its nearest neighbor in the same slice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from agora.core.records import Sample, stable_id
from agora.core.tables import read_records
from agora.curate.scales import CATEGORY, DIFFICULTY, QUALITY
from agora.rooms.synthesize.distances import Distances
from agora.rooms.synthesize.threads import INSTRUCTIONS

MAX_FITTED = 5000  # texts that distances are weighed by
MAX_DISTANCES = 2000  # of a slice; the cost grows with the square


@dataclass(frozen=True, slots=True)
class SliceMeans:
    """One slice. Means are None where nothing was labeled; ``distance`` is over at most ``MAX_DISTANCES`` texts."""

    name: str
    drawn: int
    kept: int
    outcomes: dict[str, int]
    mean_tokens: float | None
    well_posed: float | None = None  # share of complete instructions that the microcosm understands
    quality: float | None = None
    difficulty: float | None = None
    distance: float | None = None
    labeled: int = 0

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


@dataclass(slots=True)
class _Slice:
    outcomes: Counter[str] = field(default_factory=Counter)
    tokens: list[int] = field(default_factory=list)
    quality: list[int] = field(default_factory=list)
    difficulty: list[int] = field(default_factory=list)
    understood: list[bool] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)  # (order, text)


def slice_means(
    samples: Iterable[Sample], *, world: bool = False, distances: Distances | None = None
) -> list[SliceMeans]:
    """The means of every slice, in order of appearance.

    Args:
        samples: drawn ones, kept or not; means are over complete instructions, duplicates included, because a setting
            that repeats itself should show it.
        world: ask the microcosm for quality and difficulty.
        distances: of each text to its nearest other text; None leaves the distance out.
    """
    found: dict[str, _Slice] = {}
    for sample in samples:
        one = found.setdefault(sample.slice, _Slice())
        one.outcomes["kept" if sample.kept else sample.reason or "unknown"] += 1
        tokens = sample.gen.get("completion_tokens")
        if tokens:
            one.tokens.append(int(tokens))
        if sample.finish_reason in ("error", "empty", "length"):
            continue
        _label(one, sample, world)
        one.texts.append((stable_id(sample.id), sample.instruction))
    return [_means(name, one, distances) for name, one in found.items()]


def _label(one: _Slice, sample: Sample, world: bool) -> None:
    quality = QUALITY.rank(label_of(sample.tags, "quality", "input_quality"))
    difficulty = DIFFICULTY.rank(label_of(sample.tags, "difficulty"))
    if world:
        from agora.microcosm.world import recognize

        exercise = recognize(sample.instruction)
        one.understood.append(exercise is not None)
        if exercise is not None and difficulty is None:
            difficulty = DIFFICULTY.rank(exercise.difficulty)
    if quality is not None:
        one.quality.append(quality)
    if difficulty is not None:
        one.difficulty.append(difficulty)


def label_of(tags: Mapping[str, Any], *names: str) -> str | None:
    """The first label there is of several names, whether its text stands alone or with its raw reply."""
    for name in names:
        value = tags.get(name)
        if isinstance(value, Mapping):
            value = value.get("value") if value.get("status", "ok") == "ok" else None
        if isinstance(value, str):
            return value
    return None


def _means(name: str, one: _Slice, distances: Distances | None) -> SliceMeans:
    texts = [text for _, text in sorted(one.texts)[:MAX_DISTANCES]]
    near = list(distances(texts)) if distances is not None and len(texts) > 1 else []
    return SliceMeans(
        name,
        one.outcomes.total(),
        one.outcomes["kept"],
        dict(one.outcomes.most_common()),
        _mean(one.tokens),
        _mean(one.understood),
        _mean(one.quality),
        _mean(one.difficulty),
        _mean(near),
        max(len(one.quality), len(one.difficulty)),
    )


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often the category found in a sample is the one its system prompt asked for."""

    category: str
    drawn: int
    labeled: int
    equal: int

    @property
    def share(self) -> float | None:
        """Of the labeled ones; None when none is."""
        return self.equal / self.labeled if self.labeled else None


def category_agreement(
    samples: Iterable[Sample], wanted: Mapping[str, str | None], *, world: bool = False
) -> list[Agreement]:
    """Per requested category, how many samples have it.

    Args:
        samples: drawn ones; those not kept are passed over.
        wanted: system key to requested category, of the labels' scale.
        world: ask the microcosm where a sample carries no ``task_category`` label.
    """
    counts: dict[str, list[int]] = {category: [0, 0, 0] for category in wanted.values() if category}
    for sample in samples:
        category = wanted.get(sample.gen.get("system_key") or "")
        if not sample.kept or category is None:
            continue
        found = label_of(sample.tags, "category", "task_category")
        if found is None and world:
            from agora.microcosm.world import recognize

            exercise = recognize(sample.instruction)
            found = exercise.category if exercise is not None else None
        counts[category][0] += 1
        counts[category][1] += found is not None
        counts[category][2] += found is not None and CATEGORY.match(found) == CATEGORY.match(category)
    return [Agreement(category, *numbers) for category, numbers in counts.items()]


def describe_file(path: Path) -> tuple[list[SliceMeans], list[Agreement]]:
    """The slices of a file of samples, or of a run's drawn ones, and how often a category is the requested one.

    What was requested is told by the system prompts: those of the library are known, those of a run by its settings.

    Raises:
        MissingError: no such file.
        DataError: it holds no samples.
    """
    from agora.rooms.synthesize.distances import nearest_distances
    from agora.rooms.synthesize.systems import domains

    file = path / INSTRUCTIONS if path.is_dir() else path
    samples = list(read_records(file, Sample))
    texts = [s.instruction for s in samples if s.kept][:MAX_FITTED]
    library = {domain.text: domain.category for domain in domains()}
    wanted: dict[str, str | None] = {}
    for sample in samples:
        prompt = sample.gen.get("system_prompt") or ""
        known = next((category for text, category in library.items() if prompt.startswith(text)), None)
        wanted[sample.gen.get("system_key") or ""] = known or CATEGORY.match(sample.gen.get("system_key"))
    world = any(str(sample.gen.get("model")).startswith("microcosm:") for sample in samples[:1])
    means = slice_means(samples, world=world, distances=nearest_distances(texts))
    return means, category_agreement(samples, wanted, world=world)
