"""Pairs in the layouts of chat training files: Anthropic HH, LLaMA-Factory's two, and Orca pairs."""

from __future__ import annotations

from typing import Any

from agora.core.records import JsonMap
from agora.curate.importers.base import RowError
from agora.curate.pairs.base import Context, Draft, Given, PairFormat, from_conversations, models, required, text_at
from agora.curate.pairs.dialogue import is_dialogue, parse_dialogue
from agora.curate.pairs.formats.trl import extras
from agora.curate.pairs.turns import Turns, answer_of, messages_of, prompt_of, said


def _hh(row: JsonMap, context: Context) -> Given:
    """Two dialogues as text: what they share, in turns, is the prompt."""
    return from_conversations(parse_dialogue(row["chosen"]), parse_dialogue(row["rejected"]), **extras(row))


def _sharegpt(row: JsonMap, context: Context) -> Given:
    prompt = messages_of(required(row, "conversations"))
    if system := text_at(row, "system"):
        prompt = (said("system", system), *prompt)
    return Draft(prompt, answer_of(required(row, "chosen")), answer_of(required(row, "rejected")), **extras(row))


def _alpaca(row: JsonMap, context: Context) -> Given:
    """Instruction and input make the last user turn; ``history`` holds the rounds before it."""
    turns: list[Any] = [said("system", row["system"])] if row.get("system") else []
    history = row.get("history") or []
    if not isinstance(history, list):
        raise RowError("history is not rounds", f"found {type(history).__name__}")
    for number, past in enumerate(history, 1):
        if not isinstance(past, list | tuple) or len(past) != 2:
            raise RowError("history is not rounds", f"round {number} is not a question and its answer")
        turns += [said("user", past[0]), said("assistant", past[1])]
    return Draft(
        (*turns, said("user", instruction_of(row))),
        answer_of(required(row, "chosen")),
        answer_of(required(row, "rejected")),
        **extras(row),
    )


def instruction_of(row: JsonMap) -> str:
    """Instruction and, where there is one, its input below it."""
    instruction = text_at(row, "instruction")
    given = text_at(row, "input")
    return f"{instruction}\n{given}" if given else instruction


def _orca(row: JsonMap, context: Context) -> Given:
    """A system text, a question and two answers; Argilla's relabelled version says which pairs are ties."""
    prompt: Turns = (said("user", text_at(row, "question", "input")),)
    if text_at(row, "system").strip():
        prompt = (said("system", row["system"]), *prompt)
    return Draft(
        prompt,
        answer_of(required(row, "chosen")),
        answer_of(required(row, "rejected")),
        tie=row.get("status") == "tie",
        **extras(row),
    )


def _rewardbench(row: JsonMap, context: Context) -> Given:
    meta = models(row) | {"subset": text_at(row, "subset")}
    return Draft(
        prompt_of(required(row, "prompt")),
        answer_of(required(row, "chosen")),
        answer_of(required(row, "rejected")),
        source_id=text_at(row, "id"),
        origin=text_at(row, "subset"),
        meta=meta,
    )


HH = PairFormat(
    name="hh",
    title="Anthropic HH dialogues",
    columns=("chosen", "rejected"),
    convert=_hh,
    suits=lambda row: is_dialogue(row["chosen"]) and is_dialogue(row["rejected"]),
    label_kind="human",
    licence="MIT",
    keeps_repeats=True,
)
SHAREGPT = PairFormat(
    name="sharegpt",
    title="LLaMA-Factory ranking data, ShareGPT style",
    columns=("conversations", "chosen", "rejected"),
    convert=_sharegpt,
)
ALPACA = PairFormat(
    name="alpaca",
    title="LLaMA-Factory ranking data, Alpaca style",
    columns=("instruction", "chosen", "rejected"),
    convert=_alpaca,
)
ORCA = PairFormat(
    name="orca",
    title="Orca pairs",
    columns=("system", "chosen", "rejected"),
    convert=_orca,
    suits=lambda row: (
        isinstance(row["chosen"], str) and ("question" in row or "input" in row) and "instruction" not in row
    ),
    label_kind="ai",
    licence="Apache-2.0",
)
REWARDBENCH = PairFormat(
    name="rewardbench",
    title="RewardBench",
    columns=("prompt", "chosen", "rejected", "subset"),
    convert=_rewardbench,
)
