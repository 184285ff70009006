"""Tell people what in their message looks like personal data, before they send it. Nothing is kept."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict

from agora.curate.personal import THRESHOLD, Hints, Span, find
from agora.rooms.collect.api import Consented, TheChat, TheSite
from agora.rooms.collect.types import ChatError

router = APIRouter(prefix="/api/v1/pii")
_WORDS = {
    "EMAIL_ADDRESS": "email",
    "PHONE_NUMBER": "phone",
    "CREDIT_CARD": "card",
    "IBAN_CODE": "account",
    "CRYPTO": "account",
    "IP_ADDRESS": "ip",
    "US_SSN": "number",
    "NATIONAL_ID": "number",
    "URL": "profile",
    "PERSON": "name",
}


class PreviewBody(BaseModel):
    """A text that is about to be sent."""

    model_config = ConfigDict(extra="forbid")
    text: str


@router.post("/preview")
async def preview(body: PreviewBody, chat: TheChat, site: TheSite, request: Request, subject: Consented) -> Any:
    """What in a text looks like personal data or a secret: spans (offsets in characters), and the kinds in words.

    Raises:
        ChatError: the text is longer than a message may be.
    """
    if len(body.text) > chat.settings.limits.chars:
        raise ChatError("message_too_long", f"a message has at most {chat.settings.limits.chars} characters", 413)
    hints = Hints(accept_language=request.headers.get("accept-language"))
    found = await asyncio.to_thread(find, body.text, hints)
    spans = [span for span in found if span.score >= THRESHOLD]
    words = site.words[site.locale_of(request)]
    kinds = dict.fromkeys(words(f"collect.personal.{_word(span)}") for span in spans)
    return {"spans": [span.as_json() for span in spans], "kinds": list(kinds)}


def _word(span: Span) -> str:
    return "secret" if span.is_secret else _WORDS.get(span.type, "number")
