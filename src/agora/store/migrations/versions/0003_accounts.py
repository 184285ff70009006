"""Operators' accounts and their sessions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables of those who sign in."""
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.String(26), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False, unique=True),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("password", sa.String(192), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("disabled_us", sa.BigInteger()),
    )
    op.create_table(
        "account_sessions",
        sa.Column("session_mac", sa.String(64), primary_key=True),
        sa.Column("account_id", sa.String(26), sa.ForeignKey("accounts.account_id"), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_us", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_account_sessions_account", "account_sessions", ["account_id"])
