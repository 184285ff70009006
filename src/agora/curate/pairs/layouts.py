"""One pair as the rows of another trainer's file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from agora.core.records import JsonMap, Message, PreferencePair, stable_id
from agora.curate.importers.base import RowError
from agora.curate.pairs.dialogue import write_dialogue

_SHAREGPT_NAMES = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}


class Layout(NamedTuple):
    """How one pair is written, what the reader must know, and whether the row is the whole pair."""

    rows: Callable[[PreferencePair], list[JsonMap]]
    title: str
    hint: str = ""
    whole: bool = True


def _chat(turns: Iterable[Message]) -> list[dict[str, str]]:
    return [m.as_chat() for m in turns]


def _extras(pair: PreferencePair) -> JsonMap:
    found = {"margin": pair.margin, "score_chosen": pair.chosen_score, "score_rejected": pair.rejected_score}
    return {name: value for name, value in found.items() if value is not None}


def _explicit(pair: PreferencePair) -> list[JsonMap]:
    row = {"prompt": _chat(pair.prompt), "chosen": _chat(pair.chosen), "rejected": _chat(pair.rejected)}
    return [row | _extras(pair)]


def _implicit(pair: PreferencePair) -> list[JsonMap]:
    sides = {"chosen": _chat((*pair.prompt, *pair.chosen)), "rejected": _chat((*pair.prompt, *pair.rejected))}
    return [sides | _extras(pair)]


def _hh(pair: PreferencePair) -> list[JsonMap]:
    chosen, rejected = (write_dialogue((*pair.prompt, *side)) for side in (pair.chosen, pair.rejected))
    return [{"chosen": chosen, "rejected": rejected}]


def _sharegpt(pair: PreferencePair) -> list[JsonMap]:
    def turn(message: Message) -> JsonMap:
        return {"from": _SHAREGPT_NAMES[message.role], "value": message.content}

    return [
        {
            "conversations": [turn(m) for m in pair.prompt],
            "chosen": turn(_single(pair.chosen)),
            "rejected": turn(_single(pair.rejected)),
        }
        | _extras(pair)
    ]


def _alpaca(pair: PreferencePair) -> list[JsonMap]:
    turns = list(pair.prompt)
    row: JsonMap = {"instruction": turns.pop().content, "input": ""}
    if turns and turns[0].role == "system":
        row["system"] = turns.pop(0).content
    if [m.role for m in turns] != ["user", "assistant"] * (len(turns) // 2) or pair.prompt[-1].role != "user":
        raise RowError("turns are not questions and answers")
    if turns:
        row["history"] = [[q.content, a.content] for q, a in zip(turns[::2], turns[1::2], strict=True)]
    row |= {"chosen": _single(pair.chosen).content, "rejected": _single(pair.rejected).content}
    return [row | _extras(pair)]


def _rewardbench(pair: PreferencePair) -> list[JsonMap]:
    row = {
        "prompt": _question(pair),
        "chosen": _single(pair.chosen).content,
        "rejected": _single(pair.rejected).content,
        "chosen_model": str(pair.meta.get("chosen_model", "")),
        "rejected_model": str(pair.meta.get("rejected_model", "")),
        "subset": str(pair.meta.get("subset", pair.meta.get("origin", "all"))),
        "id": pair.id,
    }
    return [row]


def _alpaca_judged(pair: PreferencePair) -> list[JsonMap]:
    """The chosen side stands second in half of the rows, so that a judge's habit for a place shows."""
    sides = [
        (_single(pair.chosen).content, str(pair.meta.get("chosen_model", "chosen"))),
        (_single(pair.rejected).content, str(pair.meta.get("rejected_model", "rejected"))),
    ]
    swap = int(stable_id("place", pair.id), 16) % 2
    first, second = reversed(sides) if swap else sides
    return [
        {
            "instruction": _question(pair),
            "output_1": first[0],
            "generator_1": first[1],
            "output_2": second[0],
            "generator_2": second[1],
            "preference": 1.5 if pair.tie else 1.0 + swap,
        }
    ]


