"""A round as the chat begins it, without a model behind it."""

from __future__ import annotations

import uuid

from sqlalchemy import Connection

from agora.rooms.collect.sending import Begun, Reply, keep_message
from agora.rooms.collect.types import NewMessage, Params
from agora.store import Store
from agora.store.consent import find_subject


def begin(store: Store, subject_id: str, conversation: str, text: str) -> Begun:
    """A person's message (``parent_id``) and the beginning of its reply (``message_id``), a first one's."""
    new = NewMessage(conversation, text, uuid.uuid4().hex)

    def keep(connection: Connection) -> Begun:
        subject = find_subject(connection, subject_id)
        assert subject is not None
        return keep_message(
            connection, subject, new, Reply("m1", Params(), "nobody"), most_rounds=50, count=lambda: None
        )

    return store.write(keep)
