"""The chat: what happens when a person sends a message, in the order that loses nothing.

consent -> limits -> the message is on disk -> the model is asked -> the reply is kept as it grows -> its end
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from time import monotonic
from typing import TypeVar

from sqlalchemy import Connection

from agora.rooms.collect import conversations
from agora.rooms.collect.guard.admission import check_visitor
from agora.rooms.collect.guard.context import fit_turns
from agora.rooms.collect.moderate.reviews import wait_for_review
from agora.rooms.collect.replies import Replies, Watched
from agora.rooms.collect.sending import Begun, Reply, keep_another, keep_message, note_truncated
from agora.rooms.collect.settings import CollectSettings
from agora.rooms.collect.types import ChatError, ChatMessage, Ending, NewMessage, Params, Status
from agora.store import Store
from agora.store.addresses import remember_address
from agora.store.consent import ConsentText, Subject, find_subject, require_consent
from agora.store.limits import Limit, count

T = TypeVar("T")
POLL_S = 0.1  # between looks at a reply that another process writes


class Chat:
    """The service behind the pages and the programs' interface.

    Args:
        store: of subjects, conversations and events.
        settings: the operator's decisions.
        texts: what people agree to, by locale.
        replies: who writes them.
    """

    def __init__(
        self, store: Store, settings: CollectSettings, texts: dict[str, ConsentText], replies: Replies
    ) -> None:
        self.store, self.settings, self.texts, self.replies = store, settings, texts, replies
        self.budget = replies.budget
        limits = settings.limits
        self._per_minute = Limit("minute", limits.messages_per_minute, 60)
        self._per_day = Limit("day", limits.messages_per_day, 86_400)
        self._per_address = Limit("address", limits.address_per_minute, 60)

    async def write(self, job: Callable[[Connection], T]) -> T:
        """Write to the store without holding up other requests."""
        return await asyncio.wrap_future(self.store.submit(job))

    async def read(self, job: Callable[[Connection], T]) -> T:
        """Read from the store without holding up other requests."""

        def run() -> T:
            with self.store.reading() as connection:
                return job(connection)

        return await asyncio.to_thread(run)

    async def subject(self, subject_id: str | None) -> Subject | None:
        """The person behind a cookie, as the store has them now."""
        return await self.read(lambda c: find_subject(c, subject_id)) if subject_id else None

    async def consented(self, subject_id: str | None) -> Subject:
        """The person behind a cookie, if they may chat. Every route that writes or asks the model begins with this.

        Raises:
            ConsentError: they may not.
        """
        return self._may_chat(await self.subject(subject_id))

    async def new_conversation(self, subject: Subject, address: str | None, *, source: str = "web") -> str:
        """Begin a conversation; the address it begins from is kept encrypted for a while."""

        def run(connection: Connection) -> str:
            if self.settings.abuse.address_h:
                remember_address(connection, self.store.keys, address)
            return conversations.create_conversation(connection, subject.id, source=source)

        return await self.write(run)

    async def send(self, subject_id: str | None, new: NewMessage, params: Params) -> Begun:
        """Keep a person's message and begin the reply. The same message sent twice is kept once.

        Consent is read in the transaction that keeps the message: a withdrawal cannot come between them.

        Raises:
            ConsentError: they may not chat.
            ChatError: the text is empty or too long, the conversation is another's or full.
            LimitError: too many messages.
        """
        self.replies.check_free(subject_id)
        reply = self._reply(params)

        def keep(connection: Connection) -> Begun:
            subject = self._may_chat(find_subject(connection, subject_id))
            _check_text(new.content, self.settings.limits.chars)
            most = self.settings.limits.rounds
            begun = keep_message(
                connection, subject, new, reply, most_rounds=most, count=lambda: self._count(connection, subject)
            )
            self._let_review(connection, begun)
            return self._charge(connection, begun, reply)

        return self._begin(await self.write(keep), reply)

    async def regenerate(self, subject_id: str | None, reply_id: str, params: Params) -> Begun:
        """Answer the same message once more; the earlier reply stays as a sibling.

        Raises:
            ConsentError: they may not chat.
            ChatError: there is no such reply of theirs.
            LimitError: too many messages.
        """
        self.replies.check_free(subject_id)
        reply = self._reply(params)

        def keep(connection: Connection) -> Begun:
            subject = self._may_chat(find_subject(connection, subject_id))
            begun = keep_another(connection, subject, reply_id, reply, count=lambda: self._count(connection, subject))
            self._let_review(connection, begun)
            return self._charge(connection, begun, reply)

        return self._begin(await self.write(keep), reply)

    async def messages(self, subject_id: str, conversation_id: str) -> list[ChatMessage]:
        """A conversation of theirs.

        Raises:
            ChatError: ``not_found``.
        """

        def get(connection: Connection) -> list[ChatMessage]:
            conversations.owned_conversation(connection, subject_id, conversation_id)
            return conversations.read_messages(connection, conversation_id)

        return await self.read(get)

    async def reply(self, subject_id: str, message_id: str) -> ChatMessage:
        """One reply of theirs.

        Raises:
            ChatError: ``not_found``.
        """

        def get(connection: Connection) -> ChatMessage:
            conversation_id = conversations.conversation_of(connection, message_id)
            conversations.owned_conversation(connection, subject_id, conversation_id)
            found = conversations.read_messages(connection, conversation_id)
            return next(m for m in found if m.id == message_id)

        return await self.read(get)

    async def watch(
        self, subject_id: str, reply_id: str, place: int = 0, *, still_here_s: float = 3600.0
    ) -> AsyncIterator[Watched]:
        """A reply of theirs from a place on, as it is written, and its end; signs of life in long silences.

        A reply that another process writes is read from the store as it is kept there; so is one that ended between
        its start and this call.

        Raises:
            ChatError: ``not_found``.
        """
        told = monotonic()
        while True:
            live = self.replies.find(reply_id)
            if live is not None and live.subject_id == subject_id:
                async for seen in live.watch(place, still_here_s):
                    yield seen
                return
            stored = await self.reply(subject_id, reply_id)
            if len(stored.content) > place:
                yield Watched(len(stored.content), stored.content[place:])
                place, told = len(stored.content), monotonic()
            if stored.status is not Status.STREAMING:
                ending = Ending(stored.status, stored.finish_reason, stored.error_code, stored.usage)
                yield Watched(place, ending=ending)
                return
            await asyncio.sleep(POLL_S)
            if monotonic() - told > still_here_s:
                yield Watched(place)
                told = monotonic()

    def _may_chat(self, subject: Subject | None) -> Subject:
        settings = self.settings
        return require_consent(subject, settings.consent_version, allow_unpublished=settings.allow_unpublished)

    def _reply(self, params: Params) -> Reply:
        bounded = Params(params.temperature, params.top_p, min(params.max_tokens, self.settings.max_tokens))
        return Reply(self.replies.model, bounded, self.replies.writer)

    def _begin(self, begun: Begun, reply: Reply) -> Begun:
        if begun.is_new:
            self.replies.start(begun.subject_id, begun.message_id, begun.turns, reply.params, begun.charge)
        return begun

    def _charge(self, connection: Connection, begun: Begun, reply: Reply) -> Begun:
        """Cut the history to what the model holds and charge the reply at its longest, or refuse it."""
        if not begun.is_new:
            return begun
        prompt = self.settings.system_prompt
        system = [{"role": "system", "content": prompt}] if prompt else []
        longest = reply.params.max_tokens
        fitted = fit_turns([*system, *begun.turns], self.settings.context_tokens, longest)
        charge = self.budget.charge(connection, begun.message_id, fitted.tokens, longest)
        if fitted.truncated_rounds:
            note_truncated(connection, begun, reply.params, fitted.truncated_rounds)
        return replace(begun, turns=tuple(fitted.turns), charge=charge)

    def _let_review(self, connection: Connection, begun: Begun) -> None:
        if begun.is_new and self.settings.moderate.review == "all":
            wait_for_review(connection, begun.conversation_id)

    def _count(self, connection: Connection, subject: Subject) -> None:
        check_visitor(connection, self.settings.abuse, subject)
        wanted = [(self._per_minute, subject.id), (self._per_day, subject.id)]
        if subject.ip_pseudonym:
            wanted.append((self._per_address, subject.ip_pseudonym))
        count(connection, tuple(wanted))


def _check_text(text: str, most: int) -> None:
    if not text.strip():
        raise ChatError("empty_message", "the message is empty", 422)
    if len(text) > most:
        raise ChatError("message_too_long", f"the message has {len(text):,} characters, at most {most:,} fit", 422)
