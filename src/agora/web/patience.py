"""Connections on which no request comes: a server that waits for each of them soon waits for nothing else.

Uvicorn, whose protocol this is, times a connection after its first response and never before. Bodies are timed in
:class:`agora.site.security.BodyLimit`.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class PatientProtocol(HttpToolsProtocol):
    """Closes a connection whose next request has no whole head after ``HEAD_S`` seconds or ``HEAD_BYTES`` bytes."""

    HEAD_S = 15.0
    HEAD_BYTES = 64 * 1024

    _timer: asyncio.TimerHandle | None = None
    _seen = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client is there; it has so long to ask for something."""
        super().connection_made(transport)
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        """Some bytes: of a head that is waited for, of a new one, or of a body."""
        if self._timer is None and (self.cycle is None or self.cycle.response_complete):
            self._expect_head()
        if self._timer is not None:
            self._seen += len(data)
            if self._seen > self.HEAD_BYTES + self._body_room(data):
                self._give_up()
                return
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """A whole head."""
        self._stop_waiting()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._stop_waiting()
        super().connection_lost(exc)

    @staticmethod
    def _body_room(data: bytes) -> int:
        """The piece that ends a head may hold the beginning of its body, which is not counted."""
        end = data.find(b"\r\n\r\n")
        return len(data) - end if end >= 0 else 0

    def _expect_head(self) -> None:
        self._seen = 0
        self._timer = self.loop.call_later(self.HEAD_S, self._give_up)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._stop_waiting()
        if not self.transport.is_closing():
            self.transport.close()
