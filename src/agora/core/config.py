"""Configurations: a frozen pydantic model from a YAML file and ``--set a.b=c``; a typo is told the nearest name."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from agora.core.errors import ConfigError
from agora.core.files import nearest, require_file
from agora.core.yaml_text import Place, parse_yaml, read_yaml

M = TypeVar("M", bound=BaseModel)


class Config(BaseModel):
    """The base of every configuration: unknown keys are refused and values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _keep_nested_defaults(cls, values: Any) -> Any:
        """A section that is given in part keeps the other values of its own default, not those of its type."""
        if not isinstance(values, Mapping):
            return values
        sections = {name: field.default for name, field in cls.model_fields.items()}
        return {
            name: _merged(sections[name].model_dump(), value)
            if isinstance(sections.get(name), BaseModel) and isinstance(value, Mapping)
            else value
            for name, value in values.items()
        }


def _merged(default: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    both = {**default, **given}
    for name, value in given.items():
        inner = default.get(name)
        if isinstance(inner, Mapping) and isinstance(value, Mapping):
            both[name] = _merged(inner, value)
    return both


class _Origin(NamedTuple):
    """Where each value came from, to be named in errors."""

    file: Path | str | None
    lines: dict[Place, int]
    overrides: dict[Place, str]

    def of(self, place: Place) -> str | None:
        for size in range(len(place), 0, -1):  # the nearest enclosing key that was given
            given = [text for key, text in self.overrides.items() if key[:size] == place[:size]]
            if given:
                return f"--set {given[-1]}"
            if place[:size] in self.lines:
                return f"{self.file}:{self.lines[place[:size]]}"
        return str(self.file) if self.file else None


def load_config(model_type: type[M], yaml_path: Path | None, overrides: Sequence[str] = ()) -> M:
    """Build a configuration.

    Args:
        model_type: a :class:`Config`.
        yaml_path: a YAML file with any of its keys; None for the defaults alone.
        overrides: ``a.b=c`` each, applied in order; the value is read as YAML (``lr=1e-5``, ``tags=[a, b]``).

    Raises:
        MissingError: no such file.
        ConfigError: not YAML, an unknown key (names the nearest), or a value that does not fit; one line that names the
            file and line, or the ``--set``.
    """
    values: Any = {}
    lines: dict[Place, int] = {}
    if yaml_path is not None:
        yaml_path = Path(yaml_path)
        require_file(yaml_path)
        values, lines = read_yaml(yaml_path)
        values = {} if values is None else values
        if not isinstance(values, dict):
            raise ConfigError(f"a configuration must be a mapping, got {_kind(values)}", where=str(yaml_path))
    origin = _Origin(yaml_path, lines, {})
    for override in overrides:
        origin.overrides[_apply(values, override)] = override
    try:
        return model_type.model_validate(values)
    except ValidationError as err:
        raise _flat(err, model_type, origin) from None


def build_config(model_type: type[M], values: Mapping[str, Any], *, where: str | None = None) -> M:
    """Build a configuration from values that were read or merged already.

    Args:
        model_type: a :class:`Config`.
        values: any of its keys.
        where: what errors name as the place of the values.

    Raises:
        ConfigError: an unknown key (names the nearest), or a value that does not fit; one line.
    """
    try:
        return model_type.model_validate(values)
    except ValidationError as err:
        raise _flat(err, model_type, _Origin(where, {}, {})) from None


def _apply(values: dict[str, Any], override: str) -> Place:
    """Set one dotted key in place; numbers in the key are indices of lists that exist."""
    where = f"--set {override}"
    key, sign, text = override.partition("=")
    names = key.strip().split(".")
    if not sign or not all(names):
        raise ConfigError("expected KEY=VALUE", where=where, hint="for example --set train.lr=1e-5")
    value, _ = parse_yaml(text, where)
    inner: Any = values
    place: list[str | int] = []
    for name in names[:-1]:
        index = _index(inner, name, where)
        place.append(index)
        if isinstance(inner, dict) and not isinstance(inner.get(name), dict | list):
            inner[name] = {}  # a default or a missing section: the model judges it
        inner = inner[index]
    index = _index(inner, names[-1], where)
    inner[index] = value
    return (*place, index)


def _index(inner: Any, name: str, where: str) -> str | int:
    if isinstance(inner, dict):
        return name
    if not isinstance(inner, list):
        raise ConfigError(f'"{name}" would be set inside {_kind(inner)}', where=where)
    if not name.isdigit() or int(name) >= len(inner):
        raise ConfigError(f'"{name}" is no index of a list of {len(inner)}', where=where)
    return int(name)


def _kind(value: Any) -> str:
    return {"dict": "a mapping", "list": "a list", "str": "a text"}.get(type(value).__name__, type(value).__name__)


def _flat(err: ValidationError, model_type: type[BaseModel], origin: _Origin) -> ConfigError:
    """The first problem in one line, and how many more there are."""
    problems = err.errors(include_url=False, include_context=False)
    first = problems[0]
    place = tuple(first["loc"])
    dotted = ".".join(str(part) for part in place)
    hint = f"and {len(problems) - 1} more" if len(problems) > 1 else None
    if first["type"] == "extra_forbidden":
        known = _fields_at(model_type, place[:-1])
        near = nearest(str(place[-1]), known)
        advice = f"did you mean {near}?" if near else f"known keys: {', '.join(sorted(known))}" if known else None
        both = "; ".join(part for part in (advice, hint) if part)
        return ConfigError(f'unknown key "{dotted}"', where=origin.of(place), hint=both or None)
    message = first["msg"][:1].lower() + first["msg"][1:]
    if first["type"] == "missing":
        return ConfigError(f'the key "{dotted}" is missing', where=origin.of(place[:-1]), hint=hint)
    got = repr(first["input"])
    got = got if len(got) <= 60 else got[:57] + "..."
    what = f'"{dotted}": {message}, got {got}' if dotted else message
    return ConfigError(what, where=origin.of(place), hint=hint)


def _fields_at(annotation: Any, place: Place) -> list[str]:
    """The field names of the model that a path leads to; several models of a union together."""
    models = _models(annotation)
    if not place:
        return sorted({name for model in models for name in model.model_fields})
    found: list[str] = []
    for model in models:
        if place[0] in model.model_fields:
            found += _fields_at(model.model_fields[str(place[0])].annotation, place[1:])
        elif place[0] == model.__name__:  # pydantic puts a union member's name into the path
            found += _fields_at(model, place[1:])
    if not found and models:  # an index of a list, a key of a mapping, a union's tag
        found = _fields_at(annotation, place[1:])
    return sorted(set(found))


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in typing.get_args(annotation) for model in _models(inner)]
