"""Map a function over items in worker processes. Whatever offers :class:`Runner` can take their place (Ray)."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol, TypeVar

from agora.core.errors import AgoraError, UsageError

A = TypeVar("A")
B = TypeVar("B")


class Runner(Protocol):
    """Where work is done."""

    def map(self, fn: Callable[[A], B], items: Sequence[A]) -> Generator[B, None, None]:
        """Results in the order in which they are ready.

        Raises:
            AgoraError: an item failed, or the process that worked on it died; names the item. Items that were being
                worked on are finished first, others are not begun.
        """


class SerialRunner:
    """One item after another in this process: nothing to start, easy to debug."""

    def __enter__(self) -> SerialRunner:
        """There is nothing to keep; see :class:`LocalRunner`."""
        return self

    def __exit__(self, *_: object) -> None: ...

    def map(self, fn: Callable[[A], B], items: Sequence[A]) -> Generator[B, None, None]:
        """See :class:`Runner`."""
        for item in items:
            yield fn(item)


class LocalRunner:
    """A pool of spawned processes on this machine.

    Unlike the standard pools it knows which process works on what, so a process that dies is reported with its item.
    Ctrl-C and errors in the caller stop the processes at once. Inside a ``with`` block they stay from one map to the
    next: a process that loads what a release needs spends most of a second before its first item.

    Args:
        workers: how many processes, at least 1.
    """

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise UsageError(f"workers must be at least 1, got {workers}")
        self.workers = workers
        self._stays = False
        self._idle: list[_Worker] = []

    def __enter__(self) -> LocalRunner:
        """Keep processes until the end of the block."""
        self._stays = True
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the processes."""
        self._stays = False
        _stop(self._idle)

    def map(self, fn: Callable[[A], B], items: Sequence[A]) -> Generator[B, None, None]:
        """See :class:`Runner`. ``fn``, items and results are pickled; ``fn`` must be importable."""
        try:
            pickle.dumps(fn)
        except (pickle.PicklingError, AttributeError, TypeError) as err:
            hint = "define its functions at the top level of a module, or use one worker"
            raise UsageError(f"the work cannot be sent to another process ({err})", hint=hint) from None
        pool = _Pool(fn, items)
        try:
            pool.start(min(self.workers, len(items)), self._idle)
            while pool.busy:
                yield from pool.collect()
            if self._stays:
                self._idle += pool.release()
        finally:
            _stop(pool.workers)
        if pool.failures:
            raise pool.failures[min(pool.failures)]


class _Worker:
    """A process, our end of its pipe, and the index of the item it works on."""

    def __init__(self, fn: Callable[[Any], Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, fn), daemon=True)
        with _no_interrupts():
            self.process.start()
        theirs.close()  # so that we see the end of the pipe when the process dies
        self.item = -1

    def turn_to(self, fn: Callable[[Any], Any]) -> _Worker:
        """Have the items that follow worked on by another function."""
        with suppress(OSError):  # as for an item
            self.pipe.send(_Function(fn))
        return self


class _Function:
    """What a process is sent before the items of another map."""

    def __init__(self, fn: Callable[[Any], Any]) -> None:
        self.fn = fn


class _Pool:
    def __init__(self, fn: Callable[[Any], Any], items: Sequence[Any]) -> None:
        self.fn, self.items = fn, items
        self.next = 0
        self.failures: dict[int, AgoraError] = {}
        self.workers: list[_Worker] = []

    @property
    def busy(self) -> list[_Worker]:
        return [worker for worker in self.workers if worker.item >= 0]

    def start(self, count: int, idle: list[_Worker]) -> None:
        """Begin with some processes: idle ones, which are taken from the list, and new ones."""
        for _ in range(count):
            self.workers.append(idle.pop().turn_to(self.fn) if idle else _Worker(self.fn))
            self._hand_out(self.workers[-1])

    def release(self) -> list[_Worker]:
        """Give away the processes that still live; they have nothing to do."""
        alive = [worker for worker in self.workers if worker.process.is_alive()]
        self.workers = [worker for worker in self.workers if worker not in alive]
        return alive

    def _hand_out(self, worker: _Worker) -> None:
        worker.item = -1
        if self.failures or self.next >= len(self.items):
            return
        worker.item, self.next = self.next, self.next + 1
        with suppress(OSError):  # it died already: collect() reads the end of the pipe
            worker.pipe.send(self.items[worker.item])

    def collect(self) -> Iterator[Any]:
        """Wait for at least one answer and give the results among them."""
        by_pipe = {worker.pipe: worker for worker in self.busy}
        for pipe in wait(list(by_pipe)):
            worker = by_pipe[pipe]  # type: ignore[index]
            try:
                result, failure = worker.pipe.recv()
            except (EOFError, OSError):
                result, failure = None, self._obituary(worker)
            if failure is None:
                self._hand_out(worker)
                yield result
            else:
                self.failures[worker.item] = failure
                worker.item = -1

    def _obituary(self, worker: _Worker) -> AgoraError:
        worker.process.join()
        code = worker.process.exitcode or 0
        how = f"was killed by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"ended with code {code}"
        if code == -signal.SIGKILL:
            hint = "it may have run out of memory: use fewer workers or smaller shards"
        else:
            hint = 'run with one worker to see why; a script needs `if __name__ == "__main__":` around its main part'
        return AgoraError(f"{self.items[worker.item]}: the worker process {how}", hint=hint)


def _stop(workers: list[_Worker]) -> None:
    """Stop processes, at once those that are at work, and empty the list."""
    for worker in workers:
        worker.pipe.close()
        if worker.item >= 0:
            worker.process.terminate()
    for worker in workers:
        worker.process.join(5)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.process.close()
    workers.clear()


def _serve(pipe: Connection, fn: Callable[[Any], Any]) -> None:
    """A worker's life: take an item, give ``(result, error)``, end when the pipe does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    os.environ["AGORA_PROGRESS"] = "0"
    with suppress(EOFError, OSError):
        while True:
            item = pipe.recv()
            if isinstance(item, _Function):
                fn = item.fn
                continue
            try:
                answer: tuple[Any, AgoraError | None] = fn(item), None
            except AgoraError as err:
                answer = None, err
            except Exception as err:
                answer = None, AgoraError(f"{item}: {type(err).__name__}: {err}")
            pipe.send(answer)


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """Children inherit the mask: a Ctrl-C while they start must not print their traces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
