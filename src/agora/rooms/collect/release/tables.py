"""What the store knows of releases: that they were made, which rows they hold, and which of those must go."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

from agora.store.tables import METADATA

RELEASES = Table(
    "releases",
    METADATA,
    Column("release_id", String(26), primary_key=True),
    Column("number", Integer, nullable=False, unique=True),  # 1, 2, ... in the order in which they were begun
    Column("name", String(128), nullable=False, unique=True),
    Column("state", String(16), nullable=False),  # building | failed | published | retracted
    Column("profile", String(16), nullable=False),
    Column("input_seq", BigInteger, nullable=False),  # the last event that its input list knows
    Column("as_of_us", BigInteger, nullable=False),  # the moment from which quarantine is counted back
    Column("asked_sha256", String(64), nullable=False),  # of everything that decides what the files hold
    Column("created_us", BigInteger, nullable=False),
    Column("published_us", BigInteger),
    Column("conversations", BigInteger),
    Column("report_json", Text),  # counts and ids of the gates, never text
)

RELEASE_ROWS = Table(
    "release_rows",
    METADATA,
    Column("release_id", String(26), ForeignKey("releases.release_id"), primary_key=True),
    Column("conversation_id", String(26), primary_key=True),
    Column("row_sha256", LargeBinary(32), nullable=False),
    Column("release_pseudonym", String(64)),
)

RELEASED_TEXTS = Table(
    "released_texts",  # what a release holds of each conversation, for those who read it on the site
    METADATA,
    Column("release_id", String(26), ForeignKey("releases.release_id"), primary_key=True),
    Column("row_sha256", LargeBinary(32), primary_key=True),
    Column("conversation_id", String(26), nullable=False),
    Column("language", String(64)),  # as released: the ladder of k-anonymity may have taken it
    Column("model", String(128)),
    Column("turns_zstd", LargeBinary, nullable=False),  # JSON: a role and a text for each message, redacted
)

REMOVALS = Table(
    "removals",
    METADATA,
    Column("release_id", String(26), ForeignKey("releases.release_id"), primary_key=True),
    Column("row_sha256", LargeBinary(32), primary_key=True),
    Column("reason", String(32), nullable=False),  # erased | withdrawn
    Column("created_us", BigInteger, nullable=False),
)

Index("ix_release_rows_conversation", RELEASE_ROWS.c.conversation_id)
Index("ix_released_texts_conversation", RELEASED_TEXTS.c.conversation_id)
Index("ix_release_rows_pseudonym", RELEASE_ROWS.c.release_pseudonym)
