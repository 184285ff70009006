"""Raters and checklist writers that reply by a function, in process and behind a real server."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from agora.engines.types import ChatRequest, Generation
from tests.engines.servers import Handler, chat_answer
from tests.rooms.judge.support import FunctionEngine, block, reply


def code_of(prompt: str) -> str:
    """The code that the prompt asks to be repeated."""
    return prompt.rsplit('"verdict_id": "', 1)[1].split('"', 1)[0]


def is_question(prompt: str) -> bool:
    """Whether this is one of our prompts, and no probe of what the server can do."""
    return '"verdict_id": "' in prompt


def query_of(prompt: str) -> str:
    """The query that the prompt shows."""
    return block(prompt, "QUERY")


def rating(prompt: str, **fields: Any) -> str:
    """A well-formed reply of a rater."""
    base = {
        "intent": f"The user wants: {query_of(prompt)[:30]}",
        "needs": "some knowledge",
        "difficulty": "hard",
        "primary_tag": "Reasoning",
        "secondary_tags": [],
        "makes_sense": "yes",
        "verdict_id": code_of(prompt),
    }
    return json.dumps(base | fields)


def rater(answer: Callable[[str], str], name: str = "test:rater") -> FunctionEngine:
    """A rater in process."""

    def reply_to(request: ChatRequest) -> Generation:
        return reply(request, answer(request.messages[0]["content"]))

    return FunctionEngine(reply_to, name)


def serve(answer: Callable[[str], str]) -> Callable[[Handler, dict[str, Any]], None]:
    """The same as the behavior of a server, which also answers when it is only asked whether it can chat."""

    def behavior(handler: Handler, body: dict[str, Any]) -> None:
        prompt = body["messages"][-1]["content"]
        handler.reply(200, chat_answer(answer(prompt) if is_question(prompt) else "yes"))

    return behavior
