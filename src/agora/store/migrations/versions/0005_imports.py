"""What imported conversations carried, and how far an import came."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the record of the source to conversations, and the table of unfinished imports."""
    op.add_column("conversations", sa.Column("import_id", sa.String(26)))
    op.add_column("conversations", sa.Column("imported_zstd", sa.LargeBinary()))
    op.create_table(
        "imports",
        sa.Column("import_id", sa.String(26), primary_key=True),
        sa.Column("source_sha256", sa.String(64), nullable=False),
        sa.Column("how", sa.String(64), nullable=False),
        sa.Column("next_line", sa.BigInteger(), nullable=False),
        sa.Column("counts_json", sa.Text(), nullable=False),
        sa.Column("updated_us", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_imports_source", "imports", ["source_sha256", "how"], unique=True)
