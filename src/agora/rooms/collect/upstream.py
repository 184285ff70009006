"""The model behind the chat: pieces of a reply as they come, from a server or from an engine in this process."""

from __future__ import annotations

import asyncio
import queue
import random
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from agora.core.errors import AgoraError
from agora.core.records import stable_id
from agora.rooms.collect.types import Params

if TYPE_CHECKING:
    from agora.engines.types import Engine, Generation

Turns = Sequence[dict[str, str]]
_BATCH = 32


@dataclass(frozen=True, slots=True)
class Piece:
    """Some text, or the last word on how the reply ended (``finish_reason`` set)."""

    text: str = ""
    finish_reason: str | None = None  # stop | length
    usage: dict[str, int] = field(default_factory=dict)
    upstream_id: str | None = None


class UpstreamError(AgoraError):
    """The model could not answer. ``code`` is kept with the reply; ``retryable`` says whether trying again may help."""

    def __init__(self, code: str, what: str, *, retryable: bool = True) -> None:
        super().__init__(what)
        self.code = code
        self.retryable = retryable


class Upstream(Protocol):
    """Whatever answers. One per model of the service."""

    @property
    def name(self) -> str:
        """The model's name as it is stored with replies."""

    def stream(self, turns: Turns, params: Params) -> AsyncIterator[Piece]:
        """The reply to a conversation, piece by piece; the last piece has a finish reason.

        Raises:
            UpstreamError: no reply, or an end in the middle of one.
        """

    async def close(self) -> None:
        """Release connections and memory."""


class EngineUpstream:
    """An engine of :mod:`agora.engines`; conversations that wait at the same moment are answered as one batch.

    The engine gives whole replies, so each arrives as one piece.

    Args:
        engine: able to ``chat``; closed with this object.
        name: the model's name; None for the engine's URI.
        seed: makes each reply a function of its conversation, whoever else asks at the time; None samples anew.
    """

    def __init__(self, engine: Engine, *, name: str | None = None, seed: int | None = None) -> None:
        self._engine, self._name, self._seed = engine, name or engine.uri, seed
        self._waiting: queue.SimpleQueue[_Asked | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="agora-upstream", daemon=True)
        self._thread.start()
        self._count = 0

    @property
    def name(self) -> str:
        """The model's name."""
        return self._name

    async def stream(self, turns: Turns, params: Params) -> AsyncIterator[Piece]:
        """One piece with the whole reply, and one with its end."""
        loop = asyncio.get_running_loop()
        self._count += 1
        asked = _Asked(str(self._count), tuple(dict(t) for t in turns), params, loop, loop.create_future())
        self._waiting.put(asked)
        generation = await asked.reply
        if generation.finish_reason == "error":
            raise UpstreamError("upstream_error", generation.error or "the model failed")
        if generation.text:
            yield Piece(generation.text)
        usage = {
            "prompt_tokens": generation.usage.prompt_tokens,
            "completion_tokens": generation.usage.completion_tokens,
        }
        yield Piece(finish_reason="length" if generation.finish_reason == "length" else "stop", usage=usage)

    async def close(self) -> None:
        """End the thread and close the engine."""
        self._waiting.put(None)
        await asyncio.to_thread(self._thread.join)
        self._engine.close()

    def _seed_of(self, asked: _Asked) -> int:
        if self._seed is None:
            return random.getrandbits(31)
        return int(stable_id(self._seed, [[t["role"], t["content"]] for t in asked.turns]), 16) % 2**31

    def _work(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch = [first]
            while len(batch) < _BATCH:
                try:
                    more = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    self._waiting.put(None)  # answer these, then end
                    break
                batch.append(more)
            self._answer({asked.id: asked for asked in batch})

    def _answer(self, batch: dict[str, _Asked]) -> None:
        from agora.engines.types import ChatRequest, Generation, Sampling

        requests = [
            ChatRequest(
                a.id,
                a.turns,
                Sampling(
                    temperature=a.params.temperature,
                    top_p=a.params.top_p,
                    max_tokens=a.params.max_tokens,
                    seed=self._seed_of(a),
                ),
            )
            for a in batch.values()
        ]
        try:
            for generation in self._engine.chat(requests):
                batch.pop(generation.id).answer(generation)
            lost = "the engine gave no reply"
        except Exception as err:  # whatever fails in an engine must reach the people who wait
            lost = str(err) or type(err).__name__
        for asked in batch.values():
            asked.answer(Generation(asked.id, "", "error", error=lost))


@dataclass(slots=True)
class _Asked:
    id: str
    turns: tuple[dict[str, str], ...]
    params: Params
    loop: asyncio.AbstractEventLoop
    reply: asyncio.Future[Generation]

    def answer(self, generation: Generation) -> None:
        def settle() -> None:
            if not self.reply.done():  # the one who asked may be gone
                self.reply.set_result(generation)

        self.loop.call_soon_threadsafe(settle)


def open_upstream(uri: str, *, seed: int | None = None, **options: Any) -> Upstream:
    """The upstream of an engine URI: servers are streamed from, everything else is answered in this process.

    Args:
        uri: of the engine.
        seed: of a model in this process, see :class:`EngineUpstream`.
        options: of :class:`agora.rooms.collect.upstream_http.HttpUpstream`.

    Raises:
        AgoraError: the URI is wrong or its model cannot be had.
    """
    from agora.engines.registry import open_engine, parse_uri

    parsed = parse_uri(uri)
    if parsed.scheme in ("http", "https", "openai"):
        from agora.rooms.collect.upstream_http import HttpUpstream

        return HttpUpstream.of_uri(uri, **options)
    return EngineUpstream(open_engine(uri), seed=seed)
