"""A model that labels as it is told, in process and behind a real HTTP server."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from agora.engines.types import Capability, ChatRequest, Generation, Usage
from tests.engines.servers import Handler, Server, chat_answer

Reply = Callable[[str, str, str], str]  # the prompt, the label's name, the code -> the reply
_CODE = re.compile(r'"verdict_id": "([0-9a-f]+)"')
_BLOCK = re.compile(r"<<<<BEGIN \w+ \w+>>>>\n(.*)\n<<<<END", re.DOTALL)
KEYS = ("quality", "difficulty", "category", "safety")


def text_in(prompt: str) -> str:
    """The fenced text of a prompt."""
    found = _BLOCK.search(prompt)
    assert found is not None
    return found[1]


def answer_with(prompt: str, reply: Reply) -> str:
    """What a scripted model says to a prompt."""
    code = _CODE.search(prompt)
    assert code is not None
    name = next(key for key in KEYS if f'- "{key}":' in prompt.split("\n# ")[0])
    return reply(prompt, name, code[1])


def plain(value: Callable[[str, str], str]) -> Reply:
    """A model that answers as asked; ``value`` makes the label of a text and a label's name."""

    def reply(prompt: str, name: str, code: str) -> str:
        return json.dumps({"explanation": "Because.", name: value(text_in(prompt), name), "verdict_id": code})

    return reply


class ScriptedModel:
    """An engine whose replies are a function of the prompt; it answers in reverse order of each batch of four."""

    uri = "scripted:model"
    capabilities: frozenset[Capability] = frozenset({"chat"})

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.requests: list[ChatRequest] = []

    def chat(self, requests: Iterable[ChatRequest]) -> Iterator[Generation]:
        batch: list[ChatRequest] = []
        for request in requests:
            self.requests.append(request)
            batch.append(request)
            if len(batch) == 4:
                yield from map(self._answer, reversed(batch))
                batch = []
        yield from map(self._answer, reversed(batch))

    def _answer(self, request: ChatRequest) -> Generation:
        text = answer_with(request.messages[-1]["content"], self.reply)
        if text == "ERROR":
            return Generation(request.id, "", "error", error="the server is on fire")
        return Generation(request.id, text, "stop_token", usage=Usage(10, 5))

    def close(self) -> None:
        """Nothing to close."""


class LabelServer(Server):
    """A chat server that labels; ``calls`` counts every request, ``bodies`` keeps them."""

    def __init__(self, reply: Reply, delay_s: float = 0.0, refuse_schema: bool = False) -> None:
        self.reply, self.delay_s, self.refuse_schema = reply, delay_s, refuse_schema
        self.calls = 0
        self.bodies: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def on_post(self, handler: Handler, body: dict[str, Any]) -> None:
        if "messages" not in body:
            handler.reply(404, {"error": {"message": "only chat"}})
            return
        if body.get("max_tokens") == 1:  # the engine finds out what the server can do
            handler.reply(200, chat_answer("Hi"))
            return
        with self._lock:
            self.calls += 1
            self.bodies.append(body)
        time.sleep(self.delay_s)
        if self.refuse_schema and "response_format" in body:
            handler.reply(400, {"error": {"message": "unknown field response_format"}})
            return
        handler.reply(200, chat_answer(answer_with(body["messages"][-1]["content"], self.reply)))
