"""Several answers to one conversation: in one request where the engine takes it, else side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from agora.core.records import stable_id
from agora.engines.types import ChatRequest, Engine, Generation

AskSeveral = Callable[[Iterable[ChatRequest], int], Iterator[Generation]]


def chat_several(engine: Engine, requests: Iterable[ChatRequest], n: int) -> Iterator[Generation]:
    """``n`` answers to each conversation; those to request ``a`` have the ids ``a#0`` to ``a#{n-1}``.

    A server gets one request with ``n``, so that the prompt is paid for once. In process the requests of one
    conversation follow each other and share a batch. Each answer has its own seed, made from the request's.

    Args:
        engine: must be able to chat.
        requests: with a temperature above 0, or all answers are the same.
        n: at least 1.
    """
    ask: AskSeveral | None = getattr(engine, "chat_several", None)
    if ask is not None and n > 1:
        return ask(requests, n)
    return engine.chat(one for request in requests for one in split_request(request, n))


def split_request(request: ChatRequest, n: int) -> list[ChatRequest]:
    """The ``n`` single requests that stand for one of several answers."""
    return [
        ChatRequest(
            f"{request.id}#{i}", request.messages, replace(request.sampling, seed=_seed(request.sampling.seed, i))
        )
        for i in range(n)
    ]


def _seed(seed: int, index: int) -> int:
    return int(stable_id("answer of several", seed, index), 16) >> 33  # fits 31 bits, which every server takes
