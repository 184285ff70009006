"""Several sources made one: so many rows of each by a rule, drawn without replacement and shuffled once."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import Field, field_validator, model_validator

from agora.core.config import Config
from agora.core.errors import ConfigError, DataError
from agora.core.jsonl import Rejects
from agora.core.progress import progress
from agora.core.records import JsonMap, PreferencePair
from agora.curate.contamination import NgramIndex
from agora.curate.pairs.decontaminate import Hit, decontaminate
from agora.curate.pairs.formats import PAIR_FORMATS
from agora.curate.pairs.lengths import LengthLimit, drop_long
from agora.curate.pairs.read import ReadTally, read_pairs
from agora.curate.pairs.repeats import find_repeats
from agora.curate.pairs.rules import PairRule, parse_rule
from agora.curate.sources import HUB, source_name


class MixSource(Config):
    """One source of a mix.

    Args:
        path: a file, folder or ``hub:OWNER/NAME``.
        name: in counts and provenance; default: the file's name.
        format, rule, label_kind, merge_turns, trust_labels: as in :func:`agora.curate.pairs.read.read_pairs`.
        rows: exactly so many pairs; fewer in the source is an error. Not with ``fraction``.
        fraction: this share of the pairs, in (0, 1].
        cap: at most so many pairs.
        limit: at most so many rows are read, from the start; for a first look.
        seed: of the draw; default: the mix's.
        only, exclude: keep or leave out the pairs whose row names such an origin (``evol_instruct``, ...).
    """

    path: str
    name: str = ""
    format: str = "auto"
    rule: PairRule | None = None
    rows: int | None = Field(None, ge=1)
    fraction: float | None = Field(None, gt=0, le=1)
    cap: int | None = Field(None, ge=1)
    limit: int | None = Field(None, ge=1)
    seed: int | None = None
    only: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    label_kind: Literal["human", "ai", "votes", "rule"] | None = None
    merge_turns: bool = False
    trust_labels: bool = False

    @field_validator("rule", mode="before")
    @classmethod
    def _read_rule(cls, value: object) -> object:
        """A rule may be written as one line: ``best_vs_worst,score=mean``."""
        try:
            return parse_rule(value) if isinstance(value, str) else value
        except ConfigError as error:
            raise ValueError(error.what) from None

    @model_validator(mode="after")
    def _one_size(self) -> MixSource:
        if self.rows is not None and (self.fraction is not None or self.cap is not None):
            raise ValueError("give rows, or fraction and cap, not both")
        return self

    @property
    def called(self) -> str:
        """The name in counts."""
        return self.name or source_name(Path(self.path))


class MixRecipe(Config):
    """A whole mix, as a YAML file holds it; paths are relative to that file."""

    sources: tuple[MixSource, ...] = Field(min_length=1)
    seed: int = 42
    cap: int | None = Field(None, ge=1)


@dataclass(frozen=True, slots=True)
class MixPart:
    """What one source gave: pairs read, those that were too long or of another origin, drawn, and in the result."""

    name: str
    read: ReadTally
    available: int
    left_out: Counter[str]
    drawn: int
    final: int = 0

    def to_json(self) -> JsonMap:
        """Plain JSON values."""
        return {
            "name": self.name,
            "read": self.read.to_json(),
            "left_out": dict(self.left_out),
            "available": self.available,
            "drawn": self.drawn,
            "final": self.final,
        }


@dataclass(frozen=True, slots=True)
class MixResult:
    """The pairs in their final order.

    ``repeated`` rows occur a second time, ``opposite`` contradict another; ``hits`` are examples of prompts that a test
    asks.
    """

    pairs: tuple[PreferencePair, ...]
    parts: tuple[MixPart, ...]
    seed: int
    repeated: int = 0
    opposite: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    hits: tuple[Hit, ...] = ()

    @property
    def notes(self) -> dict[str, str]:
        """What to know of the formats that were read, by name of the format."""
        found = {part.read.format for part in self.parts}
        return {name: PAIR_FORMATS[name].note for name in sorted(found) if PAIR_FORMATS[name].note}

    def to_json(self) -> JsonMap:
        """Plain JSON values, without the pairs."""
        return {
            "pairs": len(self.pairs),
            "seed": self.seed,
            "repeated": self.repeated,
            "opposite": self.opposite,
            "dropped": dict(self.dropped),
            "asked_by_tests": [hit._asdict() for hit in self.hits],
            "notes": self.notes,
            "sources": [part.to_json() for part in self.parts],
        }


def mix(
    sources: Sequence[MixSource],
    seed: int = 42,
    *,
    cap: int | None = None,
    limit: LengthLimit | None = None,
    tests: NgramIndex | None = None,
    opposite: Literal["keep", "drop"] = "keep",
    folder: Path | None = None,
    rejects: Rejects | None = None,
) -> MixResult:
    """Read, filter by length, draw from each source without replacement, put together and shuffle once.

    The same sources and seed give the same pairs in the same order.

    Args:
        sources: with distinct names.
        seed: of the shuffle, and of the draws whose source names none.
        cap: at most so many pairs in all, the first of the shuffled order.
        limit: pairs over it are left out before the draw.
        tests: pairs whose prompts these tests ask are left out before the draw.
        opposite: what becomes of pairs that contradict each other: kept as noise, or dropped (all of them).
        folder: what relative paths are relative to; default: the working folder.
        rejects: takes rows that give no pair.

    Raises:
        ConfigError: two sources of one name.
        DataError: a source has fewer pairs than its ``rows``; or as :func:`agora.curate.pairs.read.read_pairs`.
    """
    _check_names(sources)
    loaded: list[_Loaded] = []
    for source in sources:
        pairs, tally = _read(source, folder, rejects)
        loaded.append(_filtered(_Loaded(source, tally, pairs, Counter(), []), limit, tests))
    return _mixed(loaded, seed, cap, opposite)


class _Loaded(NamedTuple):
    source: MixSource
    tally: ReadTally
    pairs: list[PreferencePair]
    left_out: Counter[str]
    hits: list[Hit]


def _check_names(sources: Sequence[MixSource]) -> None:
    names = Counter(source.called for source in sources)
    twice = [name for name, n in names.items() if n > 1]
    if twice:
        raise ConfigError(f"two sources are called {twice[0]}", hint="give each a name of its own")


def _read(source: MixSource, folder: Path | None, rejects: Rejects | None) -> tuple[list[PreferencePair], ReadTally]:
    path = Path(source.path)
    if folder is not None and not source.path.startswith(HUB):
        path = folder / path
    tally = ReadTally()
    rows = read_pairs(
        path,
        format=source.format,
        rule=source.rule,
        rejects=rejects,
        limit=source.limit,
        merge_turns=source.merge_turns,
        trust_labels=source.trust_labels,
        source=source.called,
        label_kind=source.label_kind,
        tally=tally,
    )
    pairs = []
    with progress(None, f"reading {source.called}", unit="pairs") as bar:
        for pair in rows:
            pairs.append(pair)
            bar.advance()
    return pairs, tally


def _filtered(loaded: _Loaded, limit: LengthLimit | None, tests: NgramIndex | None) -> _Loaded:
    """Without other origins, what is too long, and what a test asks."""
    source, pairs, left_out, hits = loaded.source, loaded.pairs, Counter(loaded.left_out), loaded.hits
    if source.only or source.exclude:
        wanted = [p for p in pairs if _is_wanted(str(p.meta.get("origin", "")), source)]
        left_out["another origin"] = len(pairs) - len(wanted)
        pairs = wanted
    if limit is not None:
        pairs, reasons = drop_long(pairs, limit)
        left_out.update(reasons)
    if tests is not None:
        pairs, removed, hits = decontaminate(pairs, tests)
        left_out.update(removed)
    return loaded._replace(pairs=pairs, left_out=+left_out, hits=hits)


def _is_wanted(origin: str, source: MixSource) -> bool:
    return (not source.only or origin in source.only) and origin not in source.exclude


def sample_pairs(pairs: Sequence[PreferencePair], rows: int, seed: int | str) -> list[PreferencePair]:
    """``rows`` of the pairs, drawn without replacement, in the order they had.

    Raises:
        DataError: there are fewer.
    """
    if rows > len(pairs):
        hint = f"ask for at most {len(pairs):,}, or use cap, which takes what there is"
        raise DataError(f"{rows:,} pairs asked of {len(pairs):,}", hint=hint)
    chosen = random.Random(f"{seed}").sample(range(len(pairs)), rows)
    return [pairs[i] for i in sorted(chosen)]


def _draw(loaded: _Loaded, seed: int) -> list[PreferencePair]:
    source, pairs = loaded.source, loaded.pairs
    rows = len(pairs) if source.fraction is None else round(source.fraction * len(pairs))
    rows = source.rows if source.rows is not None else min(rows, source.cap or rows)
    if rows == len(pairs):
        return pairs
    try:
        return sample_pairs(pairs, rows, f"{seed if source.seed is None else source.seed}|{source.called}")
    except DataError as error:
        raise DataError(error.what, where=source.called, hint=error.hint) from None


def _mixed(loaded: list[_Loaded], seed: int, cap: int | None, opposite: str) -> MixResult:
    drawn = [_draw(part, seed) for part in loaded]
    together = [(index, pair) for index, pairs in enumerate(drawn) for pair in pairs]
    found = find_repeats([pair for _, pair in together])
    dropped: Counter[str] = Counter()
    if opposite == "drop" and found.opposite:
        gone = set(found.opposite)
        together = [item for position, item in enumerate(together) if position not in gone]
        dropped["opposite labels"] = len(gone)
    random.Random(seed).shuffle(together)
    if cap is not None and len(together) > cap:
        dropped["over the cap"] = len(together) - cap
        together = together[:cap]
    final = Counter(index for index, _ in together)
    parts = tuple(
        MixPart(p.source.called, p.tally, len(p.pairs), p.left_out, len(pairs), final[i])
        for i, (p, pairs) in enumerate(zip(loaded, drawn, strict=True))
    )
    hits = tuple(hit for part in loaded for hit in part.hits)
    return MixResult(
        tuple(pair for _, pair in together), parts, seed, len(found.again), len(found.opposite), dropped, hits
    )
