"""What an operator's monitoring sees: numbers for Prometheus, and one JSON line a request. Neither holds content.

A request is told by the route it came to, never by its query or body: addresses of conversations are ids, and what
people write stands in bodies.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from agora.site.security import App, Message, Receive, Scope, Send

ACCESS = "agora.access"
_UNKNOWN = "(none)"


class Watching:
    """Counts requests by method and status, and logs each one at its end.

    Args:
        app: what is watched.
        requests: counts by method and status, shared with whoever shows them.
    """

    def __init__(self, app: App, requests: Counter[tuple[str, int]]) -> None:
        self._app, self._requests = app, requests
        self._log = logging.getLogger(ACCESS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and note how it ended."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "OTHER"
            self._requests[method, status] += 1
            if self._log.isEnabledFor(logging.INFO):
                route = getattr(scope.get("route"), "path", _UNKNOWN)
                took_ms = round((time.perf_counter() - began) * 1000, 1)
                told = {"method": method, "route": route, "status": status, "ms": took_ms}
                self._log.info("request", extra={"told": told})


_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


def prometheus(numbers: Mapping[str, tuple[str, str, Mapping[tuple[tuple[str, str], ...], float]]]) -> str:
    """Numbers in Prometheus' text format.

    Args:
        numbers: by name: kind (``counter`` or ``gauge``), what it is, and a value for each set of labels.
    """
    lines = []
    for name, (kind, what, values) in numbers.items():
        lines += [f"# HELP agora_{name} {what}", f"# TYPE agora_{name} {kind}"]
        for labels, value in sorted(values.items()):
            told = ",".join(f'{key}="{text}"' for key, text in labels)
            lines.append(f"agora_{name}{'{' + told + '}' if told else ''} {value:g}")
    return "\n".join(lines) + "\n"


class JsonLines(logging.Formatter):
    """One JSON object a line: when, how grave, where from. Messages of ours never hold what a person wrote."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        row: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "told", {}),
        }
        if record.exc_info and record.exc_info[0]:
            # the kind of error alone: its text may quote what was being stored
            row["error"] = record.exc_info[0].__name__
        return json.dumps(row)


def log_as_json(*, requests: bool) -> None:
    """Write what the server has to say to stderr as JSON lines.

    Args:
        requests: also one line for each request.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name, level in (("uvicorn", logging.WARNING), ("uvicorn.error", logging.WARNING), (ACCESS, logging.INFO)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level if requests or name != ACCESS else logging.WARNING)
