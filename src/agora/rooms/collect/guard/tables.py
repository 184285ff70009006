"""The tables of solved puzzles and of what replies under way were charged."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Integer, String, Table

from agora.store.tables import METADATA

PROOFS = Table(
    "proofs",
    METADATA,
    Column("subject_id", String(26), ForeignKey("subjects.subject_id"), primary_key=True),
    Column("bits", Integer, nullable=False),
    Column("created_us", BigInteger, nullable=False),
)

CHARGES = Table(
    "charges",  # what is charged for a reply now; the row goes when the reply has ended and its cost is known
    METADATA,
    Column("message_id", String(26), primary_key=True),
    Column("day", Integer, nullable=False),
    Column("prompt", BigInteger, nullable=False),  # tokens
    Column("reply", BigInteger, nullable=False),
    Column("reply_price", Float, nullable=False),  # for a million tokens
)
