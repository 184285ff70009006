"""The OpenAI batch file format: requests written for an offline job, its answers read back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from agora.core.errors import DataError
from agora.core.tables import read_rows, write_jsonl
from agora.engines._wire import CHAT, COMPLETIONS, Prices, chat_body, complete_body, read_generation
from agora.engines.types import ChatRequest, CompleteRequest, Generation


def write_batch(path: Path, requests: Iterable[ChatRequest | CompleteRequest], model: str) -> int:
    """Write a requests file (one JSON line each, ``custom_id`` is the request's id), atomically.

    Returns:
        How many requests were written.

    Raises:
        DataError: two requests have the same id.
    """
    seen: set[str] = set()

    def lines() -> Iterator[dict[str, Any]]:
        for request in requests:
            if request.id in seen:
                raise DataError("two requests of one batch have the same id", where=request.id)
            seen.add(request.id)
            chat = isinstance(request, ChatRequest)
            body = chat_body(model, request) if isinstance(request, ChatRequest) else complete_body(model, request)
            url = f"/v1{CHAT if chat else COMPLETIONS}"
            yield {"custom_id": request.id, "method": "POST", "url": url, "body": body}

    return write_jsonl(Path(path), lines())


def read_batch(path: Path, *, stop: tuple[str, ...] = (), prices: Prices | None = None) -> Iterator[Generation]:
    """Read a responses (or errors) file; a failed request becomes an error item.

    Args:
        path: the file the server made.
        stop: the stop strings of the requests, for servers that leave them in the text.
        prices: for cost accounting.

    Raises:
        DataError: a line is not of the format; names file and line.
    """
    for line, row in read_rows(Path(path)):
        where = f"{path}:{line}"
        request_id = row.get("custom_id")
        if not isinstance(request_id, str):
            raise DataError("no custom_id: not a batch responses file", where=where)
        if "response" not in row and "error" not in row:
            hint = "give the file that the server made" if "body" in row else None
            raise DataError("neither response nor error: not a batch responses file", where=where, hint=hint)
        yield _read_line(request_id, row, stop, prices or Prices())


def _read_line(request_id: str, row: dict[str, Any], stop: tuple[str, ...], prices: Prices) -> Generation:
    response = row.get("response") or {}
    body = response.get("body") if isinstance(response, dict) else None
    if row.get("error") or not isinstance(body, dict) or response.get("status_code", 200) != 200:
        said = row.get("error") or (body or {}).get("error") or response
        message = said.get("message", said) if isinstance(said, dict) else said
        return Generation(request_id, "", "error", error=str(message)[:300])
    return read_generation(request_id, body, stop, prices)
