"""The search index over messages, and saved searches."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

#: Marks belong to words (Hindi, Thai); the text is given with spaces around characters of scripts that have none.
_FTS5 = (
    "CREATE VIRTUAL TABLE search_fts USING fts5(prompt, reply, content='', columnsize=0, "
    "tokenize=\"unicode61 remove_diacritics 2 categories 'L* N* Co M*'\")"
)


def upgrade() -> None:
    """Make the tables of the explorer."""
    op.create_table(
        "search_conversations",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=False
        ),
        sa.Column("conversation_id", sa.String(26), nullable=False, unique=True),
        sa.Column("subject_id", sa.String(26)),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.Column("month", sa.String(7), nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("language", sa.String(16)),
        sa.Column("country", sa.String(2)),
        sa.Column("model", sa.String(128)),
        sa.Column("category", sa.String(64)),
        sa.Column("turns", sa.Integer(), nullable=False),
        sa.Column("toxic", sa.Boolean()),
        sa.Column("redacted", sa.Boolean()),
        sa.Column("ups", sa.Integer(), nullable=False),
        sa.Column("downs", sa.Integer(), nullable=False),
        sa.Column("automation", sa.Float()),
        sa.Column("topic", sa.Integer()),
        sa.Column("x", sa.Float()),
        sa.Column("y", sa.Float()),
    )
    op.create_index("ix_search_conversations_subject", "search_conversations", ["subject_id"])
    op.create_table(
        "search_messages",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=False
        ),
        sa.Column("message_id", sa.String(26), nullable=False),
        sa.Column("content_head", sa.LargeBinary(8), nullable=False),
    )
    state = op.create_table(
        "search_state",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("built_through", sa.String(26)),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("annotated_us", sa.BigInteger(), nullable=False),
        sa.Column("uncleaned", sa.BigInteger(), nullable=False),
    )
    # no program has version 0: the first one that looks builds the index
    first = {"id": 1, "version": 0, "built_through": "", "seq": 0, "annotated_us": 0, "uncleaned": 0}
    op.bulk_insert(state, [first])
    op.create_table(
        "saved_searches",
        sa.Column("saved_id", sa.String(26), primary_key=True),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("name", sa.String(120), nullable=False),
        sa.Column("query_json", sa.Text(), nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_saved_searches_owner", "saved_searches", ["owner"])
    if op.get_bind().dialect.name == "sqlite":
        op.execute(_FTS5)
    else:
        op.execute("ALTER TABLE search_messages ADD COLUMN words tsvector")
        op.execute("CREATE INDEX ix_search_messages_words ON search_messages USING gin (words)")
