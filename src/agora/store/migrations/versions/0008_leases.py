"""Which process writes a reply, and which processes there are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the list of processes, and each reply's writer."""
    op.create_table(
        "processes",
        sa.Column("process_id", sa.String(26), primary_key=True),
        sa.Column("host", sa.String(16), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("started_us", sa.BigInteger(), nullable=False),
        sa.Column("heartbeat_us", sa.BigInteger(), nullable=False),
    )
    op.add_column("messages", sa.Column("writer", sa.String(26)))
