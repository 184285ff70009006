"""What an expression can look at: named fields of a row, free paths into its maps, and functions of texts.

A getter gives None where a row lacks the field; a failed label is lacking too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from agora.core.records import JsonMap
from agora.curate.expressions.nodes import Field, Node
from agora.curate.rows import answer_of, instruction_of, tag_of, user_turns
from agora.curate.scales import SCALES, Scale
from agora.curate.text import repeated_share

Get = Callable[[JsonMap], Any]


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """A field: ``kind`` is ``label`` (of a scale), ``text``, ``number``, ``truth`` or ``any``."""

    kind: str
    get: Get
    means: str
    made_by: str = ""  # the command that fills it


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the kinds it takes; it gives a number, or a truth (``kind``)."""

    takes: tuple[str, ...]
    kind: str
    fn: Callable[..., Any]
    means: str


def tag_value(name: str, *others: str) -> Get:
    """The value of the first of these tags that the row has and that did not fail."""

    def get(row: JsonMap) -> Any:
        for one in (name, *others):
            tag = tag_of(row, one)
            if tag is not None and tag.get("status", "ok") == "ok":
                return tag.get("value")
        return None

    return get


def score_value(name: str) -> Get:
    """The value of a score: from a sample's scores, or from the tag of that name."""
    from_tag = tag_value(name)

    def get(row: JsonMap) -> Any:
        score = (row.get("scores") or {}).get(name)
        if score is None:
            return from_tag(row)
        return score.get("value") if isinstance(score, dict) else score

    return get


def _duplicate(read: Callable[[JsonMap, JsonMap], Any]) -> Get:
    def get(row: JsonMap) -> Any:
        mark = tag_of(row, "dedup")
        return None if mark is None else read(mark, row)

    return get


def _keeps(mark: JsonMap, row: JsonMap) -> bool | None:
    keeper = mark.get("keeper_id")
    return None if keeper is None else keeper == row["id"]


def _label(name: str, *others: str) -> Get:
    value, scale = tag_value(name, *others), SCALES[name]
    return lambda row: scale.match(value(row))


def _language(row: JsonMap) -> str | None:
    value = tag_value("language")(row)
    value = value or (row.get("provenance") or {}).get("language")
    return str(value).upper() if value else None


def _finish_reason(row: JsonMap) -> str | None:
    return (row.get("answer_gen") or {}).get("finish_reason") or row.get("finish_reason")


def _model(row: JsonMap) -> str | None:
    return (row.get("gen") or {}).get("model") or (row.get("meta") or {}).get("model")


def _provenance(name: str) -> Get:
    return lambda row: (row.get("provenance") or {}).get(name)


def _system(row: JsonMap) -> str | None:
    return next((m["content"] for m in row["messages"] if m["role"] == "system"), None)


