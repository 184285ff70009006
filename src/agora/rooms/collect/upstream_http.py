"""Streaming from an OpenAI-compatible server, and what such servers really send."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from agora.core.json_text import dumps, loads
from agora.engines._http import retry_after_s
from agora.engines.registry import parse_uri, server_of
from agora.rooms.collect.stream_parser import EventStream, EventStreamError
from agora.rooms.collect.types import Params
from agora.rooms.collect.upstream import Piece, Turns, UpstreamError

if TYPE_CHECKING:
    import aiohttp

_TRANSIENT = {429, 502, 503, 504}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in seconds, and how often to try again before the first word."""

    connect_s: float = 10.0
    first_token_s: float = 60.0
    idle_s: float = 60.0
    total_s: float = 600.0
    num_retries: int = 2
    backoff_s: float = 0.5
    longest_wait_s: float = 20.0


class HttpUpstream:
    """A model behind ``/chat/completions``.

    The client is aiohttp: a reply of 50 words costs it 2 ms of CPU, httpx 14 ms, and a chat streams all day
    (``benchmarks/collection.py``).

    Args:
        base_url: up to and including ``/v1``.
        model: the server's name for the model.
        key: bearer token; None sends none.
        name: the name stored with replies; None for ``model``.
        patience: when to give up.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        key: str | None = None,
        name: str | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._model, self._name, self._patience = model, name or model, patience or Patience()
        self._url = base_url.rstrip("/") + "/chat/completions"
        self._headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {key}"} if key else {})
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def of_uri(cls, uri: str, **options: Any) -> HttpUpstream:
        """The upstream of ``http://HOST/v1#MODEL`` or ``openai:MODEL``; keys come from the environment."""
        server = server_of(uri)
        return cls(server.base_url, parse_uri(uri).name, key=server.key, **options)

    @property
    def name(self) -> str:
        """The model's name."""
        return self._name

    async def stream(self, turns: Turns, params: Params) -> AsyncIterator[Piece]:
        """Pieces of the reply; retried only while no word has come.

        Raises:
            UpstreamError: with a code such as ``upstream_unreachable``, ``upstream_busy``, ``timeout``.
        """
        asked = {
            "model": self._model,
            "messages": list(turns),
            "stream": True,
            "stream_options": {"include_usage": True},
            "temperature": params.temperature,
            "top_p": params.top_p,
            "max_tokens": params.max_tokens,
        }
        body = dumps(asked)
        deadline = asyncio.get_running_loop().time() + self._patience.total_s
        for attempt in range(self._patience.num_retries + 1):
            begun = False
            try:
                async for piece in self._once(body, deadline):
                    begun = True
                    yield piece
                return
            except _PassingError as failed:
                if begun or attempt == self._patience.num_retries:
                    raise failed.error from failed.__cause__
                wait = self._patience.backoff_s * 2**attempt * random.uniform(0.75, 1.25)
                await asyncio.sleep(min(failed.after_s or wait, self._patience.longest_wait_s))

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _connections(self) -> aiohttp.ClientSession:
        """The kept connections; made on first use, because they belong to the running event loop."""
        import aiohttp

        if self._session is None:
            wait = aiohttp.ClientTimeout(sock_connect=self._patience.connect_s)  # the others are counted in _once
            self._session = aiohttp.ClientSession(
                timeout=wait,
                connector=aiohttp.TCPConnector(limit=0),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,  # proxies of the environment are not for a model that the operator named by address
            )
        return self._session

    async def _once(self, body: bytes, deadline: float) -> AsyncIterator[Piece]:
        import aiohttp

        now = asyncio.get_running_loop().time
        reply: _Reply | None = None

        def patience() -> asyncio.Timeout:
            wait = self._patience.idle_s if reply and reply.begun else self._patience.first_token_s
            return asyncio.timeout(min(wait, max(0.001, deadline - now())))

        try:
            async with patience():
                response = await self._connections().post(self._url, data=body, headers=self._headers)
            async with response:
                if response.status != 200:
                    raise _refusal(response)
                reply = _Reply(streamed="event-stream" in response.headers.get("content-type", ""))
                while True:
                    async with patience():
                        raw = await response.content.readany() or None
                    for piece in reply.feed(raw):
                        yield piece
                    if raw is None or reply.done:
                        break
        except TimeoutError as err:  # of aiohttp's too
            raise UpstreamError("timeout", "the model took too long") from err
        except aiohttp.ClientConnectorError as err:
            raise _PassingError(UpstreamError("upstream_unreachable", "the model's server cannot be reached")) from err
        except aiohttp.ClientError as err:
            broken = UpstreamError("upstream_broken", f"the connection broke ({type(err).__name__})")
            # a kept connection that the server had closed: nothing was answered, so asking again is safe
            raise (_PassingError(broken) if reply is None else broken) from err
        except EventStreamError as err:
            raise UpstreamError("upstream_invalid", str(err)) from err
        for piece in reply.finish():
            yield piece


