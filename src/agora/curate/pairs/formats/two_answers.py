"""Two answers side by side and a verdict: votes, raters and judges."""

from __future__ import annotations

from typing import Any, Literal

import orjson

from agora.core.records import JsonMap
from agora.curate.importers.base import RowError
from agora.curate.pairs.base import Context, Draft, Given, PairFormat, number_of, required, text_at
from agora.curate.pairs.formats.chat_files import instruction_of
from agora.curate.pairs.turns import Turns, answer_of, messages_of, prompt_of, said, shared_prefix

Winner = Literal["first", "second", "tie"]


def decided(winner: Winner, prompt: Turns, sides: tuple[Turns, Turns], **more: Any) -> Draft:
    """The draft of two answers and a winner; ``models`` and ``scores`` hold a value for each side in the same order."""
    swap = winner == "second"
    meta: JsonMap = dict(more.pop("meta", {}))
    for key, pair in {"model": more.pop("models", None), "score": more.pop("scores", None)}.items():
        if pair is None or pair == ("", ""):
            continue
        better, worse = reversed(pair) if swap else pair
        target = more if key == "score" else meta
        target |= {f"chosen_{key}": better, f"rejected_{key}": worse}
    first, second = reversed(sides) if swap else sides
    return Draft(prompt, first, second, tie=winner == "tie", meta=meta, **more)


def _shp(row: JsonMap, context: Context) -> Given:
    """Label 1 prefers reply A, 0 reply B; the scores are the replies' votes."""
    label = row["labels"]
    if label not in (0, 1):
        raise RowError("unknown label", f"'labels' is {label!r:.40}, expected 0 or 1")
    return decided(
        "first" if label else "second",
        prompt_of(required(row, "history")),
        (answer_of(required(row, "human_ref_A")), answer_of(required(row, "human_ref_B"))),
        scores=(number_of(row.get("score_A")), number_of(row.get("score_B"))),
        source_id=text_at(row, "post_id"),
        origin=text_at(row, "domain"),
    )


def _stack_exchange(row: JsonMap, context: Context) -> Given:
    """The file has the better answer as ``response_j``."""
    prompt = prompt_of(required(row, "question"))
    better, worse = answer_of(required(row, "response_j")), answer_of(required(row, "response_k"))
    return Draft(prompt, better, worse, source_id=text_at(row, "qid"))


def _graded(row: JsonMap, context: Context) -> Given:
    """AlpacaEval and AlpacaFarm: 1 prefers the first output, 2 the second; 1.5 or 0 is a tie, between is a degree."""
    grade = number_of(row["preference"])
    if grade is None:
        raise RowError("no verdict", f"'preference' is {row['preference']!r:.40}")
    if not (grade == 0 or 1 <= grade <= 2):
        raise RowError("unknown verdict", f"'preference' is {grade}, expected 1 to 2")
    winner: Winner = "tie" if grade in (0, 1.5) else "first" if grade < 1.5 else "second"
    return decided(
        winner,
        (said("user", instruction_of(row)),),
        (answer_of(required(row, "output_1")), answer_of(required(row, "output_2"))),
        models=(text_at(row, "generator_1"), text_at(row, "generator_2")),
        margin=abs(2 * grade - 3) if grade not in (0, 1, 2) else None,
        annotator=text_at(row, "annotator") or None,
        label_kind="ai" if "generator_1" in row or "gpt4" in context.path.lower() else "human",
        origin=text_at(row, "dataset"),
    )


def _llmbar(row: JsonMap, context: Context) -> Given:
    if row["label"] not in (1, 2):
        raise RowError("unknown label", f"'label' is {row['label']!r:.40}, expected 1 or 2")
    sides = (answer_of(required(row, "output_1")), answer_of(required(row, "output_2")))
    winner: Winner = "first" if row["label"] == 1 else "second"
    more = {"source_id": text_at(row, "id"), "origin": text_at(row, "subset")}
    return decided(winner, prompt_of(required(row, "input")), sides, meta={"subset": text_at(row, "subset")}, **more)


_GRADES: dict[str, tuple[Winner, float]] = {
    "a-is-better": ("first", 1.0),
    "a-is-slightly-better": ("first", 0.5),
    "tie": ("tie", 0.0),
    "b-is-slightly-better": ("second", 0.5),
    "b-is-better": ("second", 1.0),
}


