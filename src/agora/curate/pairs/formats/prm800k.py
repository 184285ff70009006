"""PRM800K: solutions of mathematical problems whose steps people rated.

Phase 2 labels whole solutions up to the first mistake: the reference solution is preferred to a random one in which an
error was found. Phase 1 labels alternatives at each step: the solution that was followed is preferred to the same with
one random step replaced by an alternative that was rated lower.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, NamedTuple

from agora.core.records import JsonMap
from agora.curate.importers.base import RowError
from agora.curate.pairs.base import Context, Draft, Given, GroupDraft, PairFormat, number_of
from agora.curate.pairs.records import Response
from agora.curate.pairs.rules import PairRule
from agora.curate.pairs.turns import answer_of, prompt_of


class _Step(NamedTuple):
    text: str
    rating: float
    worse: list[str]


def _convert(row: JsonMap, context: Context) -> Given:
    question, label = row["question"], row["label"]
    steps = question.get("pre_generated_steps")
    return _phase_2(question, label, steps) if steps else _phase_1(question, label, context)


def _phase_2(question: Mapping[str, Any], label: Mapping[str, Any], steps: Any) -> Given:
    responses = [Response(answer_of(question.get("ground_truth_solution")), score=1.0, model="reference solution")]
    if label.get("finish_reason") == "found_error":
        if not isinstance(steps, list) or not all(isinstance(step, str) for step in steps):
            raise RowError("content is not text", "a pre-generated step")
        responses.append(Response(answer_of("\n".join(steps)), score=0.0, model="PRM800K generator"))
    return GroupDraft(prompt_of(question["problem"]), tuple(responses), key="prompt")


def _phase_1(question: Mapping[str, Any], label: Mapping[str, Any], context: Context) -> Given:
    labelled = label.get("steps")
    if not isinstance(labelled, list):
        raise RowError("no steps", f"'steps' is {type(labelled).__name__}")
    steps = [_step(step, number) for number, step in enumerate(labelled, 1)]
    places = [(i, worse) for i, step in enumerate(steps) for worse in step.worse]
    if not places:
        raise RowError("no alternative step", "no step has an alternative that was rated lower")
    index, worse = random.Random(f"{context.seed}|{question['problem']}|{context.line}").choice(places)
    texts = [step.text for step in steps]
    replaced = [*texts[:index], worse, *texts[index + 1 :]]
    return Draft(
        prompt_of(question["problem"]),
        answer_of("\n".join(texts)),
        answer_of("\n".join(replaced)),
        meta={"replaced_step": index + 1},
    )


def _step(step: Any, number: int) -> _Step:
    """The text that was followed at a step, its rating, and the alternatives that were rated lower."""
    try:
        completions, taken = step["completions"], step["chosen_completion"]
        followed = step["human_completion"] if taken is None else completions[taken]
        # a step that a person wrote has no rating: it was written to be right
        text, rating = followed["text"], 1.0 if taken is None else number_of(followed["rating"])
        others = [(c["text"], number_of(c["rating"])) for i, c in enumerate(completions or []) if i != taken]
    except (KeyError, TypeError, IndexError):
        raise RowError("step cannot be read", f"step {number}") from None
    if not isinstance(text, str):
        raise RowError("content is not text", f"step {number}")
    rating = 0.0 if rating is None else rating
    worse = [t for t, r in others if r is not None and r < rating and isinstance(t, str) and t.strip() != text.strip()]
    return _Step(text, rating, worse)


PRM800K = PairFormat(
    name="prm800k",
    title="PRM800K",
    columns=("question", "label"),
    convert=_convert,
    gives="groups",
    label_kind="human",
    licence="MIT",
    rule=PairRule(name="best_vs_random", score="overall"),
    suits=lambda row: (
        isinstance(row["question"], dict)
        and isinstance(row["question"].get("problem"), str)
        and isinstance(row["label"], dict)
    ),
)
