"""Tables of bare prompts, such as a benchmark's: one user turn a row, any other column kept as it is."""

from __future__ import annotations

from agora.core.records import Conversation, JsonMap, Provenance
from agora.curate.importers.base import Format, Origin, RowError, Turn, chain, text_or_none, without

_COLUMNS = ("prompt", "instruction", "question", "problem", "text")
_ANSWERS = frozenset({"messages", "conversations", "conversation", "response", "output", "chosen", "rejected"})
_IDS = ("id", "uuid", "question_id", "task_id")


def _column(data: JsonMap) -> str | None:
    return next((name for name in _COLUMNS if isinstance(data.get(name), str)), None)


def _matches(data: JsonMap) -> str | None:
    name = _column(data)
    return None if name is None or _ANSWERS & data.keys() else f"{name!r} is a text and there is no answer"


def _convert(data: JsonMap, origin: Origin) -> Conversation:
    name = _column(data)
    if name is None:
        raise RowError("no prompt", f"none of {', '.join(_COLUMNS)} is a text")
    provenance = Provenance(
        source=PROMPTS.name,
        source_id=next((found for key in _IDS if (found := text_or_none(data.get(key)))), ""),
        licence=text_or_none(data.get("license")) or text_or_none(data.get("licence")) or PROMPTS.licence,
        language=text_or_none(data.get("language")),
        path=origin.path,
        line=origin.line,
    )
    return chain([Turn("user", data[name])], provenance, meta=without(data, name))


PROMPTS = Format(
    name="prompts",
    title="bare prompts",
    shape='{"prompt"} (or instruction, question, problem, text) without an answer',
    licence="unknown",
    note="The format says nothing about rights: see where the prompts come from.",
    consent="unknown",
    matches=_matches,
    convert=_convert,
)
