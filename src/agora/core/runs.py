"""A run is a folder: what was asked, what happened, what was measured, and enough to go on after a crash.

``run.json`` holds the command, the resolved configuration, seed, versions, input hashes, licences and which stages are
done; ``events.jsonl`` and ``metrics.jsonl`` grow line by line. Opening the folder again resumes it.
"""

from __future__ import annotations

import os
import platform
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Self

import agora
from agora.core.differences import describe, differences
from agora.core.errors import ConfigError, UsageError
from agora.core.files import make_folder, sha256_path, sweep_temporaries
from agora.core.json_text import dumps, loads
from agora.core.jsonl import JsonlWriter, read_json, write_json
from agora.core.lock import FolderLock
from agora.core.redact import redact
from agora.core.run_list import RUN_FILE, RunInfo, compare_runs, list_runs, read_metrics, read_run

__all__ = ["RunDir", "RunInfo", "compare_runs", "list_runs", "read_metrics", "read_run"]

SCHEMA = "run/1"
_PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "pyarrow")


class RunDir:
    """An open run folder; make one with :meth:`open` and use it as a context manager.

    Leaving the context marks the run ``done``, or ``failed`` with the error's line, or ``interrupted``.
    """

    def __init__(self, path: Path, lock: FolderLock, state: dict[str, Any]) -> None:
        self.path = path
        self._lock = lock
        self._state = state
        self._writers: dict[str, JsonlWriter] = {}
        self._guard = threading.Lock()

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        command: str,
        config: Mapping[str, Any],
        seed: int,
        inputs: Mapping[str, Path] | None = None,
        licences: Sequence[str] | None = None,
    ) -> RunDir:
        """Make a run folder, or resume the one that is there.

        Args:
            path: the folder; made with its parents.
            command: the whole command line, for the record; a different verb on an existing run is refused.
            config: the resolved configuration (JSON-like). Secrets in it are redacted before anything is written.
            seed: the run's seed.
            inputs: name -> file or folder that the result depends on; hashed (SHA-256).
            licences: of the inputs and models.

        Raises:
            ConfigError: the folder holds a run of another configuration, seed, command or input; lists the keys.
            AgoraError: another process works in it, or the disk is full.
        """
        path = Path(path)
        asked = _asked(command, config, seed, inputs or {})
        lock = FolderLock(path)
        try:
            file = path / RUN_FILE
            old = _read_state(file) if file.exists() else None
            if old is not None:
                _refuse_changes(path, old, asked)
            sweep_temporaries(path)
            run = cls(path, lock, _state(old, asked, licences or []))
            run._save()
            run.event("opened" if old is None else "resumed", **_circumstances(run._state, old))
        except BaseException:
            lock.release()
            raise
        return run

    @property
    def info(self) -> dict[str, Any]:
        """A copy of what ``run.json`` holds."""
        copy: dict[str, Any] = loads(dumps(self._state))
        return copy

    @property
    def seconds(self) -> dict[str, float]:
        """Seconds spent in each stage, over all resumes."""
        return {name: stage["seconds"] for name, stage in self._state["stages"].items()}

    def file(self, name: str) -> Path:
        """The path of a file in the run folder, its parent folders made.

        Raises:
            UsageError: the name leads out of the folder.
        """
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts or not relative.parts:
            raise UsageError(f'"{name}" is not a name inside the run folder', where=str(self.path))
        path = self.path / relative
        make_folder(path.parent)
        return path

    def event(self, kind: str, **fields: Any) -> None:
        """Append one line to ``events.jsonl``; secrets are redacted."""
        self._append("events.jsonl", {"time": _now(), "kind": kind} | redact(fields))

    def metric(self, name: str, value: float | None, step: int | None = None, **fields: Any) -> None:
        """Append one measured value to ``metrics.jsonl``.

        Args:
            name: what was measured, with its unit.
            value: None (or NaN) where it is missing.
            step: of the training or round, if there is one.
            fields: labels (``model="dpo"``); name and labels make the metric's identity.
        """
        row = {"time": _now(), "name": name, "value": value}
        self._append("metrics.jsonl", row | ({} if step is None else {"step": step}) | redact(fields))

    def _append(self, name: str, row: dict[str, Any]) -> None:
        with self._guard:
            if name not in self._writers:
                self._writers[name] = JsonlWriter(self.path / name)
            self._writers[name].write(row)

    def done(self, stage: str) -> bool:
        """True when the stage was finished, now or before a resume."""
        return bool(self._state["stages"].get(stage, {}).get("done"))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage and, unless it raises, mark it done at its end.

        The seconds of attempts that raised or were interrupted are kept and added; those of a killed attempt are lost.
        """
        earlier = 0.0 if self.done(name) else self.seconds.get(name, 0.0)
        self.event("stage_started", stage=name)
        start = time.perf_counter()
        try:
            yield
        except BaseException as err:
            self._mark(name, earlier + time.perf_counter() - start, done=None)
            self.event("stage_stopped", stage=name, error=_error_line(err))
            raise
        seconds = earlier + time.perf_counter() - start
        self._mark(name, seconds, done=_now())
        self.event("stage_done", stage=name, seconds=round(seconds, 3))

    def _mark(self, name: str, seconds: float, done: str | None) -> None:
        with self._guard:
            self._state["stages"][name] = {"seconds": round(seconds, 3), "done": done}
            self._save()

    def _save(self) -> None:
        write_json(self.path / RUN_FILE, self._state)

    def finish(self, status: str = "done", error: str | None = None) -> None:
        """Write the run's end: ``done``, ``failed``, ``interrupted``, or a word of the caller's."""
        self._state |= {"status": status, "finished": _now(), "error": redact(error)}
        self._save()
        self.event("finished", status=status)

    def close(self) -> None:
        """Close the files and let other processes in; closing twice is fine. The status stays as it is."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if isinstance(error, KeyboardInterrupt):
                self.finish("interrupted")
            elif error is not None:
                self.finish("failed", _error_line(error))
            elif self._state["status"] == "running":
                self.finish()
        finally:
            self.close()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _error_line(err: BaseException) -> str:
    return " ".join(f"{type(err).__name__}: {err}".split())[:500]


