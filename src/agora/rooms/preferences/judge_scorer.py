"""A chat model as a scorer: it grades each answer from 1 to 10."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from agora.core.errors import CapabilityError, EngineError
from agora.core.records import stable_id
from agora.engines.registry import open_engine
from agora.engines.types import ChatRequest, Engine, Sampling
from agora.rooms.preferences.scorers import Conversation, Scorer


def judge_scorer(
    model: str | Engine, *, max_tokens: int = 512, cache: Path | None = None, template: str | None = None
) -> Scorer:
    """A scorer that asks a chat model, at temperature 0.

    Grades are whole steps, so expect ties: with the rule "ties are wrong" a judge scores lower than its judgement is.
    A reply without a grade in 1..10, or with two different ones, is no score.

    Args:
        model: an engine URI or a live engine.
        max_tokens: of a reply.
        cache: file of answers that are not paid for again.
        template: a prompt with ``{{conversation}}`` and ``{{code}}``; the shipped one when None.

    Raises:
        CapabilityError: the engine cannot chat.
        EngineError: (when called) every request of a batch failed.
    """
    engine = open_engine(model, cache=cache) if isinstance(model, str) else model
    if "chat" not in engine.capabilities:
        raise CapabilityError("a judge must be able to chat", where=engine.uri, hint="name a chat model")
    text = template or files("agora.rooms.preferences").joinpath("prompts", "grade.md").read_text("utf-8")

    def score(conversations: Sequence[Conversation]) -> list[float | None]:
        codes = [_code(talk) for talk in conversations]
        requests = [
            ChatRequest(
                str(i), ({"role": "user", "content": _fill(text, talk, code)},), Sampling(max_tokens=max_tokens)
            )
            for i, (talk, code) in enumerate(zip(conversations, codes, strict=True))
        ]
        replies = {int(reply.id): reply for reply in engine.chat(requests)}
        failed = [reply for reply in replies.values() if reply.finish_reason == "error"]
        if replies and len(failed) == len(replies):
            raise EngineError(f"every request failed: {failed[0].error}", where=engine.uri)
        return [read_grade(replies[i].text, code) if i in replies else None for i, code in enumerate(codes)]

    return score


def read_grade(reply: str, code: str) -> float | None:
    """The grade that a reply gives under its code; None where it gives none, several or one outside 1..10."""
    found = {
        float(grade) for grade in re.findall(rf"GRADE\W{{1,4}}{re.escape(code)}\W{{1,8}}(\d{{1,3}}(?:\.\d+)?)", reply)
    }
    return found.pop() if len(found) == 1 and 1 <= min(found) <= 10 else None


def _code(talk: Conversation) -> str:
    """Depends on the whole conversation: an answer would have to contain a hash of itself to know it."""
    return stable_id("grade", [m.as_chat() for m in talk], size=5)


def _fill(template: str, talk: Conversation, code: str) -> str:
    shown = "\n\n".join(f"[{m.role}]\n{m.content}" for m in talk)
    values = {"code": code, "conversation": shown}
    return re.sub(r"\{\{(code|conversation)\}\}", lambda found: values[found[1]], template)
