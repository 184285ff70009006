"""Replies while they are written: one task each, which goes on to its end whoever is watching.

A watcher is told the text from any place on, so one that lost its connection comes back and misses nothing. The number
of a piece is the length of the reply up to its end, in characters: it means the same after a restart of the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial
from time import monotonic

from agora.rooms.collect import conversations
from agora.rooms.collect.types import ChatError, Ending, Params, Status
from agora.rooms.collect.upstream import Turns, Upstream, UpstreamError
from agora.store import Store

FLUSH_S = 2.0
FLUSH_CHARS = 2048


@dataclass(frozen=True, slots=True)
class Watched:
    """What a watcher is told: text from the last place on, or the end. ``at`` is the place after it."""

    at: int
    text: str = ""
    ending: Ending | None = None


@dataclass
class LiveReply:
    """A reply that is being written."""

    message_id: str
    subject_id: str
    model: str
    text: str = ""
    ending: Ending | None = None
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    task: asyncio.Task[None] | None = None
    stopping: bool = False

    async def watch(self, place: int) -> AsyncIterator[Watched]:
        """Text beyond a place as it is written, and the end."""
        while True:
            async with self.changed:
                await self.changed.wait_for(partial(self._beyond, place))
                text, ending = self.text[place:], self.ending
            if text:
                place += len(text)
                yield Watched(place, text)
            if ending is not None:
                yield Watched(place, ending=ending)
                return

    def _beyond(self, place: int) -> bool:
        return len(self.text) > place or self.ending is not None


class Replies:
    """All replies that are being written in this process.

    Args:
        store: where they are kept.
        upstream: who writes them.
        most_of_one: how many one subject may have at once.
    """

    def __init__(self, store: Store, upstream: Upstream, *, most_of_one: int = 2) -> None:
        self._store, self._upstream, self._most = store, upstream, most_of_one
        self._live: dict[str, LiveReply] = {}

    @property
    def model(self) -> str:
        """Name of the model that answers."""
        return self._upstream.name

    @property
    def count(self) -> int:
        """Replies that are being written now."""
        return len(self._live)

    def check_free(self, subject_id: str) -> None:
        """Raise when this subject has as many unfinished replies as one may have.

        Raises:
            ChatError: ``too_many_streams``.
        """
        if sum(live.subject_id == subject_id for live in self._live.values()) >= self._most:
            raise ChatError("too_many_streams", "please wait until a reply is finished", 429, retry_after_s=5)

    def start(self, subject_id: str, message_id: str, turns: Turns, params: Params) -> None:
        """Begin to write the reply with this id; it is in the store already."""
        live = LiveReply(message_id, subject_id, self._upstream.name)
        self._live[message_id] = live
        live.task = asyncio.create_task(self._write(live, turns, params), name=f"reply {message_id}")

    async def stop(self, message_id: str, subject_id: str) -> bool:
        """End a reply where it stands; False when it is not being written, or is another's."""
        live = self._live.get(message_id)
        if live is None or live.subject_id != subject_id or live.task is None:
            return False
        live.stopping = True
        live.task.cancel()
        await asyncio.gather(live.task, return_exceptions=True)
        return True

    def find(self, message_id: str) -> LiveReply | None:
        """The reply, while this process writes it."""
        return self._live.get(message_id)

    async def close(self, patience_s: float = 5.0) -> None:
        """Give unfinished replies a moment, then keep what they have as interrupted."""
        tasks = [live.task for live in self._live.values() if live.task is not None]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=patience_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._upstream.close()

    async def _write(self, live: LiveReply, turns: Turns, params: Params) -> None:
        try:
            ending = await self._follow(live, turns, params)
        except asyncio.CancelledError:
            ending = Ending(Status.STOPPED if live.stopping else Status.INTERRUPTED)
        except UpstreamError as err:
            status = Status.TIMEOUT if err.code == "timeout" else Status.UPSTREAM_ERROR
            ending = Ending(status, error_code=err.code)
        except Exception:  # a fault of ours must not leave a reply that never ends
            ending = Ending(Status.UPSTREAM_ERROR, error_code="internal")
        try:
            await self._keep(lambda c: conversations.finish_reply(c, live.message_id, live.text, ending))
        finally:
            async with live.changed:
                live.ending = ending
                live.changed.notify_all()
            self._live.pop(live.message_id, None)

    async def _follow(self, live: LiveReply, turns: Turns, params: Params) -> Ending:
        kept, kept_at = 0, monotonic()
        async for piece in self._upstream.stream(turns, params):
            if piece.text:
                async with live.changed:
                    live.text += piece.text
                    live.changed.notify_all()
                if len(live.text) - kept >= FLUSH_CHARS or monotonic() - kept_at >= FLUSH_S:
                    so_far = live.text
                    await self._keep(lambda c, so_far=so_far: conversations.flush_reply(c, live.message_id, so_far))
                    kept, kept_at = len(so_far), monotonic()
            if piece.finish_reason is not None:
                status = Status.LENGTH if piece.finish_reason == "length" else Status.COMPLETE
                return Ending(status, piece.finish_reason, usage=piece.usage, upstream_id=piece.upstream_id)
        raise UpstreamError("upstream_broken", "the reply broke off")

    async def _keep(self, job: Callable[..., None]) -> None:
        await asyncio.wrap_future(self._store.submit(job))