class _PassingError(Exception):
    """A failure in passing."""

    def __init__(self, error: UpstreamError, after_s: float | None = None) -> None:
        super().__init__(str(error))
        self.error, self.after_s = error, after_s


def _refusal(response: aiohttp.ClientResponse) -> Exception:
    """The error for an answer that is none. Its body may be a page of HTML and is not read."""
    status = response.status
    if status in _TRANSIENT:
        busy = UpstreamError("upstream_busy", f"the model's server is busy (HTTP {status})")
        return _PassingError(busy, retry_after_s(response.headers))
    return UpstreamError("upstream_refused", f"the model's server refused (HTTP {status})", retryable=status >= 500)


class _Reply:
    """One answer as it arrives: streamed events, or plain JSON although a stream was asked for."""

    def __init__(self, *, streamed: bool) -> None:
        self._events = EventStream() if streamed else None
        self._plain = bytearray()
        self._ending = Piece()
        self.begun = self.done = False

    def feed(self, raw: bytes | None) -> list[Piece]:
        """Pieces in these bytes; None is the end of the body."""
        if self._events is None:
            self._plain += raw or b""
            return self._whole() if raw is None else []
        datas = self._events.end() if raw is None else self._events.feed(raw)
        return [piece for data in datas for piece in self._event(data)]

    def finish(self) -> list[Piece]:
        """The last piece.

        Raises:
            UpstreamError: the stream ended without saying how.
        """
        if self._ending.finish_reason is None:
            if not self.done:
                raise UpstreamError("upstream_broken", "the reply broke off")
            self._ending = replace(self._ending, finish_reason="stop")
        return [self._ending]

    def _whole(self) -> list[Piece]:
        try:
            data = loads(bytes(self._plain))
        except ValueError:
            raise UpstreamError("upstream_invalid", "the model's server sent no JSON") from None
        self.done = True
        return self._take(data, "message")

    def _event(self, data: str) -> list[Piece]:
        if data.strip() == "[DONE]":
            self.done = True
            return []
        try:
            return self._take(loads(data.encode("utf-8", "replace")), "delta")
        except ValueError:
            return []  # some servers mix notes of their own into the stream

    def _take(self, data: Any, part: str) -> list[Piece]:
        if not isinstance(data, dict):
            return []
        if error := data.get("error"):
            what = error.get("message") if isinstance(error, dict) else error
            raise UpstreamError("upstream_error", f"the model's server reports: {str(what)[:200]}")
        choices = data.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
        usage = data.get("usage")
        counts = {k: v for k, v in usage.items() if isinstance(v, int)} if isinstance(usage, dict) else {}
        reason = choice.get("finish_reason")
        self._ending = Piece(
            finish_reason=("length" if reason == "length" else "stop") if reason else self._ending.finish_reason,
            usage=counts or self._ending.usage,
            upstream_id=data["id"][:128] if isinstance(data.get("id"), str) else self._ending.upstream_id,
        )
        said = choice.get(part)
        text = said.get("content") if isinstance(said, dict) else None
        if not isinstance(text, str) or not text:
            return []
        self.begun = True
        return [Piece(text)]