def _raters(row: JsonMap, context: Context) -> Given:
    """Five grades of a rater; a slight preference has margin 0.5, a clear one 1."""
    grade = _GRADES.get(str(row["preference"]))
    if grade is None:
        raise RowError("unknown verdict", f"'preference' is {row['preference']!r:.40}")
    winner, margin = grade
    return decided(
        winner,
        prompt_of(required(row, "prompt")),
        (answer_of(required(row, "completion_a")), answer_of(required(row, "completion_b"))),
        models=(text_at(row, "model_a"), text_at(row, "model_b")),
        margin=margin,
        annotator=text_at(row, "rater") or None,
        source_id=text_at(row, "instance_id"),
    )


_VOTES: dict[str, Winner] = {
    "model_a": "first",
    "model_b": "second",
    "tie": "tie",
    "tie (bothbad)": "tie",
    "both_bad": "tie",
}


def _arena_battle(row: JsonMap, context: Context) -> Given:
    """Two conversations with the same questions and a vote (Chatbot Arena 2023)."""
    winner = _VOTES.get(str(row["winner"]))
    if winner is None:
        raise RowError("unknown verdict", f"'winner' is {row['winner']!r:.40}")
    sides = messages_of(required(row, "conversation_a")), messages_of(required(row, "conversation_b"))
    return _battle(row, winner, sides)


def _arena_columns(row: JsonMap, context: Context) -> Given:
    """Questions and answers as JSON lists in text, and one column a verdict (Chatbot Arena 2024)."""
    questions = _texts(row["prompt"])
    sides = []
    for column in ("response_a", "response_b"):
        answers = _texts(row[column])
        if len(answers) != len(questions):
            raise RowError("rounds differ", f"{len(questions)} questions, {len(answers)} in {column!r}")
        rounds = zip(questions, answers, strict=True)
        sides.append(tuple(turn for q, a in rounds for turn in (said("user", q), said("assistant", a or ""))))
    votes: dict[str, Winner] = {"winner_model_a": "first", "winner_model_b": "second", "winner_tie": "tie"}
    won = [winner for column, winner in votes.items() if row.get(column) in (1, True)]
    if len(won) != 1:
        raise RowError("no verdict", f"{len(won)} of the winner columns are 1")
    return _battle(row, won[0], (sides[0], sides[1]))


def _texts(value: Any) -> list[Any]:
    try:
        found = orjson.loads(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    if not isinstance(found, list) or not found:
        raise RowError("not a list of texts", f"{value!r:.40}")
    return found


def _battle(row: JsonMap, winner: Winner, sides: tuple[Turns, Turns]) -> Draft:
    n = shared_prefix(*sides)
    return decided(
        winner,
        sides[0][:n],
        (sides[0][n:], sides[1][n:]),
        models=(text_at(row, "model_a"), text_at(row, "model_b")),
        annotator=text_at(row, "judge") or None,
        source_id=text_at(row, "question_id", "id"),
        meta={"language": row["language"]} if isinstance(row.get("language"), str) else {},
    )


SHP = PairFormat(
    name="shp",
    title="SHP and SHP-2",
    columns=("history", "human_ref_A", "human_ref_B", "labels"),
    convert=_shp,
    label_kind="votes",
)
STACK_EXCHANGE = PairFormat(
    name="stack-exchange",
    title="StackExchange paired",
    columns=("question", "response_j", "response_k"),
    convert=_stack_exchange,
    label_kind="votes",
    licence="CC-BY-SA-4.0",
)
ALPACA_JUDGED = PairFormat(
    name="alpaca-judged",
    title="AlpacaFarm and AlpacaEval verdicts",
    columns=("instruction", "output_1", "output_2", "preference"),
    convert=_graded,
    licence="CC-BY-NC-4.0",
)
LLMBAR = PairFormat(
    name="llmbar",
    title="LLMBar",
    columns=("input", "output_1", "output_2", "label"),
    convert=_llmbar,
    label_kind="human",
    licence="MIT",
)
RATERS = PairFormat(
    name="tulu-raters",
    title="the raters of the Tulu human evaluation",
    columns=("prompt", "completion_a", "completion_b", "preference"),
    convert=_raters,
    label_kind="human",
    licence="Apache-2.0",
)
ARENA_BATTLES = PairFormat(
    name="arena-2023",
    title="Chatbot Arena conversations (2023)",
    columns=("conversation_a", "conversation_b", "winner"),
    convert=_arena_battle,
    label_kind="human",
    licence="prompts CC-BY-4.0, outputs CC-BY-NC-4.0",
    note="Arena-Hard draws from the same pool of prompts: use --decontaminate before that test.",
)
ARENA_COLUMNS = PairFormat(
    name="arena-2024",
    title="Chatbot Arena preferences (2024)",
    columns=("prompt", "response_a", "response_b", "winner_model_a", "winner_model_b"),
    convert=_arena_columns,
    label_kind="human",
    note="Arena-Hard draws from the same pool of prompts: use --decontaminate before that test.",
)
