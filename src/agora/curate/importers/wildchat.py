"""WildChat (arXiv:2405.01470) in its three published forms, and LMSYS-Chat-1M, which has the same shape.

Nothing is lost: ``Message.meta`` holds an utterance's fields other than role and content, ``Conversation.meta["row"]``
the row's fields other than the utterances, so :mod:`agora.curate.importers.export` writes the same rows again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256

from agora.core.quick_records import quick
from agora.core.records import Conversation, JsonMap, Message, Provenance, Role
from agora.curate.importers.base import (
    Format,
    Origin,
    Turn,
    chain,
    iso_time,
    list_of,
    pick_role,
    text_of,
    text_or_none,
    without,
)

ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}
_new_turn, _new_provenance = quick(Turn), quick(Provenance)
_ONLY_IN_4_8M = frozenset({"usage", "openai_id", "token_counter", "system_fingerprint", "created"})
_ODC_BY = "Every visitor was asked for consent to publish; ODC-BY 1.0 asks you to name WildChat as the source."
_GATED = (
    "LMSYS-Chat-1M is gated: whoever holds a copy agreed to its licence, which forbids passing the conversations on. "
    "Keep this note with every row."
)


def conversation_hash(messages: Iterable[Message]) -> str:
    """The published ``conversation_hash``: 32 hex digits of SHA-256 over the JSON of content and role. Not unique."""
    pairs = [{"content": m.content.encode("utf-8", "replace").decode(), "role": m.role} for m in messages]
    return sha256(json.dumps(pairs).encode()).hexdigest()[:32]


def _utterances(data: JsonMap) -> list[JsonMap] | None:
    turns = data.get("conversation")
    if isinstance(turns, list) and all(isinstance(t, dict) for t in turns):
        return turns
    return None


def _matches_1m(data: JsonMap) -> str | None:
    turns = _utterances(data)
    if turns is None or "conversation_hash" not in data or (turns and _ONLY_IN_4_8M & turns[0].keys()):
        return None
    return "'conversation_hash' and 'conversation', no token usage in the utterances"


def _matches_4_8m(data: JsonMap) -> str | None:
    turns = _utterances(data)
    if not turns or "conversation_hash" not in data or not _ONLY_IN_4_8M & turns[0].keys():
        return None
    return "'conversation_hash' and 'conversation' with token usage in the utterances"


def _matches_2023(data: JsonMap) -> str | None:
    if _utterances(data) is None or "conversation_id" not in data:
        return None
    if {"timestamp", "toxic", "detoxify_moderation"} & data.keys():
        return "'conversation_id' and 'conversation' with 'timestamp' or 'toxic'"
    return None


def _matches_lmsys(data: JsonMap) -> str | None:
    if _utterances(data) is None or "conversation_id" not in data or _matches_2023(data):
        return None
    return "'conversation_id' and 'conversation' without 'timestamp'"


def _convert(data: JsonMap, origin: Origin, layout: Format) -> Conversation:
    turns = [
        _new_turn(pick_role(t.get("role"), ROLES), text_of(t.get("content"), i), without(t, "role", "content"))
        for i, t in enumerate(list_of(data, "conversation"))
    ]
    # the hash repeats with the text; the log's own row number does not
    keys = [turns[0].meta.get("turn_identifier"), data.get("conversation_id"), data.get("conversation_hash")]
    provenance = _new_provenance(
        source=layout.name,
        source_id=next((k for key in keys if (k := text_or_none(key))), ""),
        licence=layout.licence,
        consent=layout.consent,
        language=text_or_none(data.get("language")),
        created=iso_time(data.get("timestamp")),
        path=origin.path,
        line=origin.line,
    )
    meta = {"model": text_or_none(data.get("model")), "row": without(data, "conversation")}
    return chain(turns, provenance, meta=meta, clean=origin.clean)


def _convert_1m(data: JsonMap, origin: Origin) -> Conversation:
    return _convert(data, origin, WILDCHAT_1M)


def _convert_4_8m(data: JsonMap, origin: Origin) -> Conversation:
    return _convert(data, origin, WILDCHAT_4_8M)


def _convert_2023(data: JsonMap, origin: Origin) -> Conversation:
    return _convert(data, origin, WILDCHAT_2023)


def _convert_lmsys(data: JsonMap, origin: Origin) -> Conversation:
    return _convert(data, origin, LMSYS)


WILDCHAT_1M = Format(
    name="wildchat-1m",
    title="WildChat-1M",
    shape='{"conversation_hash", "model", "timestamp", "conversation": [...], "turn", ..., "header"}',
    licence="ODC-BY-1.0",
    note=_ODC_BY,
    consent="publication",
    matches=_matches_1m,
    convert=_convert_1m,
)
WILDCHAT_4_8M = Format(
    name="wildchat-4.8m",
    title="WildChat-4.8M",
    shape='{"conversation_hash", "model", "timestamp", "conversation": [{..., "usage"}], "turn", ..., "header"}',
    licence="ODC-BY-1.0",
    note=_ODC_BY,
    consent="publication",
    matches=_matches_4_8m,
    convert=_convert_4_8m,
)
WILDCHAT_2023 = Format(
    name="wildchat-2023",
    title="WildChat, first release (2023)",
    shape='{"conversation_id", "model", "timestamp", "conversation": [...], "turn", ..., "redacted"}',
    licence="ODC-BY-1.0",
    note=_ODC_BY + " It came out under AI2 ImpACT; the change of 2024-06-26 applies backwards.",
    consent="publication",
    matches=_matches_2023,
    convert=_convert_2023,
)
LMSYS = Format(
    name="lmsys-chat-1m",
    title="LMSYS-Chat-1M",
    shape='{"conversation_id", "model", "conversation": [...], "turn", "language", "openai_moderation", "redacted"}',
    licence="LMSYS-Chat-1M License Agreement (gated)",
    note=_GATED,
    consent="terms of use",
    matches=_matches_lmsys,
    convert=_convert_lmsys,
)
