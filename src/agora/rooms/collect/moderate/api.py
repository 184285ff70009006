"""The programs' interface to reports."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from agora.rooms.collect.api import Consented, Id, TheChat
from agora.rooms.collect.moderate import reviews
from agora.rooms.collect.moderate.types import Why

router = APIRouter(prefix="/api/v1")


class ReportBody(BaseModel):
    """What is wrong with a reply."""

    model_config = ConfigDict(extra="forbid")

    message_id: Id
    why: Why
    comment: str | None = Field(default=None, max_length=reviews.NOTE_CHARS)


@router.post("/reports")
async def report(body: ReportBody, chat: TheChat, subject: Consented) -> Any:
    """Report a reply: a person looks at its conversation before it can be published."""
    hold = chat.settings.moderate.hold
    await chat.write(lambda c: reviews.report(c, subject.id, body.message_id, body.why, body.comment, hold=hold))
    return {"message_id": body.message_id, "why": body.why}
