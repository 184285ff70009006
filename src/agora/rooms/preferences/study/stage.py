"""A stage of a study before it ran, and the record of it after."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from agora.core.records import JsonMap, stable_id

#: What a stage makes, in the order of the report; the first four train.
TRAINED = ("sft", "reward", "dpo", "online")
KINDS = ("demonstrations", "sft", "answers", "pairs", "selected", "prompts", "backbone", "reward", "dpo", "online",
         "samples", "scores", "evaluate")  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """One piece of work: what decides it, and what it builds on.

    Attributes:
        kind: one of :data:`KINDS`.
        config: everything that decides the result beside the parents, as plain JSON values.
        parents: by the role they play (``model``, ``data``, ``reward``, ...).
        label: for people.
    """

    kind: str
    config: Mapping[str, Any]
    parents: Mapping[str, Stage] = field(default_factory=dict)
    label: str = field(default="", compare=False)

    @cached_property
    def key(self) -> str:
        """Equal for stages with equal settings and ancestors; known before anything has run."""
        return stable_id(self.kind, self.config, {role: parent.key for role, parent in self.parents.items()})

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stage) and self.key == other.key


def in_order(stages: Iterable[Stage]) -> list[Stage]:
    """All stages and their ancestors, each once, parents first."""
    found: dict[str, Stage] = {}

    def visit(stage: Stage) -> None:
        if stage.key not in found:
            for parent in stage.parents.values():
                visit(parent)
            found[stage.key] = stage

    for stage in stages:
        visit(stage)
    return list(found.values())


def descendants(stages: Iterable[Stage], of: Stage) -> Iterator[Stage]:
    """The stages that build on one, directly or not."""
    below = {of.key}
    for stage in in_order(stages):
        if any(parent.key in below for parent in stage.parents.values()):
            below.add(stage.key)
            yield stage


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a stage's folder."""

    path: str
    size: int  # bytes
    sha256: str


@dataclass(frozen=True, slots=True)
class StageArtifact:
    """What a finished stage left, written last, so that its presence says that the stage is whole.

    Attributes:
        fingerprint: see :mod:`agora.rooms.preferences.study.fingerprint`.
        made: changes whenever the stage is computed; what its children remember of it.
        parents: role -> fingerprint and ``made`` of what was built on.
        inputs: role -> digest of rows after rendering, or of files.
        seconds: of the whole stage, loading and saving included; cpu_seconds: of the processor, all threads, which says
            more where a machine is shared.
        tokens: trained on, sampled or scored; None where none are.
        peak_bytes: highest resident memory; None where the system does not tell.
    """

    SCHEMA: ClassVar[str] = "stage_artifact/1"
    kind: str
    label: str
    fingerprint: str
    made: str
    config: JsonMap
    parents: dict[str, JsonMap]
    inputs: dict[str, str]
    code: str
    files: tuple[StoredFile, ...]
    metrics: JsonMap = field(default_factory=dict)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    tokens: int | None = None
    peak_bytes: int | None = None
    versions: JsonMap = field(default_factory=dict)
    created: str = ""
