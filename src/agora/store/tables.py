"""The tables that every room with people in it shares. Rooms add their own to the same ``METADATA``.

Two planes. The event log holds no content: it is append-only and each row carries the hash of the one before. The
content plane (subjects here, conversations and the like in the rooms) can be deleted without a trace in the log but an
id and a time. Times are microseconds since 1970, UTC.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table, Text

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)

# SQLite counts rows only in a column of exactly this type.
_SERIAL = BigInteger().with_variant(Integer, "sqlite")

EVENTS = Table(
    "events",
    METADATA,
    Column("seq", _SERIAL, primary_key=True, autoincrement=False),
    Column("ts_us", BigInteger, nullable=False),
    Column("kind", String(48), nullable=False),
    Column("subject_id", String(26)),
    Column("conversation_id", String(26)),
    Column("message_id", String(26)),
    Column("payload", Text, nullable=False),  # canonical JSON: what is hashed is what is stored
    Column("prev_hash", LargeBinary(32), nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
)

CONSENT_TEXTS = Table(
    "consent_texts",
    METADATA,
    Column("version", String(32), primary_key=True),
    Column("locale", String(16), primary_key=True),
    Column("sha256", String(64), nullable=False),
    Column("text", Text, nullable=False),
    Column("valid_from_us", BigInteger, nullable=False),
)

SUBJECTS = Table(
    "subjects",
    METADATA,
    Column("subject_id", String(26), primary_key=True),
    Column("created_us", BigInteger, nullable=False),
    Column("consent_version", String(32)),
    Column("consent_sha256", String(64)),
    Column("consent_terms_us", BigInteger),
    Column("consent_publication_us", BigInteger),
    Column("consent_state", String(16), nullable=False),  # see agora.store.consent.ConsentState
    Column("locale", String(16), nullable=False),
    Column("receipt_mac", LargeBinary(32), unique=True),
    Column("key_epoch", Integer, nullable=False),
    Column("ip_pseudonym", String(64)),
    Column("header_json", Text),  # accept-language and user-agent alone
    Column("country_iso", String(2)),
    Column("subdivision", Text),
    Column("source", String(64), nullable=False),
)

LIMIT_HITS = Table(
    "limit_hits",
    METADATA,
    Column("bucket", String(96), primary_key=True),  # what is counted, for whom
    Column("window_us", BigInteger, primary_key=True),  # start of the window
    Column("count", BigInteger, nullable=False),
)

ACCOUNTS = Table(
    "accounts",
    METADATA,
    Column("account_id", String(26), primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("role", String(16), nullable=False),  # see agora.store.accounts.Role
    Column("password", String(192), nullable=False),  # scrypt: its costs, a salt and the hash
    Column("created_us", BigInteger, nullable=False),
    Column("disabled_us", BigInteger),
)

ACCOUNT_SESSIONS = Table(
    "account_sessions",
    METADATA,
    Column("session_mac", String(64), primary_key=True),  # of the cookie's token, which is kept nowhere here
    Column("account_id", String(26), ForeignKey("accounts.account_id"), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("expires_us", BigInteger, nullable=False),
)

ADDRESSES = Table(
    "addresses",
    METADATA,
    Column("ip_pseudonym", String(64), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),  # encrypted with a key outside the database
    Column("seen_us", BigInteger, nullable=False),
)

BLOCKS = Table(
    "blocks",
    METADATA,
    Column("ip_pseudonym", String(64), primary_key=True),
    Column("until_us", BigInteger, nullable=False),
    Column("account_id", String(26), nullable=False),
)

SPENT = Table(
    "spent",  # sums of a day, see agora.store.spending
    METADATA,
    Column("day", Integer, primary_key=True),  # days since 1970, UTC
    Column("kind", String(32), primary_key=True),
    Column("amount", BigInteger, nullable=False),
)

Index("ix_addresses_seen", ADDRESSES.c.seen_us)
Index("ix_account_sessions_account", ACCOUNT_SESSIONS.c.account_id)
Index("ix_limit_hits_window", LIMIT_HITS.c.window_us)
Index("ix_subjects_ip", SUBJECTS.c.ip_pseudonym)

__all__ = [
    "ACCOUNTS",
    "ACCOUNT_SESSIONS",
    "ADDRESSES",
    "BLOCKS",
    "CONSENT_TEXTS",
    "EVENTS",
    "LIMIT_HITS",
    "METADATA",
    "SPENT",
    "SUBJECTS",
]
