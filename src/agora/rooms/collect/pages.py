"""The room's pages. Each works with plain forms; a script adds streaming where there is one."""

from __future__ import annotations

import secrets
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from sqlalchemy import Connection
from starlette.responses import JSONResponse, RedirectResponse, Response

from agora.rooms.collect import conversations
from agora.rooms.collect.api import (
    VISIT,
    Consented,
    TheChat,
    TheSite,
    begin_visit,
    erase_with_receipt,
    subject_with_receipt,
    visit_of,
    visitor_of,
)
from agora.rooms.collect.chat import Chat
from agora.rooms.collect.erase import export_subject
from agora.rooms.collect.guard.proof import make_challenge
from agora.rooms.collect.show import branches, shown_messages
from agora.rooms.collect.types import ChatError, NewMessage, Params
from agora.site.requests import address_of, check_form, from_here
from agora.store.consent import ConsentError, ConsentState, decide_publication

router = APIRouter(include_in_schema=False)
Text = Annotated[str, Form()]


@router.get("/")
async def start(request: Request, chat: TheChat, site: TheSite) -> Response:
    """Where everyone arrives."""
    subject = await chat.subject(visit_of(request))
    return site.page(request, "start.html.j2", subject=subject, settings=chat.settings, model=chat.replies.model)


@router.get("/consent")
async def read_consent(request: Request, chat: TheChat, site: TheSite) -> Response:
    """The step that comes next."""
    subject = await chat.subject(visit_of(request))
    text = chat.texts[site.locale_of(request)]
    if subject and subject.state is ConsentState.TERMS and subject.version == text.version:
        return site.page(request, "publication.html.j2", session=subject.id, text=text, settings=chat.settings)
    if subject and subject.state is ConsentState.PUBLISH and subject.version == text.version:
        return RedirectResponse("/chat", 303)
    return site.page(request, "terms.html.j2", text=text, settings=chat.settings)


@router.post("/consent/terms", dependencies=[Depends(from_here)])
async def give_terms(
    request: Request, chat: TheChat, site: TheSite, sha256: Text, accepted: Text = "", age: Text = ""
) -> Response:
    """The first step, as a form."""
    text = chat.texts[site.locale_of(request)]
    if not (accepted and age):
        return site.page(request, "terms.html.j2", text=text, settings=chat.settings, incomplete=True, status=422)
    if sha256 != text.sha256:
        raise ConsentError("consent_version_stale", "the words have changed; please read them again")
    subject = await chat.write(lambda c: begin_visit(c, chat, text, visitor_of(request)))
    response = RedirectResponse("/consent", 303)
    site.cookies.set(response, VISIT, subject.id)
    return response


@router.post("/consent/publication", dependencies=[Depends(from_here)])
async def give_publication(
    request: Request, chat: TheChat, site: TheSite, decision: Text, form_token: Text, sha256: Text
) -> Response:
    """The second step, as a form; shows the receipt this once."""
    subject = await chat.subject(visit_of(request))
    if subject is None:
        raise ConsentError("consent_required", "please accept the terms first")
    check_form(request, subject.id, form_token)
    text = next((t for t in chat.texts.values() if t.sha256 == sha256), None)
    if text is None:
        raise ConsentError("consent_version_stale", "the words have changed; please read them again")
    publish = decision == "publish"
    keys = chat.store.keys
    receipt = await chat.write(lambda c: decide_publication(c, keys, subject.id, text, publish=publish))
    return site.page(request, "receipt_given.html.j2", receipt=receipt, settings=chat.settings)


@router.get("/chat")
async def chat_start(request: Request, chat: TheChat, site: TheSite, subject: Consented) -> Response:
    """One's conversations, and a new one."""
    values = await chat.read(lambda c: _chat_values(c, chat, subject.id))
    return site.page(request, "chat.html.j2", session=subject.id, **values, conversation=None, reported=False)


@router.get("/chat/{conversation_id}")
async def chat_page(
    conversation_id: str,
    request: Request,
    chat: TheChat,
    site: TheSite,
    subject: Consented,
    leaf: str | None = None,
    reported: bool = False,
) -> Response:
    """One conversation, along one of its branches."""
    messages = await chat.messages(subject.id, conversation_id)
    shown = shown_messages(messages, leaf)
    values = await chat.read(lambda c: _chat_values(c, chat, subject.id)) | {
        "shown": shown,
        "siblings": branches(messages, [m.id for m in shown]),
    }
    return site.page(
        request, "chat.html.j2", session=subject.id, conversation=conversation_id, **values, reported=reported
    )


