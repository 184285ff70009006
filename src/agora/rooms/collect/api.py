"""The programs' interface, under ``/api/v1``: consent, conversations, streams, ratings, receipts.

Every refusal is ``{"error": {"code", "message"}}``. Streams are server-sent events: ``meta``, ``delta``, ``done`` and
``error``, numbered by the place in the reply they lead to, so that ``Last-Event-ID`` is where to go on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from agora.core.json_text import dumps
from agora.rooms.collect import conversations, erase
from agora.rooms.collect.chat import Chat
from agora.rooms.collect.enrich.places import NOWHERE, Places
from agora.rooms.collect.event_stream import PING, PING_S, EventStreamResponse, event
from agora.rooms.collect.guard.admission import check_address
from agora.rooms.collect.replies import Watched
from agora.rooms.collect.sending import Begun
from agora.rooms.collect.types import NewMessage, Params, Status
from agora.site.pages import Site, site_of
from agora.site.requests import address_of, from_here
from agora.store.addresses import remember_address
from agora.store.consent import (
    ConsentError,
    ConsentText,
    Subject,
    Visitor,
    accept_terms,
    decide_publication,
    subject_of_receipt,
    withdraw,
)
from agora.store.limits import Limit, count
from agora.store.pseudonyms import ip_pseudonym, pseudonyms_of

VISIT = "visit"
Id = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TermsBody(_Body):
    """The first step: which words were read, and that they are accepted."""

    version: str
    sha256: str
    accepted: Literal[True]
    age_confirmed: Literal[True]


class PublicationBody(_Body):
    """The second step."""

    version: str
    decision: Literal["publish", "decline"]


class ParamsBody(_Body):
    """How to sample."""

    temperature: float = Field(default=1.0, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int = Field(default=1024, ge=1, le=1 << 20)

    def params(self) -> Params:
        """As the chat takes them."""
        return Params(self.temperature, self.top_p, self.max_tokens)


class MessageBody(_Body):
    """A message to a model."""

    content: str
    client_msg_id: Id
    parent_id: str | None = None
    edited_of: str | None = None
    params: ParamsBody = ParamsBody()


class RegenerateBody(_Body):
    """Another answer to the same message."""

    params: ParamsBody = ParamsBody()


class FeedbackBody(_Body):
    """What a person thinks of a reply."""

    message_id: Id
    rating: Literal[-1, 0, 1]
    comment: str | None = Field(default=None, max_length=2000)


class ReceiptBody(_Body):
    """A receipt, and what it is for: everything, or one conversation."""

    receipt: str = Field(max_length=80)
    scope: str = Field(default="all", max_length=64)


def chat_of(request: Request) -> Chat:
    """The chat that a request came to."""
    chat: Chat = request.app.state.chat
    return chat


def visitor_of(request: Request) -> Visitor:
    """What a request tells of the person behind it."""
    site = site_of(request)
    places: Places | None = request.app.state.places
    address = address_of(request)
    place = places.find(address) if places else NOWHERE
    return Visitor(
        site.locale_of(request),
        address,
        {k.lower(): v for k, v in request.headers.items()},
        country_iso=place.country_iso,
        subdivision=place.subdivision,
    )


def visit_of(request: Request) -> str | None:
    """The subject's id in the visit's cookie, or in a program's bearer token; None for none or a forged one."""
    site = site_of(request)
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return site.cookies.load(token if scheme.lower() == "bearer" else request.cookies.get(VISIT))


async def consented(request: Request) -> Subject:
    """The person behind a request, if they may chat; every route that writes or asks the model depends on it.

    Raises:
        ConsentError: they may not.
        RefusalError: the request comes from another site's page.
    """
    from_here(request)
    return await chat_of(request).consented(visit_of(request))


async def visit(request: Request) -> str | None:
    """The subject's id for routes whose own transaction looks for consent.

    Raises:
        RefusalError: the request comes from another site's page.
    """
    from_here(request)
    return visit_of(request)


# dependencies that are no coroutines are run in a thread each, which costs more than they do
async def _chat(request: Request) -> Chat:
    return chat_of(request)


async def _site(request: Request) -> Site:
    return site_of(request)


Consented = Annotated[Subject, Depends(consented)]
Visit = Annotated[str | None, Depends(visit)]
TheChat = Annotated[Chat, Depends(_chat)]
TheSite = Annotated[Site, Depends(_site)]
router = APIRouter(prefix="/api/v1")


