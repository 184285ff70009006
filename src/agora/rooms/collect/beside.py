"""The work beside a running service: enrichment and the search index, in a process of its own.

What people say is annotated and indexed while others chat. In the service's own process that work would share Python's
interpreter with every reply, and a first word would wait for it; in a child with a lower priority it takes what the
service leaves. The child is told what to do in one line on its standard input (an address of a database may hold a
password, so it is no argument) and ends with the batch in hand when that is closed, also by the death of its parent.
What it has to say comes back line by line, and the service logs it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agora.core.json_text import dumps, loads
from agora.store import Store

START_S = 1.0  # after the service; a service that is up for less has nothing to be enriched
_AGAIN_S = (5.0, 60.0)  # before a child that ended by itself is started again: the first time, and at most
_NICENESS = 10
_PATIENCE_S = 10.0  # that a child has for its last batch
_LOG = logging.getLogger("agora.beside")


class Beside:
    """Keeps a child at work as long as the service runs.

    Args:
        store: which the child opens for itself.
        kinds: of annotation that are made of new messages; empty for none.
        index: whether the search index follows the store.
    """

    def __init__(self, store: Store, kinds: Sequence[str], *, index: bool) -> None:
        self._job: dict[str, Any] = {
            "db": store.engine.url.set(drivername=store.engine.url.get_backend_name()).render_as_string(False),
            "keys": str(store.keys.path or ""),
            "kinds": list(kinds),
            "index": index,
        }
        self._child: asyncio.subprocess.Process | None = None

    async def run(self) -> None:
        """Start the child, log what it says, and start it again when it ends; until cancelled."""
        if not self._job["kinds"] and not self._job["index"]:
            return
        await asyncio.sleep(START_S)
        pause, most = _AGAIN_S
        while True:
            command = (sys.executable, "-m", "agora.rooms.collect.beside")
            pipe, alone = asyncio.subprocess.PIPE, {"OMP_NUM_THREADS": "1"}
            self._child = child = await asyncio.create_subprocess_exec(
                *command, stdin=pipe, stdout=pipe, env={**os.environ, **alone}, start_new_session=True
            )
            assert child.stdin is not None and child.stdout is not None
            child.stdin.write(dumps(self._job) + b"\n")
            async for line in child.stdout:
                told = loads(line)
                logging.getLogger(told["logger"]).log(told["level"], "%s", told["message"])
            _LOG.error("the work beside the service ended (exit %s); starting it again", await child.wait())
            await asyncio.sleep(pause)
            pause = min(2 * pause, most)

    async def stop(self) -> None:
        """Let the child end its batch, and wait for it; call after :meth:`run` was cancelled."""
        child = self._child
        if child is None or child.returncode is not None or child.stdin is None:
            return
        child.stdin.close()
        try:
            await asyncio.wait_for(child.wait(), _PATIENCE_S + 1)
        except TimeoutError:
            child.kill()
            await child.wait()


class _Lines(logging.Handler):
    """Messages as lines of JSON on standard output; an error is told by its kind, for its text may quote a message."""

    def emit(self, record: logging.LogRecord) -> None:
        error = f" ({record.exc_info[0].__name__})" if record.exc_info and record.exc_info[0] else ""
        told = {"logger": record.name, "level": record.levelno, "message": record.getMessage() + error}
        os.write(1, dumps(told) + b"\n")


async def _work(job: dict[str, Any], ended: asyncio.Event) -> None:
    from agora.rooms.collect.enrich.background import BackgroundEnrichment
    from agora.rooms.collect.explore.follow import keep_indexed

    store = Store.open(job["db"], keys=Path(job["keys"]), make=False)
    enrichment = BackgroundEnrichment(store, job["kinds"])
    tasks = [asyncio.create_task(enrichment.run())]
    if job["index"]:
        tasks.append(asyncio.create_task(keep_indexed(store)))
    await ended.wait()
    threading.Timer(_PATIENCE_S, os._exit, (0,)).start()
    enrichment.stop()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_default_executor()  # the batch in hand
    store.close()
    os._exit(0)  # and not the timer


def main() -> None:
    """The child."""
    os.nice(_NICENESS)
    logging.basicConfig(level=logging.INFO, handlers=[_Lines()])
    job = loads(sys.stdin.buffer.readline())

    async def work() -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()

        def wait_for_parent() -> None:
            sys.stdin.buffer.read()
            loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=wait_for_parent, name="agora-parent", daemon=True).start()
        await _work(job, ended)

    asyncio.run(work())


if __name__ == "__main__":
    main()
