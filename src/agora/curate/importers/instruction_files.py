"""Files of instructions with answers: Alpaca, and what distilabel writes."""

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

_ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant", "tool": "tool"}
_NOTE = "The format says nothing about rights: see where the instructions and the answers come from."
_ANSWERS = ("response", "generation", "output")


def _matches_alpaca(data: JsonMap) -> str | None:
    if isinstance(data.get("instruction"), str) and isinstance(data.get("output"), str):
        return "'instruction' and 'output' are texts"
    return None


def _convert_alpaca(data: JsonMap, origin: Origin) -> Conversation:
    instruction, given = text_of(data.get("instruction"), 0), data.get("input") or ""
    turns: list[Turn] = [Turn("system", data["system"])] if isinstance(data.get("system"), str) else []
    for number, past in enumerate(data.get("history") or [], 1):
        if not isinstance(past, list | tuple) or len(past) != 2:
            raise RowError("history is not rounds", f"round {number} is not a question and its answer")
        turns += [Turn("user", text_of(past[0], 0)), Turn("assistant", text_of(past[1], 1))]
    # the parts are kept, so that they can be told apart again
    parts = {"instruction": instruction, "input": given} if given else {}
    turns.append(Turn("user", f"{instruction}\n{given}" if given else instruction, parts))
    turns.append(Turn("assistant", text_of(data.get("output"), len(turns))))
    rest = without(data, "instruction", "input", "output", "system", "history")
    return chain(turns, _provenance(data, ALPACA.name, origin), meta={"row": rest})


def _matches_distilabel(data: JsonMap) -> str | None:
    turns = data.get("conversation")
    if "model_name" not in data and "distilabel_metadata" not in data:
        return None
    if isinstance(turns, list) and turns and isinstance(turns[0], dict) and "role" in turns[0]:
        return "'conversation' with 'model_name'"
    if isinstance(data.get("instruction"), str) and any(isinstance(data.get(k), str) for k in _ANSWERS):
        return "'instruction' and its answer with 'model_name'"
    return None


def _convert_distilabel(data: JsonMap, origin: Origin) -> Conversation:
    if isinstance(data.get("conversation"), list):
        items = list_of(data, "conversation")
        turns = [Turn(pick_role(i.get("role"), _ROLES), text_of(i.get("content"), n)) for n, i in enumerate(items)]
        keys = ["conversation"]
    else:
        answer = next((k for k in _ANSWERS if data.get(k) is not None), None)
        turns = [Turn("system", data["system_prompt"])] if isinstance(data.get("system_prompt"), str) else []
        turns.append(Turn("user", text_of(data.get("instruction"), 0)))
        turns += [Turn("assistant", text_of(data[answer], 1))] if answer else []
        keys = ["instruction", *([answer] if answer else []), *(["system_prompt"] if turns[0].role == "system" else [])]
    meta = {"keys": keys, "row": without(data, *keys)}
    if isinstance(data.get("model_name"), str):
        meta["model"] = data["model_name"]
    return chain(turns, _provenance(data, DISTILABEL.name, origin), meta=meta)


def _provenance(data: JsonMap, name: str, origin: Origin) -> Provenance:
    return Provenance(
        source=name,
        source_id=next((i for k in ("id", "uuid") if (i := text_or_none(data.get(k)))), ""),
        licence=text_or_none(data.get("license")) or text_or_none(data.get("licence")) or "unknown",
        language=text_or_none(data.get("language")),
        path=origin.path,
        line=origin.line,
    )


ALPACA = Format(
    name="alpaca",
    title="Alpaca",
    shape='{"instruction", "input", "output"}',
    licence="unknown",
    note=_NOTE,
    consent="unknown",
    matches=_matches_alpaca,
    convert=_convert_alpaca,
)
DISTILABEL = Format(
    name="distilabel",
    title="distilabel",
    shape='{"conversation": [{"role", "content"}, ...], "model_name"} or {"instruction", "response", "model_name"}',
    licence="unknown",
    note=_NOTE,
    consent="unknown",
    matches=_matches_distilabel,
    convert=_convert_distilabel,
)