class _ConsentFirst(APIRoute):
    """A route whose own transaction looks for consent: a body that cannot be read is told to those who have it."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        whole = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await whole(request)
            except RequestValidationError:
                await consented(request)
                raise

        return handle


sending = APIRouter(prefix=router.prefix, tags=router.tags, route_class=_ConsentFirst)


@router.get("/consent/current")
def current_consent(chat: TheChat, site: TheSite, request: Request, locale: str | None = None) -> dict[str, Any]:
    """The words in force."""
    text = chat.texts.get(locale or "", chat.texts[site.locale_of(request)])
    return {
        "version": text.version,
        "locale": text.locale,
        "sha256": text.sha256,
        "steps": [{"id": "terms", "text_md": text.terms}, {"id": "publication", "text_md": text.publication}],
        "choices": ["publish", "decline"],
    }


@router.post("/consent/terms", dependencies=[Depends(from_here)])
async def give_terms(body: TermsBody, chat: TheChat, site: TheSite, request: Request, response: Response) -> Any:
    """Accept the terms; the visit's cookie comes with the answer, and its value for programs."""
    text = _read_words(chat, body.version, body.sha256)
    subject = await chat.write(lambda c: begin_visit(c, chat, text, visitor_of(request)))
    site.cookies.set(response, VISIT, subject.id)
    return {"state": subject.state, "visit": site.cookies.dump(subject.id)}


@router.post("/consent/publication", dependencies=[Depends(from_here)])
async def give_publication(body: PublicationBody, chat: TheChat, request: Request) -> Any:
    """Agree to publication or decline; the receipt is in the answer this once."""
    subject = await chat.subject(visit_of(request))
    if subject is None:
        raise ConsentError("consent_required", "please accept the terms first")
    text = _read_words(chat, body.version, subject.sha256 or "")
    publish = body.decision == "publish"
    keys = chat.store.keys
    receipt = await chat.write(lambda c: decide_publication(c, keys, subject.id, text, publish=publish))
    return {"state": "publish" if publish else "declined", "receipt": receipt}


@router.post("/consent/withdraw", dependencies=[Depends(from_here)])
async def withdraw_consent(chat: TheChat, request: Request) -> Any:
    """Stop chatting and stay out of every future release."""
    subject = await chat.subject(visit_of(request))
    if subject is None:
        raise ConsentError("consent_required", "there is no consent to withdraw")
    await chat.write(lambda c: withdraw(c, subject.id))
    return {"state": "withdrawn"}


@router.post("/conversations", status_code=201)
async def create(request: Request, chat: TheChat, subject: Consented) -> Any:
    """Begin a conversation."""
    return {"id": await chat.new_conversation(subject, address_of(request))}


@router.get("/conversations")
async def list_conversations(chat: TheChat, subject: Consented) -> Any:
    """One's own conversations, newest first."""
    found = await chat.read(lambda c: conversations.conversations_of(c, subject.id))
    return {"conversations": [{"id": i, "updated_us": at, "title": title} for i, at, title in found]}


@router.get("/conversations/{conversation_id}")
async def read_conversation(conversation_id: str, chat: TheChat, subject: Consented) -> Any:
    """One conversation with all its branches."""
    messages = await chat.messages(subject.id, conversation_id)
    return {"id": conversation_id, "messages": [message.as_json() for message in messages]}


@router.delete("/conversations/{conversation_id}", status_code=204)
async def delete_conversation(conversation_id: str, chat: TheChat, subject: Consented) -> None:
    """Erase one of one's own conversations."""
    await chat.messages(subject.id, conversation_id)
    await chat.write(lambda c: erase.erase_conversations(c, subject.id, conversation_id))


@sending.post("/conversations/{conversation_id}/messages", response_class=EventStreamResponse)
async def send(conversation_id: str, body: MessageBody, chat: TheChat, visit: Visit) -> EventStreamResponse:
    """Send a message and read the reply as it is written."""
    new = NewMessage(conversation_id, body.content, body.client_msg_id, body.parent_id, body.edited_of)
    return _events(chat, await chat.send(visit, new, body.params.params()))


@sending.post("/messages/{message_id}/regenerate", response_class=EventStreamResponse)
async def regenerate(message_id: str, body: RegenerateBody, chat: TheChat, visit: Visit) -> EventStreamResponse:
    """Another answer to the same message, beside the first."""
    return _events(chat, await chat.regenerate(visit, message_id, body.params.params()))


@router.post("/messages/{message_id}/stop")
async def stop(message_id: str, chat: TheChat, subject: Consented) -> Any:
    """End a reply where it stands."""
    return {"stopped": await chat.replies.stop(message_id, subject.id)}