def _ultrafeedback(pair: PreferencePair) -> list[JsonMap]:
    """Two completions; the overall scores are 1 and 0 where the pair has none of its own."""
    known = pair.chosen_score is not None and pair.rejected_score is not None
    scores = (pair.chosen_score, pair.rejected_score) if known else (1.0, 0.0)
    aspects: JsonMap = pair.meta.get("aspect_scores") or {}
    completions: list[JsonMap] = [
        {
            "model": str(pair.meta.get(("chosen_model", "rejected_model")[i], "")),
            "overall_score": scores[i],
            "response": _single(side).content,
        }
        | ({"annotations": {name: {"Rating": str(v[i])} for name, v in aspects.items()}} if aspects else {})
        for i, side in enumerate((pair.chosen, pair.rejected))
    ]
    return [{"source": str(pair.meta.get("origin", "")), "instruction": _question(pair), "completions": completions}]


def _magpie(pair: PreferencePair) -> list[JsonMap]:
    """Two answers with their scores (1 and 0 where the pair has none), and both sides as message lists."""
    known = pair.chosen_score is not None and pair.rejected_score is not None
    scores = (pair.chosen_score, pair.rejected_score) if known else (1.0, 0.0)
    sides = (_single(pair.chosen).content, _single(pair.rejected).content)
    return [
        {
            "uuid": pair.id,
            "instruction": _question(pair),
            "responses": list(sides),
            "rewards_armorm": [{"score": score} for score in scores],
            "chosen": _chat((*pair.prompt, *pair.chosen)),
            "rejected": _chat((*pair.prompt, *pair.rejected)),
        }
    ]


def _unpaired(pair: PreferencePair) -> list[JsonMap]:
    prompt = _chat(pair.prompt)
    return [
        {"prompt": prompt, "completion": _chat(pair.chosen), "label": True},
        {"prompt": prompt, "completion": _chat(pair.rejected), "label": False},
    ]


def _prompt(pair: PreferencePair) -> list[JsonMap]:
    return [{"prompt": _chat(pair.prompt)}]


def _prompt_completion(pair: PreferencePair) -> list[JsonMap]:
    return [{"prompt": _chat(pair.prompt), "completion": _chat(pair.chosen)}]


def _messages(pair: PreferencePair) -> list[JsonMap]:
    return [{"messages": _chat((*pair.prompt, *pair.chosen))}]


def _single(side: Sequence[Message]) -> Message:
    if len(side) != 1:
        raise RowError("an answer of several messages")
    return side[0]


def _question(pair: PreferencePair) -> str:
    if len(pair.prompt) != 1 or pair.prompt[0].role != "user":
        raise RowError("a prompt of several turns")
    return pair.prompt[0].content


_SHAREGPT_HINT = (
    'dataset_info.json: {"file_name": FILE, "ranking": true, "formatting": "sharegpt", '
    '"columns": {"messages": "conversations", "chosen": "chosen", "rejected": "rejected"}}'
)
_ALPACA_HINT = (
    'dataset_info.json: {"file_name": FILE, "ranking": true, "columns": {"prompt": "instruction", '
    '"query": "input", "system": "system", "history": "history", "chosen": "chosen", "rejected": "rejected"}}'
)
LAYOUTS: dict[str, Layout] = {
    "trl": Layout(_explicit, "TRL preference, explicit prompt", "load_dataset and pass it to DPOTrainer as it is"),
    "trl-implicit": Layout(_implicit, "TRL preference, implicit prompt", "for RewardTrainer or DPOTrainer as it is"),
    "trl-unpaired": Layout(_unpaired, "TRL unpaired preference", "two rows a pair, for KTOTrainer"),
    "trl-prompt": Layout(_prompt, "TRL prompts alone", whole=False),
    "trl-prompt-completion": Layout(_prompt_completion, "TRL prompt and chosen answer", whole=False),
    "messages": Layout(_messages, "conversations that end in the chosen answer", whole=False),
    "hh": Layout(_hh, "Anthropic HH dialogues"),
    "sharegpt": Layout(_sharegpt, "LLaMA-Factory, ShareGPT style", _SHAREGPT_HINT),
    "alpaca": Layout(_alpaca, "LLaMA-Factory, Alpaca style", _ALPACA_HINT),
    "openrlhf": Layout(
        _explicit,
        "OpenRLHF",
        "--prompt_key prompt --chosen_key chosen --rejected_key rejected --apply_chat_template",
    ),
    "rewardbench": Layout(_rewardbench, "RewardBench"),
    "alpaca-judged": Layout(_alpaca_judged, "AlpacaEval annotations"),
    "magpie": Layout(_magpie, "Magpie preference set", "read it back with --format magpie"),
    "ultrafeedback": Layout(_ultrafeedback, "UltraFeedback", "read it back with --rule best_vs_worst,score=overall"),
}
EXPORTS = ("agora", *LAYOUTS)
