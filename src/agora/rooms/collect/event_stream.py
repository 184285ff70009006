"""A reply as server-sent events over HTTP: each event goes out as it comes, and the reader may leave at any time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from sse_starlette import ServerSentEvent
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

PING_S = 15.0
PING = b": still here\r\n\r\n"
_HEADERS = {"cache-control": "no-store", "x-accel-buffering": "no"}


def event(data: bytes, name: str | None = None, id: int | None = None) -> bytes:
    """One event as bytes; ``data`` is JSON."""
    return ServerSentEvent(data.decode(), event=name, id=None if id is None else str(id)).encode()


class EventStreamResponse(Response):
    """Sends chunks as they come and ends when its reader leaves.

    The stream of sse-starlette starts four tasks and takes a lock for each event; a reply is a hundred events, so the
    loop is written out here and its framing alone is used.

    Args:
        chunks: whole events; closed with the response.
        status_code: of HTTP.
    """

    media_type = "text/event-stream"

    def __init__(self, chunks: AsyncIterator[bytes], status_code: int = 200) -> None:
        super().__init__(status_code=status_code, headers=_HEADERS)
        del self.headers["content-length"]
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the chunks or the reader's patience end."""
        this = asyncio.current_task()
        assert this is not None
        gone = asyncio.ensure_future(_until_gone(receive))
        gone.add_done_callback(lambda left: None if left.cancelled() else this.cancel())
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for chunk in self._chunks:
                await send(_body(chunk, more=True))
            await send(_body(b"", more=False))
        except asyncio.CancelledError:
            if not gone.done() or this.uncancel():
                raise  # the server itself ends
        finally:
            gone.cancel()
            close: Any = getattr(self._chunks, "aclose", None)
            if close is not None:
                await close()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _body(chunk: bytes, *, more: bool) -> Message:
    return {"type": "http.response.body", "body": chunk, "more_body": more}
