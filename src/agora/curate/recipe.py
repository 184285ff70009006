"""A recipe of curation: any number of files, one list of steps, one run folder, one page at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from agora.core.config import Config, load_config
from agora.core.errors import UsageError
from agora.core.files import nearest
from agora.core.jobs import check_place
from agora.core.jsonl import write_json
from agora.core.runs import RunDir
from agora.curate.combine import combine_files
from agora.curate.curation import read_funnel
from agora.curate.funnel import Funnel

KEPT, PAGE = "kept.jsonl", "report.html"
SHIPPED = ("label_free", "air", "pro")


class DedupStep(Config):
    """See :class:`agora.curate.dedup.DedupSettings`."""

    by: tuple[str, ...] = ("exact", "surface")
    surface: float = 0.6
    semantic: float = 0.05
    key: str = "first"
    embedder: str = "tfidf"


class FilterStep(Config):
    """See :func:`agora.curate.filter_file.filter_file`."""

    where: str = ""
    preset: str = ""
    unknown: Literal["drop", "keep"] = "drop"


class LabelStep(Config):
    """See :class:`agora.curate.labels.LabelSettings`."""

    labels: tuple[str, ...]
    engine: str = ""
    reward: str = ""
    check: str = ""
    check_rows: int = Field(500, ge=2)
    max_tokens: int = Field(512, ge=16)


class SampleStep(Config):
    """See :func:`agora.curate.sample_file.sample_file`."""

    n: int | None = Field(None, ge=1)
    mix: str = ""
    split: str = ""
    fill: bool = False


class DecontaminateStep(Config):
    """See :class:`agora.curate.contamination.decontaminate.DecontaminateSettings`; no judge is asked here."""

    against: tuple[Path, ...] = Field(min_length=1)
    words: int = 13
    part: str = "instruction"
    top: int = 5
    retrieve: str = "chars"


class Step(Config):
    """One verb with its settings."""

    dedup: DedupStep | None = None
    filter: FilterStep | None = None
    label: LabelStep | None = None
    sample: SampleStep | None = None
    decontaminate: DecontaminateStep | None = None

    @model_validator(mode="after")
    def _one_verb(self) -> Step:
        named = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(named) != 1:
            raise ValueError(f"a step names one verb, got {', '.join(named) or 'none'}")
        return self

    @property
    def verb(self) -> str:
        """The step's verb."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)


class CurateRecipe(Config):
    """Steps in order, each on what the one before left."""

    steps: tuple[Step, ...] = Field(min_length=1)
    seed: int = 0


@dataclass(frozen=True, slots=True)
class RecipeReport:
    """What a recipe did: the rows that stay, the whole funnel, the page."""

    out: Path
    kept: Path
    page: Path
    funnel: Funnel
    seconds: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        paths = {"out": str(self.out), "kept": str(self.kept), "page": str(self.page)}
        return {**paths, "seconds": self.seconds, **self.funnel.summary()}


def read_recipe(name: str = "label_free", overrides: Sequence[str] = ()) -> CurateRecipe:
    """A recipe by the name of a shipped one, or from a YAML file.

    Args:
        name: one of ``SHIPPED``, or a path.
        overrides: ``steps.0.filter.preset=air`` and the like.

    Raises:
        ConfigError: a key or a value is wrong; UsageError: no such recipe.
    """
    path = Path(name)
    if not path.suffix and not path.exists():
        if name not in SHIPPED:
            near = nearest(name, list(SHIPPED))
            hint = f"did you mean {near}?" if near else f"name a YAML file, or {', '.join(SHIPPED)}"
            raise UsageError(f"there is no recipe {name!r}", hint=hint)
        path = Path(str(files("agora"))) / "recipes" / "curate" / f"{name}.yaml"
    return load_config(CurateRecipe, path, overrides)


def run_recipe(
    paths: Sequence[Path],
    out: Path,
    recipe: CurateRecipe,
    *,
    format: str = "auto",
    on: str = "local",
    workers: int | None = None,
) -> RecipeReport:
    """Bring files together, work through the steps, describe what stays. The same call on the same folder resumes.

    Args:
        paths: files in any readable format, each its own.
        out: the run folder.
        recipe: the steps.
        format: of the files; ``auto`` looks at each.
        on: where the steps' long parts run, see :func:`agora.curate.row_parts.parts_of`.
        workers: processes for them; the result is the same with any number.

    Raises:
        ConfigError: the folder holds another run.
        AgoraError: a step failed; those before it are done.
    """
    from agora.curate.dataset import collect, dataset_report

    check_place(on)
    paths = [Path(path) for path in paths]
    names = [f"{n:02d}-{step.verb}" for n, step in enumerate(recipe.steps, 1)]
    inputs = {f"file {n}": path for n, path in enumerate(paths, 1)}
    # by number, so that a changed value is told by its place
    config = {"steps": {str(n): s.model_dump(mode="json", exclude_none=True) for n, s in enumerate(recipe.steps, 1)}}
    with RunDir.open(out, command="curate run", config=config, seed=recipe.seed, inputs=inputs) as run:
        current = run.file("00-combined.jsonl")
        if not run.done("combine"):
            with run.stage("combine"):
                combine_files(paths, current, format=format)
        for name, step in zip(names, recipe.steps, strict=True):
            target = run.file(KEPT if name == names[-1] else f"{name}.jsonl")
            if not run.done(name):
                with run.stage(name):
                    _apply(step, current, target, recipe.seed, on, workers)
            current = target
        with run.stage("report"):
            data = collect(current, seed=recipe.seed, on=on, workers=workers)
            page = dataset_report(data, command=run.info["command"]).write(run.file(PAGE))
            funnel = read_funnel(current)
            write_json(run.file("funnel.json"), {"schema": "funnel/1", "steps": funnel.to_json()})
        for left in funnel.steps:
            run.metric("rows", float(left.n_out), step_label=left.label)
        return RecipeReport(run.path, current, page, funnel, run.seconds)


def _apply(step: Step, source: Path, out: Path, seed: int, on: str, workers: int | None) -> None:
    if step.dedup is not None:
        from agora.curate.dedup import DedupSettings, dedup_file

        dedup_file(source, out, DedupSettings(**step.dedup.model_dump()), on=on, workers=workers)
    elif step.filter is not None:
        from agora.curate.filter_file import filter_file

        asked = step.filter
        filter_file(source, out, asked.where, preset=asked.preset, unknown=asked.unknown, on=on, workers=workers)
    elif step.label is not None:
        from agora.curate.labels import LabelSettings, label_file

        label_file(source, out, LabelSettings(**step.label.model_dump(), seed=seed), on=on, workers=workers)
    elif step.sample is not None:
        from agora.curate.sample_file import parse_mix, parse_splits, sample_file

        one = step.sample
        mix = parse_mix(one.mix) if one.mix else None
        sample_file(
            source,
            out,
            one.n,
            mix=mix,
            splits=parse_splits(one.split) if one.split else None,
            fill=one.fill,
            seed=seed,
            on=on,
            workers=workers,
        )
    elif step.decontaminate is not None:
        from agora.curate.contamination.decontaminate import DecontaminateSettings, decontaminate_file

        given = step.decontaminate
        settings = DecontaminateSettings(given.words, given.part, given.top, given.retrieve)
        decontaminate_file(source, out, list(given.against), settings, on=on, workers=workers)
