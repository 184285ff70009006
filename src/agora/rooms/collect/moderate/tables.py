"""The tables of moderation. Both are of the content plane: a conversation that is erased takes its rows with it."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, String, Table, Text

from agora.store.tables import METADATA

REVIEWS = Table(
    "reviews",  # one row a conversation that waits, waited, or was decided on
    METADATA,
    Column("conversation_id", String(26), ForeignKey("conversations.conversation_id"), primary_key=True),
    Column("waiting", Boolean, nullable=False),
    Column("held", Boolean, nullable=False),  # kept out of releases
    Column("reasons", String(64), nullable=False),  # see agora.rooms.collect.moderate.types.Reason, comma between
    Column("priority", Integer, nullable=False),  # the smallest first
    Column("opened_us", BigInteger, nullable=False),
    Column("decided_us", BigInteger),
    Column("account_id", String(26)),
    Column("note", Text),
)

REPORTS = Table(
    "reports",
    METADATA,
    Column("message_id", String(26), ForeignKey("messages.message_id"), primary_key=True),
    Column("conversation_id", String(26), ForeignKey("conversations.conversation_id"), nullable=False),
    Column("why", String(16), nullable=False),  # see agora.rooms.collect.moderate.types.Why
    Column("comment", Text),
    Column("created_us", BigInteger, nullable=False),
)

REVIEW_PROGRESS = Table(
    "review_progress",  # one row: all annotations stored before this time were looked at
    METADATA,
    Column("name", String(16), primary_key=True),
    Column("seen_us", BigInteger, nullable=False),
)

Index("ix_reviews_queue", REVIEWS.c.waiting, REVIEWS.c.priority, REVIEWS.c.conversation_id)
Index("ix_reports_conversation", REPORTS.c.conversation_id)
