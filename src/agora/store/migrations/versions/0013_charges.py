"""What is charged for replies under way, so that what a dead process charged can be given back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "charges",
        sa.Column("message_id", sa.String(26), primary_key=True),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("prompt", sa.BigInteger(), nullable=False),
        sa.Column("reply", sa.BigInteger(), nullable=False),
        sa.Column("reply_price", sa.Float(), nullable=False),
    )
