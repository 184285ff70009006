"""Events, consent texts, subjects and limits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables that every room with people in it shares."""
    serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "events",
        sa.Column("seq", serial, primary_key=True, autoincrement=False),
        sa.Column("ts_us", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(48), nullable=False),
        sa.Column("subject_id", sa.String(26)),
        sa.Column("conversation_id", sa.String(26)),
        sa.Column("message_id", sa.String(26)),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("prev_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
    )
    op.create_table(
        "consent_texts",
        sa.Column("version", sa.String(32), primary_key=True),
        sa.Column("locale", sa.String(16), primary_key=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("valid_from_us", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "subjects",
        sa.Column("subject_id", sa.String(26), primary_key=True),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("consent_version", sa.String(32)),
        sa.Column("consent_sha256", sa.String(64)),
        sa.Column("consent_terms_us", sa.BigInteger()),
        sa.Column("consent_publication_us", sa.BigInteger()),
        sa.Column("consent_state", sa.String(16), nullable=False),
        sa.Column("locale", sa.String(16), nullable=False),
        sa.Column("receipt_mac", sa.LargeBinary(32), unique=True),
        sa.Column("key_epoch", sa.Integer(), nullable=False),
        sa.Column("ip_pseudonym", sa.String(64)),
        sa.Column("header_json", sa.Text()),
        sa.Column("country_iso", sa.String(2)),
        sa.Column("subdivision", sa.Text()),
        sa.Column("source", sa.String(64), nullable=False),
    )
    op.create_index("ix_subjects_ip", "subjects", ["ip_pseudonym"])
    op.create_table(
        "limit_hits",
        sa.Column("bucket", sa.String(96), primary_key=True),
        sa.Column("window_us", sa.BigInteger(), primary_key=True),
        sa.Column("count", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_limit_hits_window", "limit_hits", ["window_us"])
