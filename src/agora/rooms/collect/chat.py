"""The chat: what happens when a person sends a message, in the order that loses nothing.

consent -> limits -> the message is on disk -> the model is asked -> the reply is kept as it grows -> its end
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

from sqlalchemy import Connection

from agora.rooms.collect import conversations
from agora.rooms.collect.replies import Replies, Watched
from agora.rooms.collect.settings import CollectSettings
from agora.rooms.collect.types import ChatError, ChatMessage, Ending, NewMessage, Params, Status
from agora.store import Store
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
        return require_consent(
            await self.subject(subject_id),
            self.settings.consent_version,
            allow_unpublished=self.settings.allow_unpublished,
        )

    async def new_conversation(self, subject: Subject, *, source: str = "web") -> str:
        """Begin a conversation."""
        return await self.write(lambda c: conversations.create_conversation(c, subject.id, source=source))

    async def send(self, subject: Subject, new: NewMessage, params: Params) -> str:
        """Keep a person's message, begin the reply and return its id. The same message sent twice is kept once.

        Raises:
            ChatError: the text is empty or too long, the conversation is another's or full.
            LimitError: too many messages.
        """
        _check_text(new.content, self.settings.limits.chars)
        self.replies.check_free(subject.id)

        def keep(connection: Connection) -> tuple[str, bool]:
            message_id, is_new = conversations.add_user_message(connection, subject.id, new)
            if not is_new:
                known = conversations.read_messages(connection, new.conversation_id)
                answered = [m.id for m in known if m.parent_id == message_id]
                if answered:
                    return answered[-1], False
            if conversations.num_rounds(connection, new.conversation_id) > self.settings.limits.rounds:
                raise ChatError("conversation_full", "this conversation is at its longest; please begin another", 409)
            self._count(connection, subject)
            model = self.replies.model
            reply = conversations.start_reply(
                connection, subject.id, new.conversation_id, message_id, model, self._bounded(params)
            )
            return reply, True

        reply_id, is_new = await self.write(keep)
        if is_new:
            await self._begin(subject, new.conversation_id, reply_id, params)
        return reply_id

    async def regenerate(self, subject: Subject, reply_id: str, params: Params) -> str:
        """Answer the same message once more and return the new reply's id; the earlier one stays as a sibling.

        Raises:
            ChatError: there is no such reply of theirs, or it is still being written.
        """
        self.replies.check_free(subject.id)

        def keep(connection: Connection) -> tuple[str, str]:
            conversation_id = conversations.conversation_of(connection, reply_id)
            conversations.owned_conversation(connection, subject.id, conversation_id)
            old = {m.id: m for m in conversations.read_messages(connection, conversation_id)}[reply_id]
            if old.role != "assistant" or old.parent_id is None:
                raise ChatError("not_found", "there is no such reply", 404)
            self._count(connection, subject)
            model = self.replies.model
            new = conversations.start_reply(
                connection, subject.id, conversation_id, old.parent_id, model, self._bounded(params)
            )
            return conversation_id, new

        conversation_id, new_reply = await self.write(keep)
        await self._begin(subject, conversation_id, new_reply, params)
        return new_reply

    async def messages(self, subject: Subject, conversation_id: str) -> list[ChatMessage]:
        """A conversation of theirs.

        Raises:
            ChatError: ``not_found``.
        """

        def get(connection: Connection) -> list[ChatMessage]:
            conversations.owned_conversation(connection, subject.id, conversation_id)
            return conversations.read_messages(connection, conversation_id)

        return await self.read(get)

    async def reply(self, subject: Subject, message_id: str) -> ChatMessage:
        """One reply of theirs.

        Raises:
            ChatError: ``not_found``.
        """

        def get(connection: Connection) -> ChatMessage:
            conversation_id = conversations.conversation_of(connection, message_id)
            conversations.owned_conversation(connection, subject.id, conversation_id)
            found = conversations.read_messages(connection, conversation_id)
            return next(m for m in found if m.id == message_id)

        return await self.read(get)

    async def watch(self, subject: Subject, reply_id: str, place: int = 0) -> AsyncIterator[Watched]:
        """A reply of theirs from a place on, as it is written, and its end.

        A reply that another process writes is read from the store as it is kept there; so is one that ended between
        its start and this call.

        Raises:
            ChatError: ``not_found``.
        """
        while True:
            live = self.replies.find(reply_id)
            if live is not None and live.subject_id == subject.id:
                async for seen in live.watch(place):
                    yield seen
                return
            stored = await self.reply(subject, reply_id)
            if len(stored.content) > place:
                yield Watched(len(stored.content), stored.content[place:])
                place = len(stored.content)
            if stored.status is not Status.STREAMING:
                ending = Ending(stored.status, stored.finish_reason, stored.error_code, stored.usage)
                yield Watched(place, ending=ending)
                return
            await asyncio.sleep(POLL_S)

    async def _begin(self, subject: Subject, conversation_id: str, reply_id: str, params: Params) -> None:
        messages = await self.read(lambda c: conversations.read_messages(c, conversation_id))
        turns = _turns(conversations.path_to(messages, reply_id)[:-1], self.settings.system_prompt)
        self.replies.start(subject.id, reply_id, turns, self._bounded(params))

    def _bounded(self, params: Params) -> Params:
        return Params(params.temperature, params.top_p, min(params.max_tokens, self.settings.max_tokens))

    def _count(self, connection: Connection, subject: Subject) -> None:
        wanted = [(self._per_minute, subject.id), (self._per_day, subject.id)]
        if subject.ip_pseudonym:
            wanted.append((self._per_address, subject.ip_pseudonym))
        count(connection, tuple(wanted))


def _check_text(text: str, most: int) -> None:
    if not text.strip():
        raise ChatError("empty_message", "the message is empty", 422)
    if len(text) > most:
        raise ChatError("message_too_long", f"the message has {len(text):,} characters, at most {most:,} fit", 422)


def _turns(path: Sequence[ChatMessage], system_prompt: str) -> list[dict[str, str]]:
    system = [{"role": "system", "content": system_prompt}] if system_prompt else []
    return system + [{"role": message.role, "content": message.content} for message in path]
