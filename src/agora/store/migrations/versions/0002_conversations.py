"""Conversations, messages, annotations and ratings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of the collection room."""
    op.create_table(
        "conversations",
        sa.Column("conversation_id", sa.String(26), primary_key=True),
        sa.Column("subject_id", sa.String(26), sa.ForeignKey("subjects.subject_id")),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("source_license", sa.String(64)),
        sa.Column("source_key", sa.String(128)),
        sa.Column("reserved_for", sa.String(64)),
        sa.Column("automation_score", sa.Float()),
        sa.Column("dup_cluster", sa.String(26)),
    )
    op.create_index("ix_conversations_subject", "conversations", ["subject_id", "updated_us"])
    op.create_index("ix_conversations_source", "conversations", ["source", "source_key"], unique=True)
    op.create_table(
        "messages",
        sa.Column("message_id", sa.String(26), primary_key=True),
        sa.Column("conversation_id", sa.String(26), sa.ForeignKey("conversations.conversation_id"), nullable=False),
        sa.Column("parent_id", sa.String(26)),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("content_zstd", sa.LargeBinary(), nullable=False),
        sa.Column("content_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("completed_us", sa.BigInteger()),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("model", sa.String(128)),
        sa.Column("params_json", sa.Text()),
        sa.Column("upstream_id", sa.String(128)),
        sa.Column("usage_json", sa.Text()),
        sa.Column("finish_reason", sa.String(32)),
        sa.Column("error_code", sa.String(48)),
        sa.Column("edited_of", sa.String(26)),
        sa.Column("client_msg_id", sa.String(64)),
        sa.Column("flags", sa.Text()),
    )
    op.create_index("ix_messages_conversation", "messages", ["conversation_id", "message_id"])
    op.create_index("ix_messages_client", "messages", ["conversation_id", "client_msg_id"], unique=True)
    op.create_index("ix_messages_status", "messages", ["status"])
    op.create_table(
        "annotations",
        sa.Column("message_id", sa.String(26), sa.ForeignKey("messages.message_id"), primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("pipeline_version", sa.String(32), primary_key=True),
        sa.Column("result_json", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "feedback",
        sa.Column("message_id", sa.String(26), sa.ForeignKey("messages.message_id"), primary_key=True),
        sa.Column("rating", sa.Integer(), nullable=False),
        sa.Column("comment", sa.Text()),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
    )
