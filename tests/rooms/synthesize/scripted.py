"""A real engine without a model: what it writes follows from the request alone, and results come back out of order."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from agora.engines.types import ChatRequest, CompleteRequest, Generation, Usage

SUBJECTS = ("a cat", "the sea", "an old clock", "my garden", "this village", "the moon", "a lost letter", "our bread")
VERBS = ("Describe", "Explain", "Sketch", "Praise", "Defend", "Compare", "Count", "Draw")
PLACES = ("in Rome", "at night", "for a child", "in two lines", "without verbs", "as a song", "like a pirate", "slowly")


def write_instruction(request: CompleteRequest) -> Generation:
    """An instruction that follows from the seed; one in ten is empty, cut off, or answers itself."""
    rng = random.Random(request.sampling.seed)
    number = rng.randrange(10_000)
    text = f" {rng.choice(VERBS)} {rng.choice(SUBJECTS)} {rng.choice(PLACES)}, as number {number} would."
    fate = rng.randrange(30)
    reason: Any = {0: "empty", 1: "length"}.get(fate, "stop_token")
    text = {0: "", 2: text + " Answer: it is done."}.get(fate, text)
    return Generation(request.id, text, reason, stopped_by="<|end|>", usage=Usage(3, len(text.split())))


def write_answer(request: ChatRequest) -> Generation:
    """An answer that repeats the question."""
    text = f"Here it is: {request.messages[-1]['content']}"
    return Generation(request.id, text, "stop_token", usage=Usage(5, len(text.split())))


def write_either(request: ChatRequest | CompleteRequest) -> Generation:
    """A user's turn for a raw prefix, an answer that depends on the seed for a chat."""
    if isinstance(request, CompleteRequest):
        return write_instruction(request)
    rng = random.Random(request.sampling.seed)
    text = f"{'Sure. ' * rng.randrange(4)}It is {rng.randrange(100)}: {request.messages[-1]['content']}"
    return Generation(request.id, text, "length" if rng.randrange(20) == 0 else "stop_token", usage=Usage(5, 9))


class ScriptedEngine:
    """Continues by a script, ``in_flight`` requests at a time.

    Args:
        write: request to generation.
        in_flight: requests accepted before the first result is given.
        order: seed of the order in which results come back.
        calls: file that gets the id of every request when it is accepted, at once.
        delay_s: seconds each result takes.
        capabilities: what the engine claims to do.
    """

    def __init__(
        self,
        write: Callable[[Any], Generation] = write_instruction,
        *,
        in_flight: int = 8,
        order: int = 0,
        calls: Path | None = None,
        delay_s: float = 0.0,
        capabilities: Iterable[str] = ("complete", "token_prompt", "chat"),
    ) -> None:
        self.write = write
        self.in_flight = in_flight
        self.order = order
        self.delay_s = delay_s
        self.requests: list[Any] = []
        self.uri = "scripted:1"
        self.capabilities = frozenset(capabilities)
        self._calls = os.open(calls, os.O_WRONLY | os.O_CREAT | os.O_APPEND) if calls is not None else None

    def complete(self, requests: Iterable[CompleteRequest]) -> Iterator[Generation]:
        return self._serve(iter(requests))

    def chat(self, requests: Iterable[ChatRequest]) -> Iterator[Generation]:
        return self._serve(iter(requests))

    def _serve(self, requests: Iterator[Any]) -> Iterator[Generation]:
        rng = random.Random(self.order)
        pending: list[Any] = []
        while True:
            while len(pending) < self.in_flight and (request := next(requests, None)) is not None:
                self._accept(request)
                pending.append(request)
            if not pending:
                return
            if self.delay_s:
                time.sleep(self.delay_s)
            yield self.write(pending.pop(rng.randrange(len(pending))))

    def _accept(self, request: Any) -> None:
        self.requests.append(request)
        if self._calls is not None:
            os.write(self._calls, (request.id + "\n").encode())

    def score(self, requests: Any) -> Any:
        raise AssertionError("not used")

    def embed(self, texts: Any) -> Any:
        raise AssertionError("not used")

    def close(self) -> None:
        if self._calls is not None:
            os.close(self._calls)
            self._calls = None