def _chat_values(connection: Connection, chat: Chat, subject_id: str) -> dict[str, Any]:
    return {
        "listed": conversations.conversations_of(connection, subject_id),
        "budget": chat.budget.state(connection),
        "proof": make_challenge(connection, chat.store.keys, chat.settings.abuse, subject_id),
        "model": chat.replies.model,
        "settings": chat.settings,
        "client_msg_id": secrets.token_urlsafe(12),
        "shown": [],
        "siblings": {},
    }


@router.post("/chat")
async def new_chat(request: Request, chat: TheChat, subject: Consented, content: Text, form_token: Text) -> Response:
    """Begin a conversation with its first message."""
    check_form(request, subject.id, form_token)
    if not content.strip():
        raise ChatError("empty_message", "the message is empty", 422)
    conversation_id = await chat.new_conversation(subject, address_of(request))
    return await _send(chat, subject, NewMessage(conversation_id, _typed(content), secrets.token_urlsafe(12)))


@router.post("/chat/{conversation_id}")
async def send(
    conversation_id: str,
    request: Request,
    chat: TheChat,
    subject: Consented,
    content: Text,
    client_msg_id: Text,
    form_token: Text,
    parent_id: Text = "",
) -> Response:
    """Send a message as a form, and come back when the reply is there."""
    check_form(request, subject.id, form_token)
    return await _send(chat, subject, NewMessage(conversation_id, _typed(content), client_msg_id, parent_id or None))


def _typed(content: str) -> str:
    """A message as it was typed: a form sends each end of a line as two characters, and only one was counted."""
    return content.replace("\r\n", "\n")


async def _send(chat: Any, subject: Any, new: NewMessage) -> Response:
    begun = await chat.send(subject.id, new, Params(max_tokens=chat.settings.max_tokens))
    await _finished(chat, subject, begun.message_id)
    return RedirectResponse(f"/chat/{new.conversation_id}?leaf={begun.message_id}", 303)


@router.post("/messages/{message_id}/regenerate")
async def regenerate(
    message_id: str, request: Request, chat: TheChat, subject: Consented, form_token: Text
) -> Response:
    """Another answer, as a form."""
    check_form(request, subject.id, form_token)
    begun = await chat.regenerate(subject.id, message_id, Params(max_tokens=chat.settings.max_tokens))
    reply = await _finished(chat, subject, begun.message_id)
    return RedirectResponse(f"/chat/{reply.conversation_id}?leaf={reply.id}", 303)


async def _finished(chat: Any, subject: Any, reply_id: str) -> Any:
    async for _ in chat.watch(subject.id, reply_id):
        pass
    return await chat.reply(subject.id, reply_id)


@router.post("/messages/{message_id}/rate")
async def rate(
    message_id: str, request: Request, chat: TheChat, subject: Consented, rating: Text, form_token: Text
) -> Response:
    """Rate a reply, as a form."""
    check_form(request, subject.id, form_token)
    value = {"up": 1, "down": -1}.get(rating, 0)
    await chat.write(lambda c: conversations.rate(c, subject.id, message_id, value, None))
    reply = await chat.reply(subject.id, message_id)
    return RedirectResponse(f"/chat/{reply.conversation_id}?leaf={message_id}", 303)


@router.get("/receipt")
async def receipt_page(request: Request, site: TheSite) -> Response:
    """Where a receipt is used."""
    return site.page(request, "receipt.html.j2")


@router.post("/receipt", dependencies=[Depends(from_here)])
async def use_receipt(
    request: Request, chat: TheChat, site: TheSite, receipt: Text, verb: Text, sure: Text = ""
) -> Response:
    """Take home or erase what a receipt stands for."""
    subject = await subject_with_receipt(chat, request, receipt)
    if verb == "export":
        empty: dict[str, Any] = {"subject": None, "conversations": []}
        kept = await chat.read(lambda c: export_subject(c, subject.id)) if subject else empty
        named = {"content-disposition": 'attachment; filename="my-conversations.json"', "cache-control": "no-store"}
        return JSONResponse(kept, headers=named)
    if not sure:
        return site.page(request, "receipt.html.j2", unsure=True, receipt=receipt, status=422)
    erased = await erase_with_receipt(chat, subject, "all")
    return site.page(request, "receipt.html.j2", erased=erased)
