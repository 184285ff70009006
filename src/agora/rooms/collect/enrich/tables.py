"""The table of work that several processes share. Work that is done leaves no row: the annotations are its record."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table, Text

from agora.rooms.collect.tables import MESSAGES
from agora.store.tables import METADATA

ENRICH_JOBS = Table(
    "enrich_jobs",
    METADATA,
    Column("kind", String(16), primary_key=True),
    Column("version", String(32), primary_key=True),
    Column("first_id", String(26), primary_key=True),  # of the messages; '' stands for the kind as a whole
    Column("last_id", String(26), nullable=False),
    Column("state", String(16), nullable=False),  # waiting | dead | unavailable; one that runs waits under a lease
    Column("attempts", Integer, nullable=False),
    Column("owner", String(64)),
    Column("not_before_us", BigInteger, nullable=False),  # until then nobody else may take it: lease or back-off
    Column("error", Text),  # its kind and first line, never a text
)

Index("ix_messages_sha256", MESSAGES.c.content_sha256)
