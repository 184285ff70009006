"""Replies while they are written: one task each, which goes on to its end whoever is watching.

A watcher is told the text from any place on, so one that lost its connection comes back and misses nothing. The number
of a piece is the length of the reply up to its end, in characters: it means the same after a restart of the server.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from agora.rooms.collect import conversations
from agora.rooms.collect.guard.budget import Budget, Charge
from agora.rooms.collect.guard.context import estimate_tokens
from agora.rooms.collect.guard.settings import BudgetSettings
from agora.rooms.collect.leases import HEARTBEAT_S, beat, give_back, take_lease
from agora.rooms.collect.types import ChatError, Ending, Params, Status
from agora.rooms.collect.upstream import Turns, Upstream, UpstreamError
from agora.store import Store

FLUSH_S = 2.0
FLUSH_CHARS = 2048
_KEEP_TRYING_S = 600.0  # for how long the end of a reply waits for a store that is away


@dataclass(frozen=True, slots=True)
class Watched:
    """What a watcher is told: text from the last place on, the end, or neither (still here, nothing new).

    ``at`` is the place after it.
    """

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
    kept: int = 0  # characters on disk
    task: asyncio.Task[None] | None = None
    stopping: bool = False
    charge: Charge | None = None
    _waiting: list[asyncio.Future[None]] = field(default_factory=list)

    def add(self, text: str) -> None:
        """More of it; whoever watches is woken."""
        self.text += text
        self._wake()

    def end(self, ending: Ending) -> None:
        """It is over."""
        self.ending = ending
        self._wake()

    def _wake(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        self._waiting.clear()

    async def watch(self, place: int, still_here_s: float = 3600.0) -> AsyncIterator[Watched]:
        """Text beyond a place as it is written, and the end; a sign of life when nothing came for so many seconds."""
        loop = asyncio.get_running_loop()
        while True:
            text, ending = self.text[place:], self.ending
            if text:
                place += len(text)
                yield Watched(place, text)
            if ending is not None:
                yield Watched(place, ending=ending)
                return
            if len(self.text) > place or self.ending is not None:
                continue  # it grew while the watcher was busy
            waiting = loop.create_future()
            self._waiting.append(waiting)
            try:
                async with asyncio.timeout(still_here_s):
                    await waiting
            except TimeoutError:
                yield Watched(place)


class Replies:
    """All replies that are being written in this process.

    Args:
        store: where they are kept.
        upstream: who writes them.
        most_of_one: how many one subject may have at once.
        budget: where a reply's charge is corrected when it ends. ``ended`` counts replies by status.
    """

    def __init__(self, store: Store, upstream: Upstream, *, most_of_one: int = 2, budget: Budget | None = None) -> None:
        self.budget = budget or Budget(BudgetSettings())
        self.ended: Counter[str] = Counter()
        self._store, self._upstream, self._most = store, upstream, most_of_one
        self.writer = store.write(take_lease)
        self._regular: list[asyncio.Task[None]] = []
        self._live: dict[str, LiveReply] = {}

    @property
    def model(self) -> str:
        """Name of the model that answers."""
        return self._upstream.name

    @property
    def count(self) -> int:
        """Replies that are being written now."""
        return len(self._live)

    def open(self) -> None:
        """Begin to keep what is written, and to tell the other processes that this one lives.

        Call it in the event loop that serves.
        """
        self._regular = [asyncio.create_task(work, name="replies") for work in (self._beat(), self._flush_regularly())]

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            with contextlib.suppress(OperationalError):  # a store that is away: try again at the next beat
                await self._keep(lambda c: beat(c, self.writer))

    async def _flush_regularly(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_S)
            await self._flush([live for live in self._live.values() if len(live.text) > live.kept])

    async def _flush(self, grown: Sequence[LiveReply]) -> None:
        """Put what is there of some replies on disk, in one commit."""
        texts = [(live, live.text) for live in grown]
        if not texts:
            return

        def keep(connection: Connection) -> None:
            for live, text in texts:
                conversations.flush_reply(connection, live.message_id, text)

        with contextlib.suppress(OperationalError):  # the text is still here: the next flush has it too
            await self._keep(keep)
            for live, text in texts:
                live.kept = len(text)

    def check_free(self, subject_id: str | None) -> None:
        """Raise when this subject has as many unfinished replies as one may have.

        Raises:
            ChatError: ``too_many_streams``.
        """
        if sum(live.subject_id == subject_id for live in self._live.values()) >= self._most:
            raise ChatError("too_many_streams", "please wait until a reply is finished", 429, retry_after_s=5)

    def start(
        self, subject_id: str, message_id: str, turns: Turns, params: Params, charge: Charge | None = None
    ) -> None:
        """Begin to write the reply with this id; it is in the store already."""
        live = LiveReply(message_id, subject_id, self._upstream.name, charge=charge)
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
        for work in self._regular:
            work.cancel()
        with contextlib.suppress(OperationalError):
            await self._keep(lambda c: give_back(c, self.writer))
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
            await self._keep_end(live, ending)
        finally:
            self.ended[ending.status] += 1
            live.end(ending)
            self._live.pop(live.message_id, None)

    async def _keep_end(self, live: LiveReply, ending: Ending) -> None:
        """Put the end on disk; a store that is away for a while is waited for."""
        until, wait_s = monotonic() + _KEEP_TRYING_S, 0.25
        while True:
            try:
                await self._keep(lambda c: self._finish(c, live, ending))
                return
            except OperationalError:
                if monotonic() > until:
                    raise
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, 5.0)

    def _finish(self, connection: Connection, live: LiveReply, ending: Ending) -> None:
        conversations.finish_reply(connection, live.message_id, live.text, ending)
        if live.charge is not None:
            self.budget.settle(connection, live.charge, ending.usage, estimate_tokens(live.text))

    async def _follow(self, live: LiveReply, turns: Turns, params: Params) -> Ending:
        async for piece in self._upstream.stream(turns, params):
            if piece.text:
                live.add(piece.text)
                if len(live.text) - live.kept >= FLUSH_CHARS:
                    await self._flush([live])
            if piece.finish_reason is not None:
                status = Status.LENGTH if piece.finish_reason == "length" else Status.COMPLETE
                return Ending(status, piece.finish_reason, usage=piece.usage, upstream_id=piece.upstream_id)
        raise UpstreamError("upstream_broken", "the reply broke off")

    async def _keep(self, job: Callable[..., None]) -> None:
        await asyncio.wrap_future(self._store.submit(job))
