"""The table of solved puzzles."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, String, Table

from agora.store.tables import METADATA

PROOFS = Table(
    "proofs",
    METADATA,
    Column("subject_id", String(26), ForeignKey("subjects.subject_id"), primary_key=True),
    Column("bits", Integer, nullable=False),
    Column("created_us", BigInteger, nullable=False),
)
