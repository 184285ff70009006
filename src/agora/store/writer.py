"""One thread that writes: jobs that wait at the same moment share one commit.

A commit costs a disk flush (milliseconds) whatever it holds, so a busy service that commits one message at a time is
limited by the disk. Here a job is done only when the commit that holds it is, and a failing job undoes itself alone.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, text

from agora.core.errors import AgoraError
from agora.store.database import writing
from agora.store.prepared import Prepared

T = TypeVar("T")
Job = tuple[Callable[[Connection], Any], "Future[Any]"]
_BEGIN = Prepared(text("SAVEPOINT agora_job"))
_UNDO = Prepared(text("ROLLBACK TO SAVEPOINT agora_job"))
_END = Prepared(text("RELEASE SAVEPOINT agora_job"))
_MOST = 256  # jobs in one commit: bounds what a crash can make a client send again


class Writer:
    """Runs functions of a connection one after another in a thread of its own.

    Args:
        engine: from :func:`agora.store.database.open_database`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="agora-writer", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[Connection], T]) -> Future[T]:
        """Put a job in line. The future has its result once it is on disk, or its error."""
        if self._closed:
            raise AgoraError("the store is closed")
        future: Future[T] = Future()
        self._jobs.put((job, future))
        return future

    def run(self, job: Callable[[Connection], T]) -> T:
        """Put a job in line and wait for it."""
        return self.submit(job).result()

    def close(self) -> None:
        """Finish the jobs in line and end the thread. Safe to call twice."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
            self._thread.join()

    def _run(self) -> None:
        open_ = True
        while open_:
            batch = [self._jobs.get()]
            while len(batch) < _MOST:
                try:
                    batch.append(self._jobs.get_nowait())
                except queue.Empty:
                    break
            open_ = None not in batch
            self._commit([job for job in batch if job is not None])

    def _commit(self, batch: list[Job]) -> None:
        done: list[tuple[Future[Any], Any]] = []
        batch = [job for job in batch if job[1].set_running_or_notify_cancel()]
        if not batch:
            return
        try:
            with writing(self._engine) as connection:
                for job, future in batch:
                    _BEGIN.run(connection)
                    try:
                        result = job(connection)
                    except Exception as err:
                        if connection.invalidated:  # the database is gone, and with it what the others did
                            raise
                        future.set_exception(err)
                        _UNDO.run(connection)
                    else:
                        done.append((future, result))
                    _END.run(connection)
        except Exception as err:  # the commit itself failed: nothing of the batch is on disk
            for _, future in batch:
                if not future.done():
                    future.set_exception(err)
            return
        for future, result in done:
            future.set_result(result)
