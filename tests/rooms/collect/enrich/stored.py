"""Conversations for the tests of enrichment, put into a store by the same functions that the service uses."""

from __future__ import annotations

from collections.abc import Sequence

from agora.core.records import Conversation, Message, Provenance
from agora.rooms.collect.records import store_conversations
from agora.rooms.collect.tables import CONVERSATIONS, MESSAGES
from agora.store import Store


def put_texts(store: Store, *texts: str, name: str = "t") -> list[str]:
    """One conversation for each text, a single user message in each; the ids of the messages in order."""
    return put_conversations(store, *[[text] for text in texts], name=name)


def put_conversations(store: Store, *conversations: Sequence[str], name: str = "t") -> list[str]:
    """Conversations whose messages alternate between user and assistant; the ids of all messages in order."""
    from sqlalchemy import select

    with store.reading() as connection:
        before = set(connection.scalars(select(MESSAGES.c.message_id)))
    made = []
    for number, texts in enumerate(conversations):
        messages = [
            Message("assistant" if i % 2 else "user", text, id=f"m{i}", parent=f"m{i - 1}" if i else None)
            for i, text in enumerate(texts)
        ]
        made.append(
            Conversation(f"{name}-{number}", tuple(messages), Provenance(name, f"{number}", "CC0", "unknown", None))
        )
    store_conversations(store, made)
    keys = {f"{name}-{number}": number for number in range(len(made))}
    query = select(MESSAGES.c.message_id, MESSAGES.c.created_us, CONVERSATIONS.c.source_key).join(
        CONVERSATIONS, CONVERSATIONS.c.conversation_id == MESSAGES.c.conversation_id
    )
    with store.reading() as connection:
        rows = [row for row in connection.execute(query) if row.message_id not in before]
    return [row.message_id for row in sorted(rows, key=lambda row: (keys[row.source_key], row.created_us))]
