"""Several scored or ranked answers to a prompt, in one row or in many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agora.core.records import JsonMap, Message
from agora.curate.importers.base import RowError
from agora.curate.pairs.base import Context, Given, GroupDraft, PairFormat, number_of, required, text_at
from agora.curate.pairs.dialogue import is_dialogue, parse_dialogue
from agora.curate.pairs.records import Response
from agora.curate.pairs.rules import PairRule
from agora.curate.pairs.turns import answer_of, prompt_of

_HELPSTEER_MEAN = ("helpfulness", "correctness", "coherence", "complexity")
_HELPSTEER_ASPECTS = (*_HELPSTEER_MEAN, "verbosity")


def _ultrafeedback(row: JsonMap, context: Context) -> Given:
    responses = []
    for item in _items(row, "completions"):
        ratings = item.get("annotations")
        aspects = {name: _rating(value) for name, value in ratings.items()} if isinstance(ratings, Mapping) else {}
        responses.append(
            Response(
                answer_of(required(item, "response")),
                score=number_of(item.get("overall_score")),
                model=text_at(item, "model"),
                aspects={name: value for name, value in aspects.items() if value is not None},
            )
        )
    origin = text_at(row, "source")
    return GroupDraft(prompt_of(required(row, "instruction")), tuple(responses), origin=origin)


def _rating(value: Any) -> float | None:
    """The rating of one aspect: a number, or an object that has one, perhaps one level down."""
    while isinstance(value, Mapping):
        rating = value.get("Rating")
        value = value.get("Output") if rating is None else rating  # Parquet fills the absent one with null
    return number_of(value)


def _nectar(row: JsonMap, context: Context) -> Given:
    """Seven ranked answers; the prompt is a dialogue whose last, empty turn is the assistant's."""
    prompt = parse_dialogue(row["prompt"]) if is_dialogue(row["prompt"]) else prompt_of(row["prompt"])
    if prompt and prompt[-1].role == "assistant" and not prompt[-1].content:
        prompt = prompt[:-1]
    responses = []
    for item in _items(row, "answers"):
        rank = number_of(item.get("rank"))
        answer = answer_of(required(item, "answer"))
        responses.append(Response(answer, rank=None if rank is None else int(rank), model=text_at(item, "model")))
    return GroupDraft(prompt, tuple(responses), origin=_first_text(row.get("source")))


def _first_text(value: Any) -> str:
    found = value[0] if isinstance(value, list) and value else value
    return found if isinstance(found, str) else ""


def _helpsteer(row: JsonMap, context: Context) -> Given:
    aspects = {name: number_of(row.get(name)) for name in _HELPSTEER_ASPECTS}
    present: JsonMap = {name: value for name, value in aspects.items() if value is not None}
    response = Response(answer_of(required(row, "response")), aspects=present)
    return GroupDraft(prompt_of(required(row, "prompt")), (response,), key="prompt", mean_of=_HELPSTEER_MEAN)


def _magpie(row: JsonMap, context: Context) -> Given:
    """Sampled answers and a reward model's scores in two lists."""
    answers, rewards = required(row, "responses"), required(row, "rewards_armorm")
    if not isinstance(answers, list) or not isinstance(rewards, list) or len(answers) != len(rewards):
        raise RowError("answers and scores differ", "expected two lists of one length")
    values = [number_of(r.get("score") if isinstance(r, Mapping) else r) for r in rewards]
    responses = tuple(Response(answer_of(a), score=v) for a, v in zip(answers, values, strict=True))
    return GroupDraft(prompt_of(required(row, "instruction")), responses, source_id=text_at(row, "uuid"))


def _scored(row: JsonMap, context: Context) -> Given:
    """One scored answer a row. Where the prompt is not in the file its id stands for it, and the pair says so."""
    score = number_of(row["score"])
    response = Response(
        answer_of(required(row, "response" if "response" in row else "output")),
        score=score,
        model=text_at(row, "model", "sft_data", "generator"),
    )
    given = next((row[k] for k in ("prompt", "instruction", "question") if row.get(k)), None)
    own = text_at(row, "session_id", "task_id", "id")
    if given is not None:
        return GroupDraft(prompt_of(given), (response,), key="prompt", source_id=own)
    if not own:
        raise RowError("no prompt", "the row has neither a prompt nor the id of a task")
    prompt = (Message("user", f"(The prompt of task {own} is not in this file.)"),)
    return GroupDraft(prompt, (response,), key=own, source_id=own, meta={"prompt_missing": True})


def _items(row: JsonMap, column: str) -> list[JsonMap]:
    items = row[column]
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise RowError("not a list of answers", f"column {column!r}")
    return items


ULTRAFEEDBACK = PairFormat(
    name="ultrafeedback",
    title="UltraFeedback",
    columns=("instruction", "completions"),
    convert=_ultrafeedback,
    gives="groups",
    label_kind="ai",
    licence="MIT",
    rule=PairRule(name="best_vs_random", score="mean"),
    note="Prompts of TruthfulQA are among them: leave out the origin truthful_qa in a recipe before that test.",
)
NECTAR = PairFormat(
    name="nectar",
    title="Nectar",
    columns=("prompt", "answers"),
    convert=_nectar,
    gives="groups",
    label_kind="ai",
    rule=PairRule(name="best_vs_random", score="overall"),
)
HELPSTEER = PairFormat(
    name="helpsteer",
    title="HelpSteer",
    columns=("prompt", "response", *_HELPSTEER_MEAN),
    convert=_helpsteer,
    gives="groups",
    label_kind="human",
    licence="CC-BY-4.0",
    rule=PairRule(name="best_vs_random", score="mean"),
)
MAGPIE = PairFormat(
    name="magpie",
    title="Magpie answers with reward scores",
    columns=("instruction", "responses", "rewards_armorm"),
    convert=_magpie,
    gives="groups",
    label_kind="ai",
    rule=PairRule(name="best_vs_worst", score="overall"),
)
SCORED = PairFormat(
    name="scored",
    title="scored answers, one a row",
    columns=("score",),
    convert=_scored,
    gives="groups",
    label_kind="ai",
    rule=PairRule(name="best_vs_worst", score="overall"),
    suits=lambda row: (
        ("response" in row or "output" in row)
        and any(k in row for k in ("prompt", "instruction", "question", "session_id", "task_id"))
    ),
)
