"""Reports and reviews of conversations before their release."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of moderation."""
    op.create_table(
        "reviews",
        sa.Column("conversation_id", sa.String(26), sa.ForeignKey("conversations.conversation_id"), primary_key=True),
        sa.Column("waiting", sa.Boolean(), nullable=False),
        sa.Column("held", sa.Boolean(), nullable=False),
        sa.Column("reasons", sa.String(64), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("opened_us", sa.BigInteger(), nullable=False),
        sa.Column("decided_us", sa.BigInteger()),
        sa.Column("account_id", sa.String(26)),
        sa.Column("note", sa.Text()),
    )
    op.create_index("ix_reviews_queue", "reviews", ["waiting", "priority", "conversation_id"])
    op.create_table(
        "reports",
        sa.Column("message_id", sa.String(26), sa.ForeignKey("messages.message_id"), primary_key=True),
        sa.Column("conversation_id", sa.String(26), sa.ForeignKey("conversations.conversation_id"), nullable=False),
        sa.Column("why", sa.String(16), nullable=False),
        sa.Column("comment", sa.Text()),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_reports_conversation", "reports", ["conversation_id"])
    op.create_table(
        "review_progress",
        sa.Column("name", sa.String(16), primary_key=True),
        sa.Column("seen_us", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_annotations_created", "annotations", ["created_us"])
