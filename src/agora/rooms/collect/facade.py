"""An OpenAI-compatible face of the chat, for consented programs that keep no state here.

The bearer token is the visit that ``POST /api/v1/consent/terms`` returns. A request carries its whole history; it is
attached to the conversation that holds the same history, so that a client which only ever appends makes one tree.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from agora.core.json_text import dumps
from agora.rooms.collect.api import Consented, TheChat
from agora.rooms.collect.chat import Chat
from agora.rooms.collect.event_stream import PING, PING_S, EventStreamResponse, event
from agora.rooms.collect.history import attach_history
from agora.rooms.collect.types import ChatError, ChatMessage, NewMessage, Params, Status
from agora.store.consent import Subject

router = APIRouter(prefix="/v1")


class Turn(BaseModel):
    """One message of the history."""

    model_config = ConfigDict(extra="ignore")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[dict[str, Any]]

    @property
    def text(self) -> str:
        """The content as text; parts of other kinds than text are refused.

        Raises:
            ChatError: ``unsupported_content``.
        """
        if isinstance(self.content, str):
            return self.content
        if any(part.get("type") != "text" for part in self.content):
            raise ChatError("unsupported_content", "only parts of type text are taken", 422)
        return "".join(str(part.get("text", "")) for part in self.content)


class CompletionBody(BaseModel):
    """A request of the chat completions interface; fields that change nothing here are passed over."""

    model_config = ConfigDict(extra="ignore")

    model: str = ""
    messages: list[Turn] = Field(min_length=1, max_length=400)
    stream: bool = False
    temperature: float = Field(default=1.0, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)


@router.get("/models")
async def models(chat: TheChat, subject: Consented) -> Any:
    """The one model there is."""
    return {"object": "list", "data": [{"id": chat.replies.model, "object": "model", "owned_by": "agora"}]}


@router.post("/chat/completions")
async def complete(body: CompletionBody, chat: TheChat, subject: Consented) -> Response:
    """Answer the last message of a history, as a stream or as a whole."""
    turns = [("system" if turn.role == "developer" else turn.role, turn.text) for turn in body.messages]
    if turns[-1][0] != "user":
        raise ChatError("bad_history", "the last message must be the user's", 422)
    limits = chat.settings.limits
    if sum(len(text) for _, text in turns) > limits.chars * limits.rounds:
        raise ChatError("message_too_long", "the history is too long", 422)
    place = await chat.write(lambda c: attach_history(c, subject.id, turns[:-1]))
    new = NewMessage(place.conversation_id, turns[-1][1], secrets.token_urlsafe(12), place.parent_id)
    most = body.max_completion_tokens or body.max_tokens or chat.settings.max_tokens
    begun = await chat.send(subject.id, new, Params(body.temperature, body.top_p, most))
    reply = await chat.reply(subject.id, begun.message_id)
    if body.stream:
        return EventStreamResponse(_chunks(chat, subject, reply))
    return await _whole(chat, subject, reply)


async def _whole(chat: Chat, subject: Subject, reply: ChatMessage) -> Response:
    usage: dict[str, int] = {}
    async for seen in chat.watch(subject.id, reply.id):
        usage = seen.ending.usage if seen.ending else usage
    done = await chat.reply(subject.id, reply.id)
    if done.status in (Status.UPSTREAM_ERROR, Status.TIMEOUT):
        raise ChatError(done.error_code or "upstream_error", "the model could not answer", 502)
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": done.content},
        "finish_reason": _reason(done.status),
    }
    return JSONResponse({**_head(reply, "chat.completion"), "choices": [choice], "usage": usage})


async def _chunks(chat: Chat, subject: Subject, reply: ChatMessage) -> AsyncIterator[bytes]:
    head = _head(reply, "chat.completion.chunk")

    def chunk(delta: dict[str, str], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return event(dumps({**head, "choices": [choice]}))

    yield chunk({"role": "assistant", "content": ""})
    async for seen in chat.watch(subject.id, reply.id, still_here_s=PING_S):
        if seen.text:
            yield chunk({"content": seen.text})
        elif seen.ending is None:
            yield PING
        elif seen.ending.status in (Status.UPSTREAM_ERROR, Status.TIMEOUT):
            yield event(dumps({"error": {"message": "the model could not answer", "code": seen.ending.error_code}}))
        else:
            yield chunk({}, _reason(seen.ending.status))
    yield event(b"[DONE]")


def _head(reply: ChatMessage, kind: str) -> dict[str, Any]:
    return {"id": reply.id, "object": kind, "created": reply.created_us // 1_000_000, "model": reply.model}


def _reason(status: Status) -> str:
    return "length" if status is Status.LENGTH else "stop"
