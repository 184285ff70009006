"""Reading a server's event stream, wherever it is cut. One class, fed with bytes, gives whole events."""

from __future__ import annotations

from collections.abc import Iterator

_MOST = 4 << 20  # bytes of one line: a server that never ends its line is not waited for


class EventStreamError(ValueError):
    """The stream is not one of events."""


class EventStream:
    """An incremental reader of ``text/event-stream``: gives the ``data`` of each event.

    Lines end with LF, CR or CRLF; a character or a line end may be cut in two between feeds; comments and other fields
    are passed over; several ``data`` lines of one event are joined by line ends (HTML Living Standard, 9.2.6).
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._after_cr = False

    def feed(self, raw: bytes) -> Iterator[str]:
        """The events that are whole now.

        Raises:
            EventStreamError: a line is longer than 4 MiB.
        """
        if self._after_cr and raw.startswith(b"\n"):
            raw = raw[1:]  # the second half of a CRLF whose first half ended a line
        if raw:
            self._after_cr = raw.endswith(b"\r")
        lines = (self._rest + raw).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop()
        if len(self._rest) > _MOST:
            raise EventStreamError("a line of the stream has no end")
        for line in lines:
            yield from self._line(line)

    def end(self) -> Iterator[str]:
        """What stands at the end of a stream that forgot its last line ends."""
        if self._rest:
            yield from self._line(self._rest)
        self._rest = b""
        yield from self._line(b"")

    def _line(self, line: bytes) -> Iterator[str]:
        if not line:
            if self._data:
                yield b"\n".join(self._data).decode("utf-8", "replace")
            self._data = []
        elif line.startswith(b"data:"):
            self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
