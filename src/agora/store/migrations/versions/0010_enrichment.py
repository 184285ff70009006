"""Batches of messages to enrich, and messages by the hash of their text."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of batches; find equal texts."""
    op.create_table(
        "enrich_jobs",
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("version", sa.String(32), primary_key=True),
        sa.Column("first_id", sa.String(26), primary_key=True),
        sa.Column("last_id", sa.String(26), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(64)),
        sa.Column("not_before_us", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text()),
    )
    op.create_index("ix_messages_sha256", "messages", ["content_sha256"])
