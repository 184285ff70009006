"""Releases, their rows, and the rows that were removed since."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of releases."""
    op.create_table(
        "releases",
        sa.Column("release_id", sa.String(26), primary_key=True),
        sa.Column("number", sa.Integer(), nullable=False, unique=True),
        sa.Column("name", sa.String(128), nullable=False, unique=True),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("profile", sa.String(16), nullable=False),
        sa.Column("input_seq", sa.BigInteger(), nullable=False),
        sa.Column("as_of_us", sa.BigInteger(), nullable=False),
        sa.Column("asked_sha256", sa.String(64), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("published_us", sa.BigInteger()),
        sa.Column("conversations", sa.BigInteger()),
        sa.Column("report_json", sa.Text()),
    )
    op.create_table(
        "release_rows",
        sa.Column("release_id", sa.String(26), sa.ForeignKey("releases.release_id"), primary_key=True),
        sa.Column("conversation_id", sa.String(26), primary_key=True),
        sa.Column("row_sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("release_pseudonym", sa.String(64)),
    )
    op.create_index("ix_release_rows_conversation", "release_rows", ["conversation_id"])
    op.create_index("ix_release_rows_pseudonym", "release_rows", ["release_pseudonym"])
    op.create_table(
        "removals",
        sa.Column("release_id", sa.String(26), sa.ForeignKey("releases.release_id"), primary_key=True),
        sa.Column("row_sha256", sa.LargeBinary(32), primary_key=True),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
    )
