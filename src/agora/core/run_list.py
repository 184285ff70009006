"""Looking at runs from outside: list them, read one, compare two. Nothing here writes or waits for a lock."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agora.core.differences import differences
from agora.core.errors import AgoraError, DataError, MissingError
from agora.core.files import missing
from agora.core.jsonl import Rejects, read_json
from agora.core.lock import is_locked

RUN_FILE = "run.json"
RUNS_ROOT = Path("runs")
_DEPTH = 3


@dataclass(frozen=True, slots=True)
class RunInfo:
    """One run as a list shows it.

    ``status`` is ``running``, ``done``, ``failed``, ``interrupted``, ``stopped`` (its process died) or ``broken``, with
    the reason in ``problem``. ``seconds`` is the time spent in stages.
    """

    path: str
    name: str
    status: str
    command: str = ""
    seed: int | None = None
    version: str = ""
    created: str = ""
    seconds: float = 0.0
    problem: str | None = None


def list_runs(root: Path = RUNS_ROOT) -> list[RunInfo]:
    """The runs in a folder and up to three levels below, oldest first; a broken one is listed as such.

    Raises:
        MissingError: the folder does not exist.
    """
    root = Path(root)
    if not root.is_dir():
        raise missing(root, "folder of runs")
    found = [_info(path, root) for path in _run_folders(root, _DEPTH)]
    return sorted(found, key=lambda run: (run.created, run.name))


def _run_folders(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / RUN_FILE).is_file():
        yield folder
        return
    if depth == 0:
        return
    try:
        inner = sorted(p for p in folder.iterdir() if p.is_dir() and not p.is_symlink() and not p.name.startswith("."))
    except OSError:
        return  # a folder that may not be read holds no run of ours
    for path in inner:
        yield from _run_folders(path, depth - 1)


def _info(path: Path, root: Path) -> RunInfo:
    name = str(path.relative_to(root)) if path != root else path.resolve().name
    try:
        state = read_run(path)
        seconds = sum(float(stage["seconds"]) for stage in state["stages"].values())
        status = str(state["status"])
        if status == "running" and not is_locked(path):
            status = "stopped"
        return RunInfo(
            path=str(path),
            name=name,
            status=status,
            command=str(state["command"]),
            seed=state.get("seed"),
            version=str(state.get("version", "")),
            created=str(state.get("created", "")),
            seconds=round(seconds, 3),
            problem=state.get("error"),
        )
    except AgoraError as err:
        return RunInfo(str(path), name, "broken", problem=err.what)
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        return RunInfo(str(path), name, "broken", problem=f"{RUN_FILE} lacks or garbles a field ({err})")


def find_run(name: Path) -> Path:
    """A run's folder from its path, or from its name under ``runs/``."""
    under = RUNS_ROOT / name
    return under if not (name / RUN_FILE).is_file() and (under / RUN_FILE).is_file() else name


def read_run(path: Path) -> dict[str, Any]:
    """What a run's ``run.json`` holds.

    Raises:
        MissingError: there is no run in this folder.
        DataError: the file is broken.
    """
    path = Path(path)
    if not path.is_dir():
        raise missing(path, "run")
    file = path / RUN_FILE
    if not file.is_file():
        raise MissingError(
            f"there is no run in this folder (no {RUN_FILE})", where=str(path), hint="see: agora runs list"
        )
    state = read_json(file)
    if not isinstance(state, dict) or not isinstance(state.get("config"), dict):
        raise DataError("not a run's file", where=str(file))
    found: dict[str, Any] = state
    return found


def read_metrics(path: Path) -> dict[str, float | None]:
    """The last value of each metric of a run, under ``name`` or ``name{label=value, ...}``.

    A torn last line, which a killed run leaves, is not a value.
    """
    from agora.core.tables import read_rows

    file = Path(path) / "metrics.jsonl"
    if not file.is_file() or not file.stat().st_size:
        return {}
    last: dict[str, float | None] = {}
    for _, row in read_rows(file, rejects=Rejects()):
        labels = {k: v for k, v in row.items() if k not in ("time", "name", "value", "step")}
        inside = ", ".join(f"{k}={labels[k]}" for k in sorted(labels))
        value = row.get("value")
        last[f"{row.get('name')}{{{inside}}}" if inside else str(row.get("name"))] = value
    return last


def compare_runs(a: Path, b: Path) -> dict[str, Any]:
    """What differs between two runs.

    Returns:
        ``{"a", "b", "config": {key: [a, b]}, "metrics": {key: {"a", "b", "difference"}}, "same_metrics": n}``. The
        configuration includes seed, version, command and input hashes; a metric's last value counts; ``difference`` is
        b - a, None where one is missing.

    Raises:
        MissingError, DataError: one of them is no run, or broken.
    """
    config = differences(_comparable(read_run(a)), _comparable(read_run(b)))
    left, right = read_metrics(a), read_metrics(b)
    keys = sorted(left.keys() | right.keys())
    metrics = {k: _pair(left.get(k), right.get(k)) for k in keys if left.get(k) != right.get(k)}
    return {
        "a": str(a),
        "b": str(b),
        "config": {key: [pair.old, pair.new] for key, pair in config.items()},
        "metrics": metrics,
        "same_metrics": len(keys) - len(metrics),
    }


def _pair(a: Any, b: Any) -> dict[str, Any]:
    numbers = all(isinstance(x, int | float) for x in (a, b))
    return {"a": a, "b": b, "difference": b - a if numbers else None}


def _comparable(state: dict[str, Any]) -> dict[str, Any]:
    inputs = state.get("inputs") if isinstance(state.get("inputs"), dict) else {}
    hashes = {name: entry.get("sha256") for name, entry in (inputs or {}).items() if isinstance(entry, dict)}
    kept = {key: state.get(key) for key in ("command", "seed", "version")}
    comparable: dict[str, Any] = state["config"] | kept | {"inputs": hashes}
    return comparable
