"""ShareGPT: ``{"id", "conversations": [{"from", "value"}, ...]}``, usually one JSON array, with many role spellings."""

from __future__ import annotations

from agora.core.records import Conversation, JsonMap, Provenance, Role
from agora.curate.importers.base import (
    Format,
    Origin,
    RowError,
    Turn,
    chain,
    list_of,
    pick_role,
    text_of,
    text_or_none,
    without,
)

_SPELLINGS: dict[Role, tuple[str, ...]] = {
    "system": ("system", "system_prompt", "developer"),
    "user": ("human", "user", "prompter", "customer", "question", "instruction"),
    "assistant": (
        *("gpt", "assistant", "chatgpt", "bot", "ai", "model", "bing", "bard", "claude", "gemini", "llm", "answer"),
        *("output", "response", "function_call", "function-call", "tool_call"),
    ),
    "tool": (
        *("tool", "function", "observation", "function_response", "function-response", "tool_response", "tool_result"),
    ),
}
ROLES: dict[str, Role] = {name: role for role, names in _SPELLINGS.items() for name in names}


def _matches(data: JsonMap) -> str | None:
    turns = data.get("conversations")
    if isinstance(turns, list) and (not turns or (isinstance(turns[0], dict) and ({"from", "role"} & turns[0].keys()))):
        return "'conversations' holds objects with 'from' and 'value'"
    return None


def _turn(item: JsonMap, index: int) -> Turn:
    name_key = "from" if "from" in item else "role"
    text_key = next((k for k in ("value", "content", "text") if k in item), "value")
    raw = item.get(name_key)
    role = pick_role(raw, ROLES)
    meta = without(item, name_key, text_key)
    if raw != role:
        meta["original_role"] = raw
    return Turn(role, text_of(item.get(text_key), index), meta)


def _drop_leading_answers(turns: list[Turn]) -> tuple[list[Turn], list[str]]:
    """Without the answers before the first question: they answer a turn that is not in the file."""
    first = next((i for i, t in enumerate(turns) if t.role == "user"), None)
    if first is None:
        raise RowError("no user turn", f"roles are {', '.join(dict.fromkeys(t.role for t in turns))}")
    head = [t for t in turns[:first] if t.role == "system"]
    dropped = first - len(head)
    notes = [f"dropped {dropped} leading {'answer' if dropped == 1 else 'answers'}"] if dropped else []
    return head + turns[first:], notes


def _convert(data: JsonMap, origin: Origin) -> Conversation:
    turns, notes = _drop_leading_answers([_turn(item, i) for i, item in enumerate(list_of(data, "conversations"))])
    system = data.get("system")
    if isinstance(system, str) and system and turns[0].role != "system":
        # some exports keep the system prompt beside the turns
        turns.insert(0, Turn("system", system, {"original_role": "system column"}))
    provenance = Provenance(
        source=SHAREGPT.name,
        source_id=text_or_none(data.get("id")) or "",
        licence=SHAREGPT.licence,
        language=text_or_none(data.get("lang")) or text_or_none(data.get("language")),
        path=origin.path,
        line=origin.line,
    )
    return chain(turns, provenance, meta=without(data, "conversations"), notes=notes)


SHAREGPT = Format(
    name="sharegpt",
    title="ShareGPT",
    shape='{"id", "conversations": [{"from", "value"}, ...]}',
    licence="unknown",
    note="ShareGPT dumps carry no licence, and the model's terms may bind what you do with its answers.",
    consent="unknown",
    matches=_matches,
    convert=_convert,
)
