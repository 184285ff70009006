"""Counts of all conversations by facet, kept beside the search index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_TEXTS = ("language", "country", "model", "source", "category", "month")
_YES_NO = ("toxic", "redacted")


def upgrade() -> None:
    """Make the table and count what is indexed already."""
    op.create_table(
        "search_counts",
        sa.Column("facet", sa.String(16), primary_key=True),
        sa.Column("value", sa.String(128), primary_key=True),
        sa.Column("conversations", sa.BigInteger(), nullable=False),
    )
    values = {name: f"coalesce({name}, '')" for name in _TEXTS}
    values |= {name: f"CASE WHEN {name} IS NULL THEN '' WHEN {name} THEN 'yes' ELSE 'no' END" for name in _YES_NO}
    values["topic"] = "coalesce(CAST(topic AS VARCHAR(16)), '')"
    for name, value in values.items():
        op.execute(
            "INSERT INTO search_counts (facet, value, conversations)"
            f" SELECT '{name}', {value}, count(*) FROM search_conversations GROUP BY {value}"
        )
    op.execute(
        "INSERT INTO search_counts (facet, value, conversations)"
        " SELECT 'conversations', '', count(*) FROM search_conversations HAVING count(*) > 0"
    )
