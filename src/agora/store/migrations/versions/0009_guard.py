"""Encrypted addresses, blocks, proofs of work and the sums of a day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables against abuse and for the budget."""
    op.create_table(
        "addresses",
        sa.Column("ip_pseudonym", sa.String(64), primary_key=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("seen_us", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_addresses_seen", "addresses", ["seen_us"])
    op.create_table(
        "blocks",
        sa.Column("ip_pseudonym", sa.String(64), primary_key=True),
        sa.Column("until_us", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.String(26), nullable=False),
    )
    op.create_table(
        "proofs",
        sa.Column("subject_id", sa.String(26), sa.ForeignKey("subjects.subject_id"), primary_key=True),
        sa.Column("bits", sa.Integer(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "spent",
        sa.Column("day", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(32), primary_key=True),
        sa.Column("amount", sa.BigInteger(), nullable=False),
    )
