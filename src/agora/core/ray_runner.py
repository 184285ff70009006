"""Map a function over items in the tasks of a Ray cluster: an existing one, or one that is started on this machine.

Files that the work reads and writes must be seen under the same paths by all machines of the cluster. A task whose
process or machine dies is given to another one; what it wrote before is replaced, because files appear whole.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from agora.core.errors import AgoraError, MissingError, UsageError

A = TypeVar("A")
B = TypeVar("B")
RETRIES = 2


class RayRunner:
    """The tasks of a Ray cluster.

    Args:
        address: ``ray://HOST:PORT`` for a cluster elsewhere; ``ray`` for the one that ``RAY_ADDRESS`` names (``auto``
            is one that ``ray start`` began here), else one on this machine that lives as long as the work.
        workers: most tasks at a time; None for as many as the cluster has CPUs.

    Raises:
        MissingError: Ray is not installed.
    """

    def __init__(self, address: str = "ray", workers: int | None = None) -> None:
        if workers is not None and workers < 1:
            raise UsageError(f"workers must be at least 1, got {workers}")
        _use_token(address)  # before Ray is imported, which reads it once
        _import_ray()
        self.address, self.workers = address, workers

    def map(self, fn: Callable[[A], B], items: Sequence[A]) -> Generator[B, None, None]:
        """See :class:`agora.core.workers.Runner`. ``fn`` must be importable on all machines of the cluster."""
        with _session(self.address) as ray:
            tasks = _Tasks(ray, fn, items, self.workers or max(int(ray.cluster_resources().get("CPU", 1)), 1))
            try:
                while tasks.running or tasks.can_begin:
                    yield from tasks.collect()
            finally:
                tasks.stop()
        if tasks.failures:
            raise tasks.failures[min(tasks.failures)]


class _Tasks:
    def __init__(self, ray: Any, fn: Callable[[Any], Any], items: Sequence[Any], limit: int) -> None:
        self._ray, self._items, self._limit = ray, items, limit
        self._fn = ray.put(fn)
        self._call = ray.remote(_call).options(num_cpus=1, max_retries=RETRIES)
        self._next = 0
        self.running: dict[Any, int] = {}
        self.failures: dict[int, AgoraError] = {}

    @property
    def can_begin(self) -> bool:
        return not self.failures and self._next < len(self._items)

    def collect(self) -> Iterator[Any]:
        """Keep the cluster busy, wait for a task, give its result."""
        while self.can_begin and len(self.running) < self._limit:
            self.running[self._call.remote(self._fn, self._items[self._next])] = self._next
            self._next += 1
        ready, _ = self._ray.wait(list(self.running), num_returns=1)
        for task in ready:
            index = self.running.pop(task)
            try:
                result, failure = self._ray.get(task)
            except self._ray.exceptions.RayError as err:
                result, failure = None, self._obituary(index, err)
            if failure is None:
                yield result
            else:
                self.failures[index] = failure

    def _obituary(self, index: int, err: Exception) -> AgoraError:
        died = self._ray.exceptions.WorkerCrashedError, self._ray.exceptions.OutOfMemoryError
        if isinstance(err, died):
            what = f"{self._items[index]}: its worker process died {RETRIES + 1} times"
            return AgoraError(what, hint="it may have run out of memory: use fewer workers or smaller shards")
        first = (str(err).strip().splitlines() or [""])[0]
        return AgoraError(f"{self._items[index]}: {type(err).__name__}: {first}")

    def stop(self) -> None:
        for task in self.running:
            with suppress(Exception):  # it may end by itself meanwhile
                self._ray.cancel(task, force=True)


def _call(fn: Callable[[Any], Any], item: Any) -> tuple[Any, AgoraError | None]:
    """What a task does: ``(result, error)``, so that an error keeps its type and is not tried again."""
    os.environ["AGORA_PROGRESS"] = "0"
    try:
        return fn(item), None
    except AgoraError as err:
        return None, err
    except Exception as err:
        return None, AgoraError(f"{item}: {type(err).__name__}: {err}")


@contextmanager
def _session(address: str) -> Iterator[Any]:
    """A connection, closed at the end unless the caller had it already. A cluster started for it ends with it."""
    ray = _import_ray()
    if ray.is_initialized():
        yield ray
        return
    try:
        ray.init(
            # without a name Ray would try the last cluster of this machine for two minutes, even a dead one
            address=os.environ.get("RAY_ADDRESS", "local") if address == "ray" else address,
            logging_level=logging.ERROR,
            log_to_driver=False,
            **({} if address.startswith("ray://") else {"include_dashboard": False}),
        )
    except (ConnectionError, TimeoutError, OSError, RuntimeError) as err:
        first = (str(err).strip().splitlines() or [type(err).__name__])[0]
        hint = "see `ray status` there; a cluster with tokens wants yours in RAY_AUTH_TOKEN or ~/.ray/auth_token"
        raise MissingError(f"no Ray cluster answers ({first})", where=address, hint=hint) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _use_token(address: str) -> None:
    """Send the user's token to a cluster elsewhere, as Ray does by itself to one on this machine.

    Ray makes a token when it first starts a cluster, and clusters that are started later ask for it.
    """
    token = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if address.startswith("ray://") and (token or (Path.home() / ".ray" / "auth_token").is_file()):
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _import_ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody unless the user asks for it
    try:
        import ray
    except ImportError:
        hint = "pip install 'agora[ray]', or use --on local"
        raise MissingError("running on Ray needs the package ray", hint=hint) from None
    return ray
