"""The exact Arrow schemas of the published chat sets (facts from their dataset cards)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agora.core.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

_HATE = (
    *("harassment", "harassment/threatening", "harassment_threatening"),
    *("hate", "hate/threatening", "hate_threatening"),
)
_ILLICIT = ("illicit", "illicit/violent", "illicit_violent")
_SELF = (
    *("self-harm", "self-harm/instructions", "self-harm/intent"),
    *("self_harm", "self_harm_instructions", "self_harm_intent"),
)
_REST = ("sexual", "sexual/minors", "sexual_minors", "violence", "violence/graphic", "violence_graphic")
_CATEGORIES = {
    "wildchat-1m": _HATE + _SELF + _REST,
    "wildchat-4.8m": _HATE + _ILLICIT + _SELF + _REST,
    # the slash spelling alone
    "lmsys-chat-1m": tuple(c for c in _HATE + _SELF + _REST if "_" not in c),
}
_DETOXIFY = ("identity_attack", "insult", "obscene", "severe_toxicity", "sexual_explicit", "threat", "toxicity")
PUBLISHED = tuple(_CATEGORIES)


def published_schema(name: str) -> pa.Schema:
    """The Arrow schema of ``wildchat-1m``, ``wildchat-4.8m`` or ``lmsys-chat-1m``.

    Raises:
        UsageError: any other name.
    """
    import pyarrow as pa

    if name not in _CATEGORIES:
        raise UsageError(f"no published schema is called {name!r}", hint=f"choose one of {', '.join(PUBLISHED)}")
    moderation = ("openai_moderation", pa.list_(_moderation(name)))
    if name == "lmsys-chat-1m":
        talk = pa.list_(pa.struct([("content", pa.string()), ("role", pa.string())]))
        head = [("conversation_id", pa.string()), ("model", pa.string()), ("conversation", talk)]
        return pa.schema([*head, ("turn", pa.int64()), ("language", pa.string()), moderation, ("redacted", pa.bool_())])
    time = pa.timestamp("us", tz="UTC") if name == "wildchat-1m" else pa.timestamp("us")
    utterance = _utterance_1m(time) if name == "wildchat-1m" else _utterance_4_8m(time)
    detoxify = pa.struct([(c, pa.float64()) for c in _DETOXIFY])
    return pa.schema(
        [
            *(("conversation_hash", pa.string()), ("model", pa.string()), ("timestamp", time)),
            *(("conversation", pa.list_(utterance)), ("turn", pa.int64()), ("language", pa.string())),
            *(moderation, ("detoxify_moderation", pa.list_(detoxify)), ("toxic", pa.bool_()), ("redacted", pa.bool_())),
            *(("state", pa.string()), ("country", pa.string()), ("hashed_ip", pa.string()), ("header", _header())),
        ]
    )


def _header() -> pa.DataType:
    import pyarrow as pa

    return pa.struct([("accept-language", pa.string()), ("user-agent", pa.string())])


def _moderation(name: str) -> pa.DataType:
    import pyarrow as pa

    categories = _CATEGORIES[name]
    fields = [("categories", pa.struct([(c, pa.bool_()) for c in categories]))]
    if name == "wildchat-4.8m":
        fields.append(("category_applied_input_types", pa.struct([(c, pa.list_(pa.string())) for c in categories])))
    fields.append(("category_scores", pa.struct([(c, pa.float64()) for c in categories])))
    return pa.struct([*fields, ("flagged", pa.bool_())])


def _utterance_1m(time: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    text, flag = pa.string(), pa.bool_()
    return pa.struct(
        [
            *(("content", text), ("country", text), ("hashed_ip", text), ("header", _header()), ("language", text)),
            *(("redacted", flag), ("role", text), ("state", text), ("timestamp", time), ("toxic", flag)),
            ("turn_identifier", pa.int64()),
        ]
    )


def _utterance_4_8m(time: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    text, flag, whole, real = pa.string(), pa.bool_(), pa.int64(), pa.float64()
    spent = (
        *("reasoning_tokens", "text_tokens", "audio_tokens"),
        *("accepted_prediction_tokens", "rejected_prediction_tokens"),
    )
    usage = pa.struct(
        [
            ("completion_tokens", whole),
            ("completion_tokens_details", pa.struct([(n, whole) for n in spent])),
            *(("prompt_tokens", whole), ("total_tokens", whole)),
            ("prompt_tokens_details", pa.struct([("cached_tokens", whole), ("audio_tokens", whole)])),
        ]
    )
    return pa.struct(
        [
            *(("content", text), ("created", whole), ("header", _header()), ("hashed_ip", text), ("country", text)),
            *(("toxic", flag), ("redacted", flag), ("state", text), ("language", text), ("openai_id", text)),
            *(("role", text), ("temperature", real), ("timestamp", time), ("token_counter", whole), ("top_p", real)),
            *(("turn_identifier", whole), ("system_fingerprint", text), ("usage", usage)),
        ]
    )
