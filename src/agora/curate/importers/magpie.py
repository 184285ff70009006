"""Magpie's files (arXiv:2406.08464): the generation files of its scripts and three generations of released data sets.

Labels become tags, scores too. Nothing is lost: ``meta["row"]`` holds the row's other fields, so that
:mod:`agora.curate.importers.layouts` writes the same row again.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from agora.core.records import Conversation, JsonMap, Provenance
from agora.curate.importers.base import (
    Format,
    Origin,
    RowError,
    Turn,
    chain,
    clean_json,
    iso_time,
    list_of,
    pick_role,
    text_or_none,
)
from agora.curate.importers.sharegpt import ROLES
from agora.curate.scales import SCALES

_NOTE = "Whoever trains on it is bound by the license of the model that wrote it; see the data set's card."
_TURN = re.compile(r"(instruction|response)_(\d+)$")
# fields that the turns hold; a row's other fields are kept as they are
TEXTS = ("conversations", "input", "output", "instruction", "response")

# tag -> (the row's field of its value, {key of the tag: field})
LABELS: dict[str, tuple[str, dict[str, str]]] = {
    "quality": ("input_quality", {"explanation": "quality_explanation", "generator": "quality_generator"}),
    "difficulty": (
        "difficulty",
        {"intent": "intent", "knowledge": "knowledge", "generator": "difficulty_generator"},
    ),
    "category": ("task_category", {"other_tags": "other_task_category", "generator": "task_category_generator"}),
    "language": ("language", {}),
    "reward": ("instruct_reward", {"model": "reward_model"}),
    "base_reward": ("base_reward", {}),
    "reward_diff": ("reward_difference", {}),
}
SIMILAR = ("min_similar_uuid", "min_similar_conversation_id")
FIELDS = frozenset(
    {"llama_guard_2", "min_neighbor_distance", "repeat_count", *SIMILAR}
    | {field for value, more in LABELS.values() for field in (value, *more.values())}
)
_MARKS = FIELDS | {"gen_input_configs", "gen_input_config", "gen_response_configs", "pre_query_template"}


def _is_magpie(data: JsonMap) -> bool:
    return len(_MARKS & data.keys()) >= 2


def _matches_v1(data: JsonMap) -> str | None:
    turns = data.get("conversations")
    if _is_magpie(data) and isinstance(turns, list) and "input" in data and "output" in data:
        return "'conversations', 'input' and 'output' with Magpie's labels"
    return None


def _matches_generation(data: JsonMap) -> str | None:
    if "gen_input_configs" in data and "created" in data and "pre_query_template" in data and "instruction" in data:
        return "'pre_query_template', 'instruction', 'created' and 'gen_input_configs'"
    return None


def _template_of(data: JsonMap) -> bool:
    config = data.get("gen_input_configs")
    return isinstance(config, dict) and "pre_query_template" in config


def _matches_v3(data: JsonMap) -> str | None:
    if not ({"instruction", "response"} <= data.keys() and _is_magpie(data)):
        return None
    if _template_of(data):
        return "'instruction' and 'response', the prefix in 'gen_input_configs'"
    return "'instruction_2' beside 'instruction'" if "instruction_2" in data else None


def _matches_v2(data: JsonMap) -> str | None:
    if {"instruction", "response"} <= data.keys() and _is_magpie(data):
        return "'instruction' and 'response' with Magpie's labels"
    return None


def _turns(data: JsonMap) -> list[Turn]:
    listed = data.get("conversations")
    if isinstance(listed, list) and listed:
        return [
            _turn(pick_role(t.get("from"), ROLES), t.get("value"), "conversations")
            for t in list_of(data, "conversations")
        ]
    first, last = ("input", "output") if "input" in data else ("instruction", "response")
    turns = [_turn("user", data.get(first), first)]
    if data.get(last) is not None:
        turns.append(_turn("assistant", data[last], last))
    for number in sorted(
        int(found[2]) for key in data if (found := _TURN.fullmatch(key)) and found[1] == "instruction"
    ):
        turns.append(_turn("user", data[f"instruction_{number}"], f"instruction_{number}"))
        if data.get(f"response_{number}") is not None:
            turns.append(_turn("assistant", data[f"response_{number}"], f"response_{number}"))
    return turns


def _turn(role: Any, value: Any, key: str) -> Turn:
    if value is None:
        raise RowError("null content", repr(key))
    if not isinstance(value, str):
        raise RowError("content is not text", f"{key!r} is {type(value).__name__}")
    return Turn(role, value)


def labels_of(data: JsonMap, own_id: str) -> JsonMap:
    """The tags that a row's fields amount to."""
    tags: JsonMap = {}
    for name, (field, more) in LABELS.items():
        if field not in data:
            continue
        value = data[field]
        scale = SCALES.get(name)
        read = scale.match(value) if scale is not None else value
        tag: JsonMap = {"value": read, "status": "failed" if read is None else "ok"}
        tags[name] = tag | {key: data[f] for key, f in more.items() if data.get(f) is not None}
        if read != value:
            tags[name]["raw"] = value
    if isinstance(data.get("llama_guard_2"), str):
        verdict = data["llama_guard_2"].split()
        read = SCALES["safety"].match(verdict[0]) if verdict else None
        tag = {"value": read, "status": "failed" if read is None else "ok", "generator": "llama_guard_2"}
        tags["safety"] = tag | {"raw": data["llama_guard_2"]}
    if "repeat_count" in data:
        tags["dedup"] = _duplicates(data, own_id)
    return tags


