"""Running stages: parents first, each fingerprint once, what is finished reused, several at a time where asked."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from agora.core.files import sha256_path
from agora.core.lock import FolderLock
from agora.core.progress import progress
from agora.core.workers import LocalRunner
from agora.rooms.preferences.study.fingerprint import Rendered, Renderings, fingerprint, loss_code
from agora.rooms.preferences.study.matching import Size
from agora.rooms.preferences.study.stage import Stage, StageArtifact, in_order
from agora.rooms.preferences.study.store import StageStore
from agora.rooms.preferences.study.work import ROWS, Job, Workshop, given_digest, model_in

#: Trainings know their rows by content after rendering, not by where the rows came from.
ROW_ROLES = {"sft": "data", "reward": "data", "dpo": "data", "online": "prompts"}
# Worth a process of their own; the others take less time than starting one.
_HEAVY = ("sft", "reward", "dpo", "online", "answers", "samples", "evaluate")


@dataclass(slots=True)
class Ledger:
    """What this and earlier sessions spent, from the clock of the whole and from the clocks of its parts.

    ``working`` seconds are those of the session between planning and report; ``overhead`` those of them in which
    fingerprints were computed, stages looked up and records written; ``busy`` those of the stages themselves, of all
    processes together.
    """

    working: float = 0.0
    overhead: float = 0.0
    busy: float = 0.0
    done: list[str] = field(default_factory=list)  # keys of stages computed in this session


class Executor:
    """Makes stages exist in a store.

    Args:
        store: where they lie.
        workshop: how each kind is done.
        jobs: processes; 1 works in this one.
    """

    def __init__(self, store: StageStore, workshop: Workshop, *, jobs: int = 1) -> None:
        self.store, self.workshop, self.jobs = store, workshop, jobs
        self.artifacts: dict[str, StageArtifact] = {}  # by a stage's key
        self.ledger = Ledger()
        self._renderings = Renderings(store.root / "renderings.jsonl")

    def run(self, goals: Iterable[Stage]) -> None:
        """Compute what is missing of some stages and their ancestors.

        Raises:
            AgoraError: a stage failed, or one was changed by hand; what is finished stays.
        """
        pending = [stage for stage in in_order(goals) if stage.key not in self.artifacts]
        if not pending:
            return
        lock = FolderLock(self.store.root)
        began = time.perf_counter()
        try:
            with progress(len(pending), "study", unit="stage") as bar:
                while pending:
                    ready = [s for s in pending if all(p.key in self.artifacts for p in s.parents.values())]
                    self._do(ready, bar.note)
                    bar.advance(len(ready))
                    pending = [stage for stage in pending if stage.key not in self.artifacts]
        finally:
            self.ledger.working += time.perf_counter() - began
            lock.release()

    def folder(self, stage: Stage) -> Path:
        """Where a finished stage lies."""
        artifact = self.artifacts[stage.key]
        return self.store.folder(artifact.kind, artifact.fingerprint)

    def rendered(
        self, kind: str, rows: Stage, model: Stage, max_tokens: int | None, *, margins: bool = False
    ) -> Rendered:
        """A finished stage's rows as a model's tokenizer sees them."""
        path = model_in(self.folder(model))
        return self._renderings.of(kind, self.folder(rows) / ROWS, path, max_tokens=max_tokens, margins=margins)

    def _do(self, ready: Sequence[Stage], note: Callable[[str], None]) -> None:
        began = time.perf_counter()
        todo: dict[str, Job] = {}
        keys: dict[str, list[str]] = {}
        for stage in ready:
            job = self._job(stage)
            found = self.store.find(stage, job.mark, self._hard_parents(stage))
            if found is not None:
                self.artifacts[stage.key] = found
            else:
                todo.setdefault(job.mark, job)
                keys.setdefault(job.mark, []).append(stage.key)
        for job in todo.values():
            note(job.label)
            self.store.begin(job.kind, job.mark, job.parent_marks)
        self.ledger.overhead += time.perf_counter() - began
        for artifact in self._perform(list(todo.values())):
            self.ledger.busy += artifact.seconds
            for key in keys[artifact.fingerprint]:
                self.artifacts[key] = artifact
                self.ledger.done.append(key)

    def _perform(self, jobs: Sequence[Job]) -> Iterable[StageArtifact]:
        heavy = [job for job in jobs if job.kind in _HEAVY]
        side_by_side = self.jobs > 1 and len(heavy) > 1
        light = [job for job in jobs if job not in heavy] if side_by_side else list(jobs)
        work = partial(self.workshop.perform, self.store.root)
        for job in light:
            began = time.perf_counter()
            artifact = work(job)
            self.ledger.overhead += time.perf_counter() - began - artifact.seconds  # writing its record
            yield artifact
        if side_by_side:
            yield from LocalRunner(min(self.jobs, len(heavy))).map(work, heavy)

    def _job(self, stage: Stage) -> Job:
        parents = self._hard_parents(stage)
        inputs = self._inputs(stage)
        code = loss_code(stage.kind)
        marks = {role: parent.fingerprint for role, parent in parents.items()}
        mark = fingerprint(stage.kind, stage.config, marks, inputs, code)
        return Job(
            stage.kind,
            stage.label,
            dict(stage.config),
            self.store.folder(stage.kind, mark),
            {role: self.folder(parent) for role, parent in stage.parents.items()},
            mark,
            {role: {"fingerprint": parent.fingerprint, "made": parent.made} for role, parent in parents.items()},
            inputs,
            code,
        )

    def _hard_parents(self, stage: Stage) -> dict[str, StageArtifact]:
        """What a stage was built on, but for rows that it knows by content."""
        soft = ROW_ROLES.get(stage.kind)
        return {role: self.artifacts[parent.key] for role, parent in stage.parents.items() if role != soft}

    def _inputs(self, stage: Stage) -> dict[str, str]:
        if stage.kind == "given":
            return {"model": given_digest(stage.config["model"])}
        role = ROW_ROLES.get(stage.kind)
        if role is not None:
            settings = stage.config["settings"]
            limit = settings["max_prompt_tokens" if stage.kind == "online" else "max_tokens"]
            margins = bool(settings.get("use_margin"))
            found = self.rendered(stage.kind, stage.parents[role], stage.parents["model"], limit, margins=margins)
            return {role: found.digest}
        return {path: sha256_path(Path(path)) for path in _files_of(stage.config) if Path(path).exists()}


class CountedSizes:
    """Sizes of rows that exist."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def pairs(self, stage: Stage, model: Stage, max_tokens: int | None) -> Size:
        """See :class:`agora.rooms.preferences.study.plan.Sizes`."""
        self._executor.run([stage, model])
        found = self._executor.rendered("dpo", stage, model, max_tokens)
        return Size(found.rows, found.tokens)

    def prompts(self, stage: Stage, model: Stage, max_tokens: int | None) -> Size:
        """See :class:`agora.rooms.preferences.study.plan.Sizes`."""
        self._executor.run([stage, model])
        found = self._executor.rendered("online", stage, model, max_tokens)
        return Size(found.rows, found.tokens)

    def response_tokens(self, stage: Stage, model: Stage, max_tokens: int | None) -> float | None:
        """See :class:`agora.rooms.preferences.study.plan.Sizes`."""
        self._executor.run([stage, model])
        found = self._executor.rendered("dpo", stage, model, max_tokens)
        return found.targets / found.rows if found.rows else None


def default_jobs(model: str) -> int:
    """Processes for a start model: one a core for the microcosm's on a CPU, else one."""
    if not model.startswith("microcosm:"):
        return 1
    import torch

    return 1 if torch.cuda.is_available() else max(1, len(os.sched_getaffinity(0)))


def threads_for(jobs: int) -> int:
    """Threads of each of several processes."""
    return max(1, len(os.sched_getaffinity(0)) // jobs)


def _files_of(config: Mapping[str, Any]) -> list[str]:
    """Paths of files that a configuration names."""
    found: list[str] = []
    for key, value in config.items():
        if key in ("path", "data") and isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            found += _files_of(value)
        elif isinstance(value, list | tuple):
            found += [path for item in value if isinstance(item, dict) for path in _files_of(item)]
    return found