def _asked(command: str, config: Mapping[str, Any], seed: int, inputs: Mapping[str, Path]) -> dict[str, Any]:
    """What decides the result, as it is written: without secrets, through JSON once so that it compares equal."""
    hashed = {name: {"path": str(p), "sha256": sha256_path(Path(p))} for name, p in inputs.items()}
    asked = {"command": command, "config": config, "seed": seed, "inputs": hashed}
    plain: dict[str, Any] = redact(loads(dumps(asked)))
    return plain


def _read_state(file: Path) -> dict[str, Any]:
    state: Any = read_json(file)
    hint = "choose another --out"
    if not isinstance(state, dict) or not {"command", "config", "seed", "inputs", "stages"} <= state.keys():
        raise ConfigError("this is not a run's file", where=str(file), hint=hint)
    if state.get("schema") != SCHEMA:
        what = f"the run is of another version ({state.get('schema')}, expected {SCHEMA})"
        raise ConfigError(what, where=str(file), hint=hint)
    found: dict[str, Any] = state
    return found


def _frame(state: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the result beside the configuration: a moved input or another --json changes nothing."""
    verb = takewhile(re.compile("[a-z][a-z_-]*").fullmatch, str(state["command"]).split())
    inputs = {name: entry["sha256"][:12] for name, entry in state["inputs"].items()}
    return {"command": " ".join(verb), "seed": state["seed"], "inputs": inputs}


def _refuse_changes(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    changed = differences(old["config"], new["config"]) | differences(_frame(old), _frame(new))
    if changed:
        hint = "repeat the old values to resume it, or choose another --out"
        raise ConfigError(f"this run was started differently: {describe(changed)}", where=str(path), hint=hint)


def _state(old: dict[str, Any] | None, asked: dict[str, Any], licences: Sequence[str]) -> dict[str, Any]:
    if old is not None:
        known = old.get("licences", [])
        merged = known + [x for x in licences if x not in known]
        return old | {"status": "running", "finished": None, "error": None, "licences": merged}
    return {
        "schema": SCHEMA,
        **asked,
        "licences": list(licences),
        "version": agora.__version__,
        "packages": _packages(),
        "machine": _machine(),
        "created": _now(),
        "status": "running",
        "finished": None,
        "error": None,
        "stages": {},
    }


def _circumstances(state: Mapping[str, Any], old: Mapping[str, Any] | None) -> dict[str, Any]:
    if old is None:
        return {"version": agora.__version__, "pid": os.getpid()}
    return {"version": agora.__version__, "pid": os.getpid(), "machine": _machine(), "status_before": old.get("status")}


def _packages() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _machine() -> dict[str, Any]:
    """What the speed depends on; no host or user name."""
    machine: dict[str, Any] = {
        "system": platform.system(),
        "arch": platform.machine(),
        "python": platform.python_version(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }
    torch = sys.modules.get("torch")  # never imported for this alone
    if torch is not None and torch.cuda.is_available():
        machine["gpus"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return machine