def _duplicates(data: JsonMap, own_id: str) -> JsonMap:
    """The reference keeps a row without repeats, and one that is the smallest of its neighbors."""
    similar = next((data[key] for key in SIMILAR if data.get(key) is not None), None)
    own = text_or_none(data.get("uuid")) or text_or_none(data.get("conversation_id")) or text_or_none(data.get("id"))
    keeps = not data.get("repeat_count") or str(similar) == own
    mark: JsonMap = {
        "keeper_id": own_id if keeps else str(similar),
        "nn_distance": data.get("min_neighbor_distance"),
        "count": data.get("repeat_count"),
        "method": "magpie",
    }
    return mark


def _convert_as(name: str) -> Any:
    def convert(data: JsonMap, origin: Origin) -> Conversation:
        turns = _turns(data)
        rest = {k: v for k, v in data.items() if k not in TEXTS and not _TURN.fullmatch(k)}
        layout = {"keys": [k for k in data if k in TEXTS or _TURN.fullmatch(k)], "row": clean_json(rest)}
        provenance = Provenance(
            source=name,
            source_id=next((i for k in ("uuid", "id") if (i := text_or_none(data.get(k)))), ""),
            language=text_or_none(data.get("language")),
            created=iso_time(data.get("created")),
            path=origin.path,
            line=origin.line,
        )
        meta = {**layout, **({"model": data["model"]} if isinstance(data.get("model"), str) else {})}
        conversation = chain(turns, provenance, meta=meta)
        return replace(conversation, tags=clean_json(labels_of(data, conversation.id)))

    return convert


def _format(name: str, title: str, shape: str, matches: Any) -> Format:
    return Format(name, title, shape, "unknown", _NOTE, "not needed: no person wrote it", matches, _convert_as(name))


MAGPIE_V1 = _format(
    "magpie-v1",
    "Magpie, first generation (Llama-3 Air and Pro)",
    '{"uuid", "input", "output", "conversations", "difficulty", "input_quality", ...}',
    _matches_v1,
)
MAGPIE_GENERATION = _format(
    "magpie-generation",
    "Magpie's generation file (*_ins.json, *_res.json and the labeled ones)",
    '{"id", "pre_query_template", "instruction", "response", "created", "gen_input_configs", ...}',
    _matches_generation,
)
MAGPIE_V3 = _format(
    "magpie-v3",
    "Magpie, third generation (Llama-3.1 and later, several turns)",
    '{"uuid", "instruction", "response", "gen_input_configs": {"pre_query_template", ...}, ...}',
    _matches_v3,
)
MAGPIE_V2 = _format(
    "magpie-v2",
    "Magpie, second generation (Qwen2, Phi-3)",
    '{"uuid", "instruction", "response", "gen_input_configs", "difficulty", ...}',
    _matches_v2,
)
