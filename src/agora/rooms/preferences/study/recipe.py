"""A recipe: a baseline of four aspects, what is fixed, and studies that vary one aspect each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from agora.core.config import Config, build_config, load_config
from agora.core.errors import ConfigError, MissingError
from agora.core.files import nearest
from agora.rooms.preferences.study.blocks import (
    ASPECTS,
    AlgorithmBlock,
    Aspect,
    Cell,
    FixedBlock,
    PairData,
    PairPrompts,
    PromptsBlock,
    RewardModelBlock,
)

_WITH = "with"  # the key of a value that reaches into other blocks, which the proof refuses


class Study(Config):
    """One aspect, the baseline's value of it and the other values.

    A value is a patch of the varied block. A patch that names another ``kind`` or ``name`` replaces the block. Under
    ``with`` a value may reach into other blocks; such a study is confounded and is refused unless forced.
    """

    vary: Aspect
    question: str = ""
    baseline: str = Field("baseline", description="what the unvaried value is called")
    at: dict[Aspect, dict[str, Any]] = Field({}, description="patches of other blocks, for baseline and values alike")
    values: dict[str, dict[str, Any]] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_clear(self) -> Study:
        if self.vary in self.at:
            raise ValueError(f"`at` may not patch {self.vary}, which is varied")
        if self.baseline in self.values:
            raise ValueError(f"{self.baseline!r} names the baseline and a value")
        return self


class Recipe(Config):
    """The whole experiment."""

    title: str
    about: str = ""
    fixed: FixedBlock
    data: PairData
    algorithm: AlgorithmBlock
    reward_model: RewardModelBlock = RewardModelBlock()
    prompts: PromptsBlock = PairPrompts()
    seeds: tuple[int, ...] = Field((0,), min_length=1)
    studies: dict[str, Study] = Field(min_length=1)

    @model_validator(mode="after")
    def _seeds_differ(self) -> Recipe:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds must differ, got {list(self.seeds)}")
        return self

    @property
    def baseline(self) -> Cell:
        """The cell from which everything else deviates."""
        return Cell(**{name: getattr(self, name) for name in (*ASPECTS, "fixed")})


@dataclass(frozen=True, slots=True, eq=False)
class Arm:
    """One value of a study: its name and its fully resolved setting."""

    study: str
    value: str
    vary: Aspect
    is_baseline: bool
    cell: Cell

    @property
    def label(self) -> str:
        """The arm in a few words."""
        return f"{self.study}: {self.value}"


def recipes_folder() -> Path:
    """Where the recipes that come with the package are."""
    return Path(str(files("agora"))) / "recipes" / "preferences"


def find_recipe(name: str) -> Path:
    """The file of a recipe: a path, or the name of one that comes with the package.

    Raises:
        MissingError: there is none; names the nearest.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return path
    known = {p.stem: p for p in recipes_folder().glob("*.yaml")}
    if name in known:
        return known[name]
    near = nearest(name, list(known))
    hint = f"did you mean {near}?" if near else f"give a YAML file, or one of {', '.join(sorted(known))}"
    raise MissingError(f"no recipe {name!r}", hint=hint)


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and check every value of every study.

    Args:
        name: a YAML file, or the name of a recipe of the package.
        overrides: ``a.b=c`` each, as for every configuration.

    Raises:
        ConfigError: an unknown key (names the nearest), or a value that does not fit.
    """
    path = find_recipe(name)
    recipe = load_config(Recipe, path, overrides)
    for study in recipe.studies:
        arms_of(recipe, study, where=str(path))
    return recipe


def arms_of(recipe: Recipe, study: str, *, where: str = "recipe") -> list[Arm]:
    """The arms of a study, the baseline first.

    Raises:
        ConfigError: a patch does not fit its block.
    """
    plan = recipe.studies[study]
    base = recipe.baseline.model_dump(mode="json")
    for aspect, patch in plan.at.items():
        base[aspect] = merged(base[aspect], patch)
    place = f"{where}, studies.{study}"
    arms = [Arm(study, plan.baseline, plan.vary, True, _cell(base, f"{place}.at"))]
    for name, patch in plan.values.items():
        cell = dict(base)
        own = {key: value for key, value in patch.items() if key != _WITH}
        cell[plan.vary] = merged(base[plan.vary], own)
        for block, more in _reaching(patch, f"{place}.values.{name}").items():
            cell[block] = merged(cell[block], more)
        arms.append(Arm(study, name, plan.vary, False, _cell(cell, f"{place}.values.{name}")))
    return arms


def merged(block: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """A block with a patch laid over it, inner mappings merged; another ``kind`` or ``name`` replaces the block."""
    for tag in ("kind", "name"):
        if tag in patch and patch[tag] != block.get(tag):
            return dict(patch)
    out = dict(block)
    for key, value in patch.items():
        inner = out.get(key)
        both = isinstance(inner, Mapping) and isinstance(value, Mapping)
        out[key] = merged(inner, value) if both else value  # type: ignore[arg-type]
    return out


def _reaching(patch: Mapping[str, Any], where: str) -> dict[str, dict[str, Any]]:
    other = patch.get(_WITH, {})
    blocks = [*ASPECTS, "fixed"]
    if not isinstance(other, Mapping) or not all(isinstance(more, Mapping) for more in other.values()):
        raise ConfigError("`with` must map blocks to their patches", where=where)
    for block in other:
        if block not in blocks:
            near = nearest(str(block), blocks)
            raise ConfigError(f'unknown block "{block}" in `with`', where=where, hint=near and f"did you mean {near}?")
    return {str(block): dict(more) for block, more in other.items()}


def _cell(values: Mapping[str, Any], where: str) -> Cell:
    return build_config(Cell, values, where=where)