@router.get("/messages/{message_id}/events")
async def watch(
    message_id: str,
    chat: TheChat,
    subject: Consented,
    last_event_id: Annotated[str | None, Header()] = None,
) -> EventStreamResponse:
    """Go on reading a reply after a lost connection."""
    reply = await chat.reply(subject.id, message_id)
    after = int(last_event_id) if last_event_id and last_event_id.isascii() and last_event_id.isdigit() else 0
    parent = reply.parent_id or ""
    return _events(chat, Begun(subject.id, reply.conversation_id, reply.id, parent, reply.model, False), after)


@router.post("/feedback")
async def feedback(body: FeedbackBody, chat: TheChat, subject: Consented) -> Any:
    """Rate a reply."""
    await chat.write(lambda c: conversations.rate(c, subject.id, body.message_id, body.rating, body.comment))
    return {"message_id": body.message_id, "rating": body.rating}


@router.post("/receipts/{verb}", dependencies=[Depends(from_here)])
async def use_receipt(
    verb: Literal["lookup", "export", "delete"], body: ReceiptBody, chat: TheChat, request: Request
) -> Any:
    """Look up, take home or erase what a receipt stands for. An unknown receipt is answered like an empty one."""
    subject = await subject_with_receipt(chat, request, body.receipt)
    if verb == "delete":
        return {"erased": await erase_with_receipt(chat, subject, body.scope)}
    empty: dict[str, Any] = {"subject": None, "conversations": []}
    kept = await chat.read(lambda c: erase.export_subject(c, subject.id)) if subject else empty
    return kept if verb == "export" else {"conversations": len(kept["conversations"])}


def begin_visit(connection: Connection, chat: Chat, text: ConsentText, visitor: Visitor) -> Subject:
    """The first step of consent, unless the address is blocked; the address is kept encrypted for a while.

    Raises:
        RefusalError: ``address_blocked``.
    """
    keys = chat.store.keys
    check_address(connection, pseudonyms_of(keys, visitor.address))
    if chat.settings.abuse.address_h:
        remember_address(connection, keys, visitor.address)
    return accept_terms(connection, keys, text, visitor)


async def subject_with_receipt(chat: Chat, request: Request, receipt: str) -> Subject | None:
    """The person a receipt was given to, looked up at most so often for one address.

    Raises:
        LimitError: too often.
    """
    keys = chat.store.keys
    _, whom = ip_pseudonym(keys, address_of(request))
    tries = Limit("receipt", chat.settings.limits.receipt_tries_per_minute, 60)
    await chat.write(lambda c: count(c, ((tries, whom or "unknown"),)))
    return await chat.read(lambda c: subject_of_receipt(c, keys, receipt))


async def erase_with_receipt(chat: Chat, subject: Subject | None, scope: str) -> int:
    """Erase everything of a subject, or one conversation; the files are scrubbed of it before this returns."""
    import asyncio

    if subject is None:
        return 0
    if scope == "all":
        erased = await chat.write(lambda c: erase.erase_subject(c, subject.id))
    else:
        erased = await chat.write(lambda c: erase.erase_conversations(c, subject.id, scope))
    await asyncio.to_thread(erase.scrub, chat.store.engine)
    return erased


def _read_words(chat: Chat, version: str, sha256: str) -> ConsentText:
    """The text that was read, if it is in force.

    Raises:
        ConsentError: ``consent_version_stale``.
    """
    for text in chat.texts.values():
        if text.version == version and text.sha256 == sha256:
            return text
    raise ConsentError("consent_version_stale", "the words have changed; please read them again")


def _events(chat: Chat, begun: Begun, after: int = 0) -> EventStreamResponse:
    async def events() -> AsyncIterator[bytes]:
        meta = {"conversation_id": begun.conversation_id, "message_id": begun.message_id, "parent_id": begun.parent_id}
        yield event(dumps({**meta, "model": begun.model}), "meta")
        async for seen in chat.watch(begun.subject_id, begun.message_id, after, still_here_s=PING_S):
            yield _of_watched(seen)

    return EventStreamResponse(events())


def _of_watched(seen: Watched) -> bytes:
    if seen.text:
        return event(dumps({"text": seen.text}), "delta", seen.at)
    if seen.ending is None:
        return PING
    ending = seen.ending
    if ending.status in (Status.UPSTREAM_ERROR, Status.TIMEOUT):
        failed = {"code": ending.error_code, "status": ending.status, "retryable": True}
        return event(dumps(failed), "error", seen.at)
    done = {"status": ending.status, "finish_reason": ending.finish_reason, "usage": ending.usage}
    return event(dumps(done), "done", seen.at)
