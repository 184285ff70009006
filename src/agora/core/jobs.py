"""Pure steps over shards of a table: the same bytes wherever they run, and shards that are done stay done.

A folder of a job holds ``job.json`` (what was asked), ``shards/`` (the files of each shard) and ``rows.jsonl`` (the
shards' rows in order). Work that is no table of rows (vectors, blocks of a product) is a list of tasks that write files
of their own: :func:`run_tasks`.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from agora.core.differences import describe, differences
from agora.core.errors import ConfigError, DataError, MissingError, UsageError
from agora.core.files import BLOCK, atomic_file, nearest, sha256_file, sweep_temporaries
from agora.core.json_text import dumps, loads
from agora.core.jsonl import read_json, write_json
from agora.core.lock import FolderLock
from agora.core.progress import progress
from agora.core.records import stable_id
from agora.core.shards import Outcome, Shard, Step, make_shards, outcome_of, run_shard, shard_file
from agora.core.workers import LocalRunner, Runner, SerialRunner

__all__ = ["JobReport", "Runner", "Shard", "Step", "check_place", "make_shards", "run_steps", "run_tasks"]

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, slots=True)
class JobReport:
    """What a job did. ``rejects`` is None when no row was malformed; ``resumed`` shards were done before."""

    path: Path
    shards: int
    resumed: int
    rows_in: int
    rows_out: int
    rejected: int
    rejects: Path | None
    seconds: float
    workers: int


def run_steps(
    steps: Sequence[Step],
    shards: Sequence[Shard],
    *,
    out: Path,
    on: str = "local",
    workers: int | None = None,
    label: str = "job",
    max_reject_share: float = 0.0,
) -> JobReport:
    """Run steps over shards and join the results in the order of the shards.

    Called again on the same folder it skips the shards that are done. Ctrl-C and errors leave them there.

    Args:
        steps: applied one after another to each shard's rows.
        shards: their indices are distinct.
        out: the job's folder; the result is ``rows.jsonl`` in it, malformed input rows are in ``rejects.jsonl``.
        on: ``local``, ``ray`` or ``ray://HOST:PORT`` (see :class:`agora.core.ray_runner.RayRunner`).
        workers: processes; None for one per CPU. One worker means this process, except on Ray.
        label: for the progress bar.
        max_reject_share: 0 to 1; the first malformed input row is an error at 0, else the job fails past this share.

    Raises:
        ConfigError: the folder holds a job of other steps or inputs; lists what differs.
        AgoraError: a shard failed; names the shard, the step and its error. Or another process works in the folder.
    """
    runner_of = _runner_of(on)
    out, began = Path(out), time.perf_counter()
    if on != "local":  # other processes may work in other folders
        out, shards = out.absolute(), [replace(shard, path=shard.path.absolute()) for shard in shards]
    lock = FolderLock(out)
    try:
        sweep_temporaries(out)
        _refuse_changes(out, steps, shards)
        before = [found for shard in shards if (found := outcome_of(out, shard)) is not None]
        done = {outcome.index for outcome in before}
        todo = [shard for shard in shards if shard.index not in done]
        count = _workers(workers, len(todo), on)
        work = partial(run_shard, tuple(steps), out, max_reject_share > 0)
        limit = int(max_reject_share * sum(s.stop - s.start for s in shards))
        outcomes = before + _finish(runner_of(count), work, todo, before, limit, label)
        return _report(out, sorted(outcomes, key=lambda o: o.index), len(before), count, began)
    finally:
        sweep_temporaries(out)  # of workers that were stopped
        lock.release()


def run_tasks(
    fn: Callable[[A], B], tasks: Sequence[A], *, on: str = "local", workers: int | None = None, label: str = "job"
) -> list[B]:
    """The results of a function for each task, in the order of the tasks.

    Nothing is kept between calls: a task that may be done before looks for its own file and writes it whole.

    Args:
        fn: importable, so that it can be sent to another process.
        tasks: small values; where they name files, absolute paths that all workers see.
        on: as for :func:`run_steps`.
        workers: as for :func:`run_steps`.
        label: for the progress bar.

    Raises:
        AgoraError: a task failed; names it.
    """
    runner = _runner_of(on)(_workers(workers, len(tasks), on))
    results: dict[int, B] = {}
    with (
        progress(len(tasks), label, "parts") as bar,
        closing(runner.map(_Numbered(fn), list(enumerate(tasks)))) as done,
    ):
        for number, result in done:
            results[number] = result
            bar.advance()
    return [results[number] for number in range(len(tasks))]


@dataclass(frozen=True, slots=True)
class _Numbered:
    """A function that gives each result with the number of its task."""

    fn: Callable[[Any], Any]

    def __call__(self, numbered: tuple[int, Any]) -> tuple[int, Any]:
        return numbered[0], self.fn(numbered[1])


def _finish(
    runner: Runner,
    work: Callable[[Shard], Outcome],
    todo: Sequence[Shard],
    before: Sequence[Outcome],
    limit: int,
    label: str,
) -> list[Outcome]:
    """Do the shards that are left, under a progress bar; ``limit`` is how many malformed rows are borne."""
    outcomes: list[Outcome] = []
    rows_before = sum(outcome.rows_in for outcome in before)
    rejected = sum(outcome.rejected for outcome in before)
    _check_rejected(rejected, limit)
    with progress(rows_before + sum(s.stop - s.start for s in todo), label, "rows") as bar:
        bar.advance(rows_before)
        with closing(runner.map(work, todo)) as results:
            for outcome in results:
                outcomes.append(outcome)
                bar.advance(outcome.rows_in)
                rejected += outcome.rejected
                _check_rejected(rejected, limit)
    return outcomes


def _check_rejected(rejected: int, limit: int) -> None:
    if rejected > limit:
        what = f"{rejected:,} rows are malformed, more than the {limit:,} allowed"
        raise DataError(what, hint="see shards/*.rejects.jsonl, or allow a larger share")


def _report(out: Path, outcomes: Sequence[Outcome], resumed: int, workers: int, began: float) -> JobReport:
    rejected = sum(outcome.rejected for outcome in outcomes)
    return JobReport(
        path=_join(out, "rows.jsonl", outcomes),
        shards=len(outcomes),
        resumed=resumed,
        rows_in=sum(outcome.rows_in for outcome in outcomes),
        rows_out=sum(outcome.rows_out for outcome in outcomes),
        rejected=rejected,
        rejects=_join(out, "rejects.jsonl", [o for o in outcomes if o.rejected]) if rejected else None,
        seconds=round(time.perf_counter() - began, 3),
        workers=workers,
    )


def check_place(on: str) -> None:
    """See before the work that it can run there.

    Raises:
        ConfigError: no such place; names the nearest.
        MissingError: Ray is not installed.
    """
    _runner_of(on)


def _runner_of(on: str) -> Callable[[int], Runner]:
    if on == "local":
        return lambda count: LocalRunner(count) if count > 1 else SerialRunner()
    if on == "ray" or on.startswith("ray://"):
        from agora.core.ray_runner import RayRunner

        on_ray = RayRunner(on)  # tells at once when Ray is missing
        return lambda count: RayRunner(on_ray.address, count or None)
    near = nearest(on, ["local", "ray"])
    raise ConfigError(f'"{on}" is no place to run on', hint=f"did you mean {near}?" if near else "use local or ray")


def _workers(asked: int | None, todo: int, on: str) -> int:
    """How many processes to use; 0 leaves it to the cluster."""
    if asked is not None and asked < 1:
        raise UsageError(f"workers must be at least 1, got {asked}")
    if on != "local":
        return asked or 0
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(asked or cpus, todo))


def _refuse_changes(out: Path, steps: Sequence[Step], shards: Sequence[Shard]) -> None:
    """Write what was asked, or compare it with what was asked before."""
    indices = [s.index for s in shards]
    if len(set(indices)) != len(indices):
        raise UsageError("two shards have the same index", hint="number the shards of a second file with first_index")
    paths = list(dict.fromkeys(s.path for s in shards))
    asked: dict[str, Any] = {
        "schema": "job/1",
        "steps": {f"{n}": {"name": s.title, "version": s.version, "params": s.params} for n, s in enumerate(steps)},
        "inputs": {f"{n}": sha256_file(path)[:16] for n, path in enumerate(paths)},
        "shards": {"count": len(shards), "cut": stable_id(*[(s.index, s.start, s.stop) for s in shards])},
    }
    asked = loads(dumps(asked))  # as it will be read back
    file = out / "job.json"
    if not file.exists():
        write_json(file, asked)
        return
    old: Any = read_json(file)
    changed = differences(old if isinstance(old, dict) else {}, asked)
    if changed:
        hint = "repeat the old values to resume it, or choose another --out"
        raise ConfigError(f"this job was started differently: {describe(changed)}", where=str(out), hint=hint)


def _join(out: Path, name: str, outcomes: Sequence[Outcome]) -> Path:
    path = out / name
    with atomic_file(path) as joined:
        for outcome in outcomes:
            part_file = shard_file(out, outcome.index, name)
            if not part_file.exists():
                hint = "choose an --out that all machines of the cluster share"
                raise MissingError("a worker's file is not to be seen here", where=str(part_file), hint=hint)
            with part_file.open("rb") as part:
                shutil.copyfileobj(part, joined, BLOCK)
    return path
