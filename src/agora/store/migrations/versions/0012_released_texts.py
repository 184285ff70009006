"""What releases hold of each conversation, to be read on the site."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; releases from before it are not shown."""
    op.create_table(
        "released_texts",
        sa.Column("release_id", sa.String(26), sa.ForeignKey("releases.release_id"), primary_key=True),
        sa.Column("row_sha256", sa.LargeBinary(32), primary_key=True),
        sa.Column("conversation_id", sa.String(26), nullable=False),
        sa.Column("language", sa.String(64)),
        sa.Column("model", sa.String(128)),
        sa.Column("turns_zstd", sa.LargeBinary(), nullable=False),
    )
    op.create_index("ix_released_texts_conversation", "released_texts", ["conversation_id"])
