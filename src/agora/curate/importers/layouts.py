"""Conversations as rows of other tools' files. Every row is read back before it is given: what a layout cannot hold is
refused with a reason, never bent to fit. A row that came from a layout goes back into it with all its fields.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from agora.core.records import Conversation, JsonMap, Message
from agora.curate.importers.base import Origin, RowError
from agora.curate.importers.instruction_files import ALPACA, DISTILABEL
from agora.curate.importers.magpie import (
    LABELS,
    MAGPIE_GENERATION,
    MAGPIE_V1,
    MAGPIE_V2,
    MAGPIE_V3,
    SIMILAR,
)
from agora.curate.importers.openai_messages import OPENAI
from agora.curate.importers.sharegpt import SHAREGPT

Path = tuple[Message, ...]
_SHAREGPT_NAMES = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}


class RowLayout(NamedTuple):
    """How one root-to-leaf path is written, who reads it back (None: nobody), and what the reader should know."""

    row: Callable[[Conversation, Path], JsonMap]
    read: Callable[[JsonMap, Origin], Conversation] | None
    title: str


def layout_rows(conversation: Conversation, layout: str) -> list[JsonMap]:
    """The rows of a conversation in a layout, one a root-to-leaf path.

    Args:
        layout: a name in ``LAYOUTS``.

    Raises:
        RowError: the layout cannot hold it; the reason is short and shared.
    """
    chosen = LAYOUTS[layout]
    rows = []
    for path in conversation.paths():
        row = chosen.row(conversation, path)
        if chosen.read is not None:
            try:
                found = _texts(chosen.read(row, Origin("", 0)).messages)
            except RowError as error:
                raise RowError(f"the layout cannot hold it: {error.reason}") from None
            if found != _texts(path):
                raise RowError("its text would be read back as another conversation")
        rows.append(row)
    return rows


def _texts(messages: Sequence[Message]) -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in messages]


def _chat(path: Path) -> list[dict[str, str]]:
    return [m.as_chat() for m in path]


def _kept_row(conversation: Conversation, source: str) -> JsonMap:
    """The fields of the row that a conversation came from, when it came from this layout."""
    stored = conversation.meta.get("row")
    return dict(stored) if conversation.provenance.source == source and isinstance(stored, dict) else {}


def _own_id(conversation: Conversation) -> str:
    return conversation.provenance.source_id or conversation.id


def _sharegpt(conversation: Conversation, path: Path) -> JsonMap:
    row: JsonMap = {"id": _own_id(conversation)}
    if conversation.provenance.source == SHAREGPT.name:
        facts = ("role_order", "incomplete", "notes", "repeats")
        row |= {k: v for k, v in conversation.meta.items() if k not in facts}
    names = _SHAREGPT_NAMES
    turns = [{"from": m.meta.get("original_role") or names[m.role], "value": m.content} for m in path]
    return row | {"conversations": turns}


def _openai(conversation: Conversation, path: Path) -> JsonMap:
    more = {k: v for k, v in conversation.meta.items() if k in ("model", "tools")}
    return {"id": _own_id(conversation), "messages": _chat(path), **more}


def _rounds(path: Path) -> tuple[str | None, list[tuple[Message, Message | None]]]:
    """The system prompt, and each question with its answer; the last may wait for one."""
    turns = list(path)
    system = turns.pop(0).content if turns and turns[0].role == "system" else None
    roles = [m.role for m in turns]
    if roles != ["user", "assistant"] * (len(turns) // 2) + ["user"] * (len(turns) % 2):
        raise RowError("turns are not questions and answers")
    answers: list[Message | None] = [*turns[1::2], *([None] if len(turns) % 2 else [])]
    return system, list(zip(turns[::2], answers, strict=True))


def _alpaca(conversation: Conversation, path: Path) -> JsonMap:
    system, rounds = _rounds(path)
    *earlier, (question, answer) = rounds
    if answer is None:
        raise RowError("the last question has no answer")
    instruction, given = question.meta.get("instruction"), question.meta.get("input")
    if not instruction or f"{instruction}\n{given}" != question.content:
        instruction, given = question.content, ""
    row = {**_kept_row(conversation, ALPACA.name), "instruction": instruction, "input": given, "output": answer.content}
    if system is not None:
        row["system"] = system
    if earlier:
        row["history"] = [[q.content, a.content if a else ""] for q, a in earlier]
    return row


def _distilabel(conversation: Conversation, path: Path) -> JsonMap:
    row = _kept_row(conversation, DISTILABEL.name)
    row.setdefault("model_name", conversation.meta.get("model"))
    keys = conversation.meta.get("keys") or []
    roles = [m.role for m in path]
    if roles == ["user", "assistant"] and "conversation" not in keys:
        answer = next((k for k in keys if k in ("response", "generation", "output")), "response")
        return {**row, "instruction": path[0].content, answer: path[1].content}
    if roles == ["system", "user", "assistant"] and "system_prompt" in keys:
        answer = next((k for k in keys if k in ("response", "generation", "output")), "response")
        return {**row, "system_prompt": path[0].content, "instruction": path[1].content, answer: path[2].content}
    return {**row, "conversation": _chat(path)}


def _prompt_completion(conversation: Conversation, path: Path) -> JsonMap:
    if path[-1].role != "assistant":
        raise RowError("the last question has no answer")
    return {"prompt": _chat(path[:-1]), "completion": _chat(path[-1:])}


def _magpie(layout: str) -> Callable[[Conversation, Path], JsonMap]:
    def write(conversation: Conversation, path: Path) -> JsonMap:
        system, rounds = _rounds(path)
        if system is not None:
            raise RowError("a system prompt")
        row = {**_kept_row(conversation, layout), **_label_fields(conversation)}
        if layout == MAGPIE_V1.name:
            return _magpie_v1(conversation, row, rounds)
        texts: JsonMap = {}
        for number, (question, answer) in enumerate(rounds, 1):
            end = f"_{number}" if number > 1 else ""
            texts[f"instruction{end}"] = question.content
            texts[f"response{end}"] = answer.content if answer else None
        return _identified(conversation, layout, row) | texts

    return write


def _magpie_v1(conversation: Conversation, row: JsonMap, rounds: list[tuple[Message, Message | None]]) -> JsonMap:
    turns = [m for pair in rounds for m in pair if m is not None]
    question, answer = rounds[0]
    texts: JsonMap = {"input": question.content, "output": answer.content if answer else None}
    texts["conversations"] = [{"from": _SHAREGPT_NAMES[m.role], "value": m.content} for m in turns]
    row.setdefault("uuid", _own_id(conversation))
    row.setdefault("model", conversation.meta.get("model"))
    row.setdefault("gen_input_config", _decoding(conversation))
    row.setdefault("input_length", len(question.content))
    row.setdefault("output_length", len(answer.content) if answer else 0)
    return row | texts


def _identified(conversation: Conversation, layout: str, row: JsonMap) -> JsonMap:
    """The fields that name a row and how it was drawn, where the row it came from does not say."""
    decoding = _decoding(conversation)
    generator = conversation.meta.get("model")
    config = {**decoding, "input_generator": generator, "seed": (conversation.meta.get("gen") or {}).get("seed")}
    if layout == MAGPIE_GENERATION.name:
        row.setdefault("id", conversation.provenance.line or 0)
        row.setdefault("pre_query_template", (conversation.meta.get("gen") or {}).get("prefix"))
        row.setdefault("created", None)
        row.setdefault("gen_input_configs", config)
        row.setdefault("gen_response_configs", conversation.meta.get("answer_gen") or {})
        return row
    row.setdefault("uuid", _own_id(conversation))
    row.setdefault("model", generator)
    prefix = {"pre_query_template": (conversation.meta.get("gen") or {}).get("prefix")}
    row.setdefault("gen_input_configs", config | (prefix if layout == MAGPIE_V3.name else {}))
    return row


def _decoding(conversation: Conversation) -> JsonMap:
    gen = conversation.meta.get("gen") or {}
    return {"temperature": gen.get("temperature"), "top_p": gen.get("top_p")}


def _label_fields(conversation: Conversation) -> JsonMap:
    """Magpie's fields of the labels that a conversation has, also those it got here."""
    fields: JsonMap = {}
    for name, (field, more) in LABELS.items():
        tag = conversation.tags.get(name)
        if not isinstance(tag, dict):
            continue
        fields[field] = _as_written(tag)
        fields |= {f: tag[key] for key, f in more.items() if tag.get(key) is not None}
    safety, mark = conversation.tags.get("safety"), conversation.tags.get("dedup")
    if isinstance(safety, dict):
        fields["llama_guard_2"] = safety["raw"] if safety.get("generator") == "llama_guard_2" else safety.get("value")
    if isinstance(mark, dict) and mark.get("method") != "magpie":  # made here: the stored row knows nothing of it
        keeps = mark.get("keeper_id") == conversation.id
        fields["min_neighbor_distance"] = mark.get("nn_distance")
        fields["repeat_count"] = mark.get("count") or 0
        fields[SIMILAR[0]] = _own_id(conversation) if keeps else mark.get("keeper_id")
    return fields


def _as_written(tag: JsonMap) -> Any:
    """A value as the file wrote it: the raw spelling where importing changed it."""
    return tag["raw"] if tag.get("raw") is not None and "attempts" not in tag else tag.get("value")


LAYOUTS: dict[str, RowLayout] = {
    "sharegpt": RowLayout(_sharegpt, SHAREGPT.convert, SHAREGPT.title),
    "openai": RowLayout(_openai, OPENAI.convert, "OpenAI messages; TRL and most trainers read it as it is"),
    "alpaca": RowLayout(_alpaca, ALPACA.convert, ALPACA.title),
    "distilabel": RowLayout(_distilabel, DISTILABEL.convert, DISTILABEL.title),
    "trl-prompt-completion": RowLayout(_prompt_completion, None, "TRL prompt and completion, for SFTTrainer"),
    **{
        one.name: RowLayout(_magpie(one.name), one.convert, one.title)
        for one in (MAGPIE_V1, MAGPIE_V2, MAGPIE_V3, MAGPIE_GENERATION)
    },
}
