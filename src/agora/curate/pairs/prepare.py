"""From preference files to one file to train on, with its data card, its report and the rows that were refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from agora.core.config import Config, load_config
from agora.core.errors import DataError, UsageError
from agora.core.jsonl import Rejects, write_json
from agora.core.records import JsonMap
from agora.curate.contamination import NgramIndex
from agora.curate.pairs.card import DataCard, data_card
from agora.curate.pairs.card_report import card_report
from agora.curate.pairs.decontaminate import NGRAM_WORDS
from agora.curate.pairs.export import ExportReport, check_export, export_pairs
from agora.curate.pairs.lengths import LengthLimit
from agora.curate.pairs.mix import MixRecipe, MixResult, MixSource, mix
from agora.curate.pairs.rules import PairRule
from agora.curate.pairs.split import split_by_prompt

DEFAULT_SEED = 42  # that of the reference's shuffle


class PrepareSettings(Config):
    """What is asked of all files alike.

    Args:
        format, rule, limit, cap, trust_labels, merge_turns: of each file; see ``mix.MixSource``.
        seed: of draws, shuffle and split; None is that of a recipe, else 42.
        export: the layout of the output (``agora.curate.pairs.layouts.EXPORTS``).
        tests: files whose prompts must not be trained on.
        max_prompt_chars, max_answer_chars: longer pairs are left out.
        opposite: what becomes of pairs that contradict each other.
        held_out: share of the prompts written to a file of its own.
    """

    format: str = "auto"
    rule: PairRule | None = None
    limit: int | None = Field(None, ge=1)
    cap: int | None = Field(None, ge=1)
    trust_labels: bool = False
    merge_turns: bool = False
    seed: int | None = None
    export: str = "agora"
    tests: tuple[str, ...] = ()
    max_prompt_chars: int | None = Field(None, ge=1)
    max_answer_chars: int | None = Field(None, ge=1)
    opposite: Literal["keep", "drop"] = "keep"
    held_out: float = Field(0.0, ge=0.0, lt=1.0)


@dataclass(frozen=True, slots=True)
class PrepareReport:
    """What was written where."""

    export: ExportReport
    held_out: ExportReport | None
    mixed: MixResult
    card: DataCard
    card_path: Path
    report_path: Path
    rejects_path: Path | None

    def to_json(self) -> JsonMap:
        """Plain JSON values."""
        return {
            "written": self.export.to_json(),
            "held_out": self.held_out.to_json() if self.held_out else None,
            "mix": self.mixed.to_json(),
            "card": self.card.to_json(),
            "card_path": str(self.card_path),
            "report_path": str(self.report_path),
            "rejects_path": str(self.rejects_path) if self.rejects_path else None,
        }


def prepare_pairs(
    files: Sequence[Path], out: Path, settings: PrepareSettings | None = None, *, command: str = ""
) -> PrepareReport:
    """Read, check, filter, mix and write preference pairs.

    Beside ``out`` stand ``NAME.card.json``, ``NAME.report.html``, ``NAME.rejects.jsonl`` when a row was refused, and
    ``NAME.held-out.SUFFIX`` when a share is held out.

    Args:
        files: preference files, folders or ``hub:OWNER/NAME``; or one YAML file, a
            :class:`agora.curate.pairs.mix.MixRecipe`.
        out: written whole or not at all.
        settings: see :class:`PrepareSettings`.
        command: shown in the report.

    Raises:
        UsageError: the output is an input, an unknown format, or settings of files beside a recipe.
        DataError: see :func:`agora.curate.pairs.mix.mix`; also when nothing is left.
    """
    settings, out = settings or PrepareSettings(), Path(out)
    files = [Path(file) for file in files]
    check_export(settings.export)
    _check_inputs(files, out)
    recipe, folder = _recipe(files, settings)
    tests = _tests(settings)
    with Rejects(_beside(out, "rejects.jsonl")) as rejects:
        mixed = mix(
            recipe.sources,
            recipe.seed if settings.seed is None else settings.seed,
            cap=recipe.cap,
            limit=_limit(settings),
            tests=tests,
            opposite=settings.opposite,
            folder=folder,
            rejects=rejects,
        )
    if not mixed.pairs:
        raise DataError("no pair is left", where=str(out), hint="see the counts with fewer filters")
    return _write(out, mixed, settings, command, rejects.path if rejects.count else None)


def _write(
    out: Path, mixed: MixResult, settings: PrepareSettings, command: str, rejects_path: Path | None
) -> PrepareReport:
    split = split_by_prompt(mixed.pairs, settings.held_out, mixed.seed)
    held_out = None
    if settings.held_out:
        held_out = export_pairs(split.held_out, _beside(out, f"held-out{_suffixes(out)}"), settings.export)
    card = data_card(split.train)
    exported = export_pairs(split.train, out, settings.export)
    card_path = _beside(out, "card.json")
    write_json(card_path, {"card": card.to_json(), "mix": mixed.to_json()})
    report = card_report(card, split.train, mixed, held_out=len(split.held_out), command=command, seed=mixed.seed)
    return PrepareReport(
        exported, held_out, mixed, card, card_path, report.write(_beside(out, "report.html")), rejects_path
    )


def _suffixes(path: Path) -> str:
    return "".join(path.suffixes[-2:] if path.suffix in (".gz", ".zst") else path.suffixes[-1:])


def _beside(out: Path, ending: str) -> Path:
    return out.with_name(f"{out.name.removesuffix(_suffixes(out))}.{ending}")


def _check_inputs(files: list[Path], out: Path) -> None:
    if not files:
        raise UsageError("no file is named", hint="agora preferences data FILE... --out FILE")
    for file in files:
        if out.exists() and file.exists() and out.samefile(file):
            raise UsageError("the output would replace the input", where=str(out), hint="name another file with --out")


def _recipe(files: list[Path], settings: PrepareSettings) -> tuple[MixRecipe, Path | None]:
    """The mix that the files are, and the folder that its paths are relative to."""
    yaml = [file for file in files if file.suffix in (".yaml", ".yml")]
    if not yaml:
        sources = [MixSource(path=str(file), name=name, **_per_file(settings)) for file, name in _named(files)]
        return MixRecipe(sources=tuple(sources), seed=DEFAULT_SEED), None
    if len(files) > 1:
        raise UsageError("a recipe stands alone", where=str(yaml[0]), hint="list the other files among its sources")
    if given := [name for name, value in _per_file(settings).items() if value != MixSource.model_fields[name].default]:
        hint = "set it on the sources that it is meant for"
        raise UsageError(f"{', '.join(given)} cannot be given beside a recipe", where=str(yaml[0]), hint=hint)
    return load_config(MixRecipe, yaml[0]), yaml[0].parent


def _per_file(settings: PrepareSettings) -> JsonMap:
    names = ("format", "rule", "limit", "cap", "trust_labels", "merge_turns")
    return {name: getattr(settings, name) for name in names}


def _named(files: list[Path]) -> list[tuple[Path, str]]:
    """Files with their names, or with their paths where two have one name."""
    names = [MixSource(path=str(file)).called for file in files]
    return [(f, n if names.count(n) == 1 else str(f)) for f, n in zip(files, names, strict=True)]


def _tests(settings: PrepareSettings) -> NgramIndex | None:
    if not settings.tests:
        return None
    texts = NgramIndex(NGRAM_WORDS)
    for test in settings.tests:
        texts.add_file(Path(test))
    return texts


def _limit(settings: PrepareSettings) -> LengthLimit | None:
    if settings.max_prompt_chars is None and settings.max_answer_chars is None:
        return None
    return LengthLimit(settings.max_prompt_chars, settings.max_answer_chars)
