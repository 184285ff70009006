"""The nouns of a chat: a message with a status, and what a person may ask of a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from agora.site.refusals import RefusalError

ChatRole = Literal["system", "user", "assistant"]


class Status(StrEnum):
    """What became of a message. Only ``complete`` replies enter a release unless more is asked for."""

    COMPLETE = "complete"
    STREAMING = "streaming"
    STOPPED = "stopped"  # by the person
    LENGTH = "length"
    UPSTREAM_ERROR = "upstream_error"
    TIMEOUT = "timeout"
    INTERRUPTED = "interrupted"  # the server ended in the middle of it
    RECONSTRUCTED = "reconstructed"  # told by a client as its history, never written here


class ChatError(RefusalError):
    """A request to the chat that is refused."""


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message as the store has it. Times are microseconds since 1970, UTC."""

    id: str
    conversation_id: str
    parent_id: str | None
    role: ChatRole
    content: str
    created_us: int
    status: Status
    model: str | None = None
    finish_reason: str | None = None
    error_code: str | None = None
    completed_us: int | None = None
    edited_of: str | None = None
    rating: int | None = None
    usage: dict[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """What the HTTP interface shows of it."""
        return {
            "id": self.id,
            "parent_id": self.parent_id,
            "role": self.role,
            "content": self.content,
            "created_us": self.created_us,
            "status": self.status,
            "model": self.model,
            "finish_reason": self.finish_reason,
            "error_code": self.error_code,
            "rating": self.rating,
        }


@dataclass(frozen=True, slots=True)
class Params:
    """How a reply is sampled."""

    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 1024


@dataclass(frozen=True, slots=True)
class NewMessage:
    """What a person sends. ``client_msg_id`` makes a second sending of the same message harmless."""

    conversation_id: str
    content: str
    client_msg_id: str
    parent_id: str | None = None
    edited_of: str | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a reply ended."""

    status: Status
    finish_reason: str | None = None
    error_code: str | None = None
    usage: dict[str, int] = field(default_factory=dict)
    upstream_id: str | None = None
