"""The index of what browsers call their messages holds those that have such a name, not every reply and import."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index anew."""
    named = sa.text("client_msg_id IS NOT NULL")
    op.drop_index("ix_messages_client", "messages")
    op.create_index(
        "ix_messages_client",
        "messages",
        ["conversation_id", "client_msg_id"],
        unique=True,
        sqlite_where=named,
        postgresql_where=named,
    )
