"""The search index's own tables. All of it can be made anew from conversations, messages and annotations.

A message's number is its conversation's number times 2^20 plus its place, so that the numbers which a full-text index
gives tell the conversation without a look at a table. The words themselves are in ``search_fts`` (SQLite) or in the
column ``search_messages.words`` (PostgreSQL), which only :mod:`agora.rooms.collect.explore.engines` touches.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Integer, LargeBinary, String, Table, Text

from agora.store.tables import METADATA

PLACE_BITS = 20

SEARCH_CONVERSATIONS = Table(
    "search_conversations",
    METADATA,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("conversation_id", String(26), nullable=False, unique=True),
    Column("subject_id", String(26)),
    Column("created_us", BigInteger, nullable=False),
    Column("month", String(7), nullable=False),
    Column("source", String(64), nullable=False),
    Column("language", String(16)),
    Column("country", String(2)),
    Column("model", String(128)),
    Column("category", String(64)),
    Column("turns", Integer, nullable=False),
    Column("toxic", Boolean),  # null: not looked at
    Column("redacted", Boolean),  # null: not looked at
    Column("ups", Integer, nullable=False),
    Column("downs", Integer, nullable=False),
    Column("automation", Float),
    Column("topic", Integer),
    Column("x", Float),
    Column("y", Float),
)

SEARCH_MESSAGES = Table(
    "search_messages",
    METADATA,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("message_id", String(26), nullable=False),
    Column("content_head", LargeBinary(8), nullable=False),  # of the hash of the text that was indexed
)

SEARCH_COUNTS = Table(
    "search_counts",
    METADATA,
    Column("facet", String(16), primary_key=True),
    Column("value", String(128), primary_key=True),  # empty: not known
    Column("conversations", BigInteger, nullable=False),
)

SEARCH_STATE = Table(
    "search_state",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("version", Integer, nullable=False),  # of agora.rooms.collect.explore.words
    Column("built_through", String(26)),  # while it is built: the last conversation that is in
    Column("seq", BigInteger, nullable=False),  # the last event that is in
    Column("annotated_us", BigInteger, nullable=False),  # annotations up to then are in
    Column("uncleaned", BigInteger, nullable=False),  # erasures since the index was last cleaned of their bytes
)

SAVED_SEARCHES = Table(
    "saved_searches",
    METADATA,
    Column("saved_id", String(26), primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("name", String(120), nullable=False),
    Column("query_json", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
)

Index("ix_search_conversations_subject", SEARCH_CONVERSATIONS.c.subject_id)
Index("ix_saved_searches_owner", SAVED_SEARCHES.c.owner)
