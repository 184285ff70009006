"""The form that a judge's reply is asked to have, for servers that decode by it.

The parser stays as strict as without: a form keeps a reply readable, it does not make it right.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, get_args

from agora.core.errors import UsageError
from agora.core.records import Verdict
from agora.rooms.judge.types import Kind

ResponseFormat = Literal["auto", "json-object", "none"]
FORMATS: tuple[str, ...] = get_args(ResponseFormat)
_TEXT = {"type": "string"}
_ITEM = {"item": {"type": "integer"}, "evidence": _TEXT, "met": {"type": "string", "enum": ["yes", "partly", "no"]}}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


# the keys in the order of the prompts: reasons before the value
_SCHEMAS: dict[Kind, dict[str, Any]] = {
    "score": _object({"strengths": _TEXT, "weaknesses": _TEXT, "score": {"type": "number"}, "verdict_id": _TEXT}),
    "pair": _object(
        {
            **dict.fromkeys(
                ("analysis of A", "analysis of B", "reason of A=B", "reason of A>B", "reason of B>A"), _TEXT
            ),
            "choice": {"type": "string", "enum": ["A++", "A+", "A=B", "B+", "B++"]},
            "verdict_id": _TEXT,
        }
    ),
    "checklist": _object({"items": {"type": "array", "items": _object(_ITEM)}, "verdict_id": _TEXT}),
}


def check_format(name: str) -> ResponseFormat:
    """The format of a name.

    Raises:
        UsageError: there is none of it.
    """
    if name not in FORMATS:
        raise UsageError(f"--response-format is one of {', '.join(FORMATS)}, got {name!r}")
    return name  # type: ignore[return-value]


def schema_of(kind: Kind, form: ResponseFormat, uri: str) -> dict[str, Any] | None:
    """The JSON schema that goes with a request; None for a model of this process, which decodes freely.

    It is part of the request and so of its key in a cache.

    Args:
        form: ``auto`` asks for the keys of the prompt, ``json-object`` for any JSON object.
        uri: of the judge's engine.
    """
    from agora.engines._wire import ANY_OBJECT
    from agora.rooms.judge.asking.estimate import is_server

    if form == "none" or not is_server(uri):
        return None
    return _SCHEMAS[kind] if form == "auto" else ANY_OBJECT


def refused_note(judge: str, verdicts: Iterable[Verdict]) -> str | None:
    """What to say of a server that did not take the form it was asked for; None when it took it."""
    given = [v.meta["format"] for v in verdicts if "format" in v.meta]
    if not given:
        return None
    instead = "a JSON object without a schema" if "json_object" in given else "no form"
    return f"{judge}: the server refuses the response format; {len(given):,} replies were asked for with {instead}"
