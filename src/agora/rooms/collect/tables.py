"""The tables of conversations. ``parent_id`` makes a tree of them: a new answer and an edited question are siblings."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

from agora.store.tables import METADATA

CONVERSATIONS = Table(
    "conversations",
    METADATA,
    Column("conversation_id", String(26), primary_key=True),
    Column("subject_id", String(26), ForeignKey("subjects.subject_id")),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),  # open | closed | deleted
    Column("source", String(64), nullable=False),
    Column("source_license", String(64)),
    Column("source_key", String(128)),
    Column("reserved_for", String(64)),
    Column("automation_score", Float),
    Column("dup_cluster", String(26)),
    Column("import_id", String(26)),
    Column("imported_zstd", LargeBinary),  # all that its source said of it; see agora.rooms.collect.ready
)

IMPORTS = Table(
    "imports",  # one row for each file that is not read to its end, so that the next try goes on there
    METADATA,
    Column("import_id", String(26), primary_key=True),
    Column("source_sha256", String(64), nullable=False),
    Column("how", String(64), nullable=False),  # the format
    Column("next_line", BigInteger, nullable=False),  # all lines before it are in the store or in the reject file
    Column("counts_json", Text, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
)

MESSAGES = Table(
    "messages",
    METADATA,
    Column("message_id", String(26), primary_key=True),
    Column("conversation_id", String(26), ForeignKey("conversations.conversation_id"), nullable=False),
    Column("parent_id", String(26)),
    Column("role", String(16), nullable=False),
    Column("content_zstd", LargeBinary, nullable=False),
    Column("content_sha256", LargeBinary(32), nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("completed_us", BigInteger),
    Column("status", String(16), nullable=False),  # see agora.rooms.collect.types.Status
    Column("model", String(128)),
    Column("params_json", Text),
    Column("upstream_id", String(128)),
    Column("usage_json", Text),
    Column("finish_reason", String(32)),
    Column("error_code", String(48)),
    Column("edited_of", String(26)),
    Column("client_msg_id", String(64)),
    Column("flags", Text),
    Column("writer", String(26)),  # the process that writes it, see agora.rooms.collect.leases
)

PROCESSES = Table(
    "processes",
    METADATA,
    Column("process_id", String(26), primary_key=True),
    Column("host", String(16), nullable=False),
    Column("pid", BigInteger, nullable=False),
    Column("started_us", BigInteger, nullable=False),
    Column("heartbeat_us", BigInteger, nullable=False),
)

ANNOTATIONS = Table(
    "annotations",
    METADATA,
    Column("message_id", String(26), ForeignKey("messages.message_id"), primary_key=True),
    Column("kind", String(16), primary_key=True),  # see agora.rooms.collect.enrich.annotations
    Column("pipeline_version", String(32), primary_key=True),  # a new version adds a row, it never overwrites one
    Column("result_json", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
)

FEEDBACK = Table(
    "feedback",
    METADATA,
    Column("message_id", String(26), ForeignKey("messages.message_id"), primary_key=True),
    Column("rating", Integer, nullable=False),  # -1, 0 or 1
    Column("comment", Text),
    Column("created_us", BigInteger, nullable=False),
)

Index("ix_conversations_subject", CONVERSATIONS.c.subject_id, CONVERSATIONS.c.updated_us)
Index("ix_conversations_source", CONVERSATIONS.c.source, CONVERSATIONS.c.source_key, unique=True)
Index("ix_imports_source", IMPORTS.c.source_sha256, IMPORTS.c.how, unique=True)
Index("ix_messages_conversation", MESSAGES.c.conversation_id, MESSAGES.c.message_id)
_NAMED = MESSAGES.c.client_msg_id.is_not(None)  # not replies and imports: an entry of each costs time and room
Index(
    "ix_messages_client",
    MESSAGES.c.conversation_id,
    MESSAGES.c.client_msg_id,
    unique=True,
    sqlite_where=_NAMED,
    postgresql_where=_NAMED,
)
Index("ix_messages_status", MESSAGES.c.status)
