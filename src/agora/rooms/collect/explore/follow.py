"""Keeping the index up to date while the service runs, in small steps between which the chat writes."""

from __future__ import annotations

import asyncio
import logging

from sqlalchemy.exc import SQLAlchemyError

from agora.core.errors import AgoraError
from agora.rooms.collect.erase import scrub
from agora.rooms.collect.explore.indexer import index_some, read_state
from agora.store import Store

_CONVERSATIONS = 40  # of one step: a few milliseconds of the writer's time
_BETWEEN_S, _IDLE_S, _AFTER_ERROR_S = 0.02, 1.0, 10.0
_CLEAN_EVERY_S = 30.0
log = logging.getLogger("uvicorn.error.explore")


async def keep_indexed(store: Store) -> None:
    """Follow the store until cancelled; clean what erasures left at most half a minute later."""
    loop = asyncio.get_running_loop()
    cleaned = loop.time()
    while True:
        try:
            done = await asyncio.to_thread(index_some, store, conversations=_CONVERSATIONS)
            if loop.time() - cleaned > _CLEAN_EVERY_S:
                cleaned = loop.time()
                await asyncio.to_thread(_clean, store)
            await asyncio.sleep(_BETWEEN_S if done.more else _IDLE_S)
        except (AgoraError, SQLAlchemyError):  # the chat goes on without search
            log.exception("the search index could not be brought up to date; trying again")
            await asyncio.sleep(_AFTER_ERROR_S)


def _clean(store: Store) -> None:
    with store.reading() as connection:
        unclean = read_state(connection).uncleaned
    if unclean:
        scrub(store.engine)
