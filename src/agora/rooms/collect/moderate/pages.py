"""The pages of moderation, for signed-in operators, and the form with which a person reports a reply.

They work with plain forms and the keyboard: after a decision the next conversation is there, its first control focused.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from sqlalchemy import Connection
from starlette.responses import RedirectResponse, Response

from agora.rooms.collect import erase
from agora.rooms.collect.api import Consented, TheChat, TheSite
from agora.rooms.collect.conversations import read_messages
from agora.rooms.collect.moderate import queue, reviews
from agora.rooms.collect.moderate.types import Reason, Why
from agora.site.accounts import Moderator
from agora.site.refusals import RefusalError
from agora.site.requests import check_form
from agora.store.accounts import Role, log_operator

router = APIRouter(include_in_schema=False)
Text = Annotated[str, Form()]
#: What a span marked by hand may be.
SPAN_TYPES = ("PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "LOCATION", "ID_NUMBER", "SECRET", "OTHER")


@router.get("/moderate")
async def queue_page(
    request: Request,
    chat: TheChat,
    site: TheSite,
    operator: Moderator,
    reason: str = "",
    show: str = "",
    after: str = "",
) -> Response:
    """Who waits for a decision."""
    settings = chat.settings.moderate
    flagged = await chat.read(lambda c: reviews.find_flagged(c, automation=settings.automation_score))
    await chat.write(lambda c: reviews.queue_flagged(c, flagged, hold=settings.hold))
    wanted = reason if reason in set(Reason) else ""
    held = show == "held"
    found = await chat.read(lambda c: queue.waiting(c, held=held, reason=wanted, after=after[:64]))
    counted = await chat.read(queue.counts)
    values: dict[str, Any] = {"found": found, "counts": counted, "reason": wanted, "held": held, "page": queue.PAGE}
    return site.page(request, "moderate_queue.html.j2", session=operator.session, **values)


@router.get("/moderate/{conversation_id}")
async def review_page(
    conversation_id: str, request: Request, chat: TheChat, site: TheSite, operator: Moderator, at: str = ""
) -> Response:
    """One conversation. Opening it is written into the event log."""
    opened = await chat.write(lambda c: queue.open_conversation(c, operator.id, conversation_id))
    return site.page(
        request,
        "moderate_review.html.j2",
        session=operator.session,
        opened=opened,
        at=at,
        may_block=operator.role is Role.ADMIN,
        span_types=SPAN_TYPES,
        note_chars=reviews.NOTE_CHARS,
    )


@router.post("/moderate/{conversation_id}/decide")
async def decide(
    conversation_id: str,
    request: Request,
    chat: TheChat,
    operator: Moderator,
    decision: Text,
    form_token: Text,
    sure: Text = "",
) -> Response:
    """Approve, hold back or erase, and go on to the next one."""
    check_form(request, operator.session, form_token)
    if decision == "erase":
        if not sure:
            raise RefusalError("unsure", "please tick the box to erase the conversation", 422)
        await _erase(chat, operator.id, conversation_id)
    elif decision in ("approve", "hold"):
        await chat.write(lambda c: reviews.decide(c, operator.id, conversation_id, hold=decision == "hold"))
    else:
        raise RefusalError("bad_decision", "a decision is approve, hold or erase", 422)
    after = await chat.read(lambda c: queue.next_waiting(c, conversation_id))
    return RedirectResponse(f"/moderate/{after}" if after else "/moderate", 303)


@router.post("/moderate/{conversation_id}/note")
async def note(
    conversation_id: str, request: Request, chat: TheChat, operator: Moderator, form_token: Text, note: Text = ""
) -> Response:
    """Keep a note for other operators."""
    check_form(request, operator.session, form_token)
    await chat.write(lambda c: reviews.set_note(c, operator.id, conversation_id, note))
    return RedirectResponse(f"/moderate/{conversation_id}", 303)


@router.post("/moderate/{conversation_id}/redact")
async def redact(
    conversation_id: str,
    request: Request,
    chat: TheChat,
    operator: Moderator,
    message_id: Text,
    words: Text,
    type: Text,
    form_token: Text,
) -> Response:
    """Mark words of a message as personal data by hand."""
    check_form(request, operator.session, form_token)
    if type not in SPAN_TYPES:
        raise RefusalError("bad_type", f"a type is one of {', '.join(SPAN_TYPES)}", 422)
    messages = {m.id: m for m in await chat.read(lambda c: read_messages(c, conversation_id))}
    if message_id not in messages:
        raise RefusalError("not_found", "there is no such message", 404)
    # browsers send line ends as two characters, the store has what the message was written with
    content = messages[message_id].content
    wanted = words if words in content else words.replace("\r\n", "\n")
    await chat.write(lambda c: reviews.redact_words(c, operator.id, message_id, content, wanted, type))
    return RedirectResponse(f"/moderate/{conversation_id}?at={message_id}#m{message_id}", 303)


@router.post("/messages/{message_id}/report")
async def report(
    message_id: str,
    request: Request,
    chat: TheChat,
    subject: Consented,
    why: Text,
    form_token: Text,
    comment: Text = "",
) -> Response:
    """A person's report of a reply, as a form."""
    check_form(request, subject.id, form_token)
    if why not in set(Why):
        raise RefusalError("invalid_request", f"why is one of {', '.join(Why)}", 422)
    kept, hold = comment.strip()[: reviews.NOTE_CHARS], chat.settings.moderate.hold
    conversation_id = await chat.write(lambda c: reviews.report(c, subject.id, message_id, Why(why), kept, hold=hold))
    return RedirectResponse(f"/chat/{conversation_id}?leaf={message_id}&reported=1", 303)


async def _erase(chat: TheChat, account_id: str, conversation_id: str) -> None:
    def run(connection: Connection) -> bool:
        log_operator(connection, "operator.erased", account_id, conversation_id=conversation_id)
        return erase.erase_conversation(connection, conversation_id)

    if not await chat.write(run):
        raise RefusalError("not_found", "there is no such conversation", 404)
    await asyncio.to_thread(erase.scrub, chat.store.engine)
