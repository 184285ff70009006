"""Enrichment beside a running service: small batches with pauses between, so that nobody who chats waits for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from agora.core.errors import AgoraError, MissingError
from agora.rooms.collect.enrich.kinds import FACTORIES, Kind, make_kinds
from agora.rooms.collect.enrich.work import Worker
from agora.store import Store
from agora.store.ids import new_id, now_us

EVERY_S = 2.0  # between two looks for new messages
BATCH = 16
_PAUSE_S = 0.05  # between two batches
_HOUR_US = 3_600_000_000
_LOG = logging.getLogger("agora.enrich")


class BackgroundEnrichment:
    """Annotates new messages as long as the service runs.

    All messages are gone through at the start and each hour; in between only those of the last hour are looked at, so
    that the cost of a look does not grow with the store.

    Args:
        store: an open store.
        kinds: text kinds; one that cannot run here is left to ``agora collect enrich``.
        every_s: between two looks.
    """

    def __init__(self, store: Store, kinds: Sequence[str], *, every_s: float = EVERY_S) -> None:
        self._stopped = False
        self._every_s = every_s
        self._worker = Worker(store, batch=BATCH, stopped=lambda: self._stopped)
        self._names = [name for name in kinds if name in FACTORIES]
        self._whole_us = 0

    async def run(self) -> None:
        """Work until cancelled. An error is logged and tried again later: it never ends the service."""
        kinds = await asyncio.to_thread(self._make)
        while kinds and not self._stopped:
            try:
                kinds = await self._look(kinds)
            except AgoraError as err:
                _LOG.error("enrichment: %s", err)
            await asyncio.sleep(self._every_s)

    def stop(self) -> None:
        """End after the batch in hand."""
        self._stopped = True

    def _make(self) -> list[Kind]:
        kinds: list[Kind] = []
        for name in self._names:
            try:
                kinds += make_kinds(name)
            except MissingError as err:
                _LOG.warning("enrichment of kind %s is unavailable: %s", name, err)
        return kinds

    async def _look(self, kinds: list[Kind]) -> list[Kind]:
        """Do all that is to be done; the kinds that can go on."""
        whole = now_us() - self._whole_us > _HOUR_US
        after = "" if whole else new_id(now_us() - _HOUR_US)
        going_on = []
        for kind in kinds:
            while True:
                done = await asyncio.to_thread(self._worker.run, kind, after=after, most=1, wait=False)
                if done.unavailable:
                    _LOG.warning("enrichment of kind %s is unavailable: %s", kind.name, done.unavailable)
                    break
                if not done.messages or self._stopped:
                    going_on.append(kind)
                    break
                await asyncio.sleep(_PAUSE_S)
        if whole:
            self._whole_us = now_us()
        return going_on