_LABEL, _DEDUP, _NEAR = "agora curate label --labels", "agora curate dedup", "agora curate neighbors"
FIELDS: dict[str, FieldSpec] = {
    "quality": FieldSpec(
        "label", _label("quality", "input_quality"), "quality of the instruction", f"{_LABEL} quality"
    ),
    "difficulty": FieldSpec("label", _label("difficulty"), "difficulty of the instruction", f"{_LABEL} difficulty"),
    "category": FieldSpec("label", _label("category", "task_category"), "kind of task", f"{_LABEL} category"),
    "safety": FieldSpec("label", _label("safety"), "safe or unsafe", f"{_LABEL} safety"),
    "language": FieldSpec("text", _language, "ISO 639-1 code, upper case", f"{_LABEL} language"),
    "intent": FieldSpec("text", lambda row: (tag_of(row, "difficulty") or {}).get("intent"), "what the user wants"),
    "knowledge": FieldSpec("text", lambda row: (tag_of(row, "difficulty") or {}).get("knowledge"), "what it takes"),
    "reward": FieldSpec("number", score_value("reward"), "score of a reward model or judge", f"{_LABEL} reward"),
    "reward_diff": FieldSpec("number", score_value("reward_diff"), "reward minus that of a base model's answer"),
    "base_reward": FieldSpec("number", score_value("base_reward"), "reward of a base model's answer"),
    "dup.keeper": FieldSpec("truth", _duplicate(_keeps), "the row that stands for its duplicates", _DEDUP),
    "dup.distance": FieldSpec("number", _duplicate(lambda m, _: m.get("nn_distance")), "to the nearest row", _NEAR),
    "dup.count": FieldSpec("number", _duplicate(lambda m, _: m.get("count")), "rows it is a duplicate of", _DEDUP),
    "dup.cluster": FieldSpec("text", _duplicate(lambda m, _: m.get("cluster_id")), "its group of duplicates", _DEDUP),
    "instruction": FieldSpec("text", instruction_of, "the first user turn"),
    "instructions": FieldSpec("text", lambda row: "\n".join(user_turns(row)), "all user turns"),
    "answer": FieldSpec("text", answer_of, "the last assistant turn"),
    "system": FieldSpec("text", _system, "the system prompt"),
    "turns": FieldSpec("number", lambda row: len(user_turns(row)), "user turns"),
    "messages": FieldSpec("number", lambda row: len(row["messages"]), "messages"),
    "id": FieldSpec("text", lambda row: row["id"], "the row's id"),
    "source": FieldSpec("text", _provenance("source"), "where the row comes from"),
    "licence": FieldSpec("text", _provenance("licence"), "its license"),
    "model": FieldSpec("text", _model, "the model that wrote it"),
    "slice": FieldSpec("text", lambda row: row.get("slice"), "the slice of the decoding schedule"),
    "finish_reason": FieldSpec("text", _finish_reason, "why the answer, else the instruction, ended"),
}
_ALIASES = {
    "input_quality": "quality",
    "task_category": "category",
    "instruct_reward": "reward",
    "reward_difference": "reward_diff",
    "license": "licence",
    "min_neighbor_distance": "dup.distance",
    "response": "answer",
}
FREE = ("tags.NAME", "scores.NAME", "meta.NAME", "gen.NAME", "answer_gen.NAME", "provenance.NAME")
_ROOTS = frozenset(path.split(".")[0] for path in FREE)


def field_named(name: str) -> str | None:
    """The field that a word stands for; None for any other word."""
    if name in FIELDS:
        return name
    if name in _ALIASES:
        return _ALIASES[name]
    return name if "." in name and name.split(".")[0] in _ROOTS else None


def spec_of(name: str) -> FieldSpec:
    """The field of a name that :func:`field_named` gave."""
    found = FIELDS.get(name)
    return found if found is not None else FieldSpec("any", _path(name), "a free field")


def _path(name: str) -> Get:
    root, *parts = name.split(".")

    def get(row: JsonMap) -> Any:
        value: Any = row.get(root)
        for part in parts:
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, dict):  # a tag is meant by its value
            value = value.get("value") if value.get("status", "ok") == "ok" else None
        return value if isinstance(value, str | int | float | bool) else None

    return get


def scale_of(node: Node | None) -> Scale | None:
    """The scale whose values a node has."""
    return SCALES.get(node.name) if isinstance(node, Field) else None


_RUN = re.compile(r"(.)\1{9,}", re.DOTALL)


def longest_run_share(text: str) -> float:
    """Share of the text that is the longest run of one and the same character (runs of 10 and more count)."""
    longest = max((len(found[0]) for found in _RUN.finditer(text)), default=0)
    return longest / len(text) if text else 0.0


def nonprinting_share(text: str) -> float:
    """Share of characters that print nothing: controls other than white space, surrogates, unassigned code points."""
    if not text or text.isprintable():
        return 0.0
    return sum(not (c.isprintable() or c.isspace()) for c in text) / len(text)


FUNCTIONS: dict[str, Function] = {
    "len": Function(("text",), "number", len, "characters"),
    "words": Function(("text",), "number", lambda t: len(t.split()), "words (split at white space)"),
    "lines": Function(("text",), "number", lambda t: t.count("\n") + 1, "lines"),
    "repeats": Function(("text",), "number", repeated_share, "share of repeated runs of 10 words, 0 to 1"),
    "run": Function(("text",), "number", longest_run_share, "share of the longest run of one character"),
    "nonprinting": Function(("text",), "number", nonprinting_share, "share of characters that print nothing"),
    "starts": Function(("text", "text"), "truth", str.startswith, "starts with"),
    "ends": Function(("text", "text"), "truth", lambda t, end: t.rstrip().endswith(end), "ends with"),
    "contains": Function(("text", "text"), "truth", lambda t, part: part in t, "contains"),
}
