"""A data set of the paper on paper: drawing, answering, labels, scores, the filter's rows, and what is trained on them.

The parts are those of other recipes: a run's (``recipes/synthesize``), a curation's with its filter
(``recipes/curate``), the trainings' of Tables 8 and 9. A plan adds which models label and score, and how many pairs
are made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from pydantic import Field

from agora.core.config import Config, load_config
from agora.core.errors import UsageError
from agora.core.files import nearest
from agora.curate.expressions import PRESETS, parse_program
from agora.curate.expressions.grammar import uses
from agora.curate.labels.kinds import KINDS
from agora.curate.recipe import read_recipe
from agora.rooms.synthesize.dry_run import CHARS_PER_TOKEN, count_run, find_recipe, works_of_run
from agora.rooms.synthesize.settings import SynthesizeConfig
from agora.train.planning import Rows, Work, find_shape, row_work, sampling_work, scoring_work
from agora.train.settings import DpoSettings, SftSettings


class Training(Config):
    """What the kept rows train."""

    model: str
    rows: int = Field(ge=1)


class Pairs(Config):
    """Prompts, each answered ``k`` times and scored; the best and the worst answer are a pair."""

    model: str
    prompts: int = Field(ge=1)
    k: int = Field(5, ge=2)
    valid_share: float = Field(0.02, ge=0, lt=1, description="held out")


class PlanRecipe(Config):
    """What a plan names: recipes, and models by anything that tells their size."""

    synthesis: str
    curation: str
    labeler: str
    guard: str = Field(description="labels safety")
    reward: str
    base: str = Field(description="answers too where the filter looks at the reward's difference")
    reply_tokens: dict[str, float]
    sft: Training
    pairs: Pairs
    notes: tuple[str, ...] = Field((), description="printed with the plan")


def works_of_recipe(name: str, overrides: Sequence[str] = (), only: Sequence[str] = ()) -> tuple[list[Work], list[str]]:
    """Every stage of a data set, in order, and notes on what the figures rest on.

    Args:
        name: of a recipe in ``agora/recipes/plan``.
        overrides: ``sft.rows=100000`` and the like.
        only: names of stages; all by default.

    Raises:
        UsageError: a name in ``only`` is no stage, or nothing is known of a model's size.
        ConfigError: an unknown key, or a value out of range.
    """
    recipe = load_config(PlanRecipe, Path(str(files("agora"))) / "recipes" / "plan" / f"{name}.yaml", list(overrides))
    run = load_config(SynthesizeConfig, find_recipe(Path(recipe.synthesis)))
    stages = _drawing(run) | _curation(recipe, run) | _training(recipe, run)
    for wanted in only:
        if wanted not in stages:
            near = nearest(wanted, list(stages))
            hint = f"did you mean {near}?" if near else f"stages: {', '.join(stages)}"
            raise UsageError(f"{wanted!r} is no stage of {name}", where="--only", hint=hint)
    notes = [
        *count_run(run).notes,
        "the order is the paper's: all is answered, then labeled; labels of instructions before answers cost less",
        *recipe.notes,
        "near-duplicates, neighbors and the language need no GPU; embedding is left out",
    ]
    return [work for stage, work in stages.items() if not only or stage in only], notes


def _drawing(run: SynthesizeConfig) -> dict[str, Work]:
    works, counts = works_of_run(run), count_run(run)
    named = [replace(works[0], name=f"draw: {counts.instructions:,} calls of {counts.model}")]
    named += [replace(work, name=f"answer: {counts.answers:,} calls of {counts.answer_model}") for work in works[1:]]
    return dict(zip(("draw", "answer"), named, strict=False))


def _curation(recipe: PlanRecipe, run: SynthesizeConfig) -> dict[str, Work]:
    """Labels and scores that the recipe's filter looks at, and safety, which the paper reports of every row."""
    answers, expected = count_run(run).answers, run.expected
    steps = read_recipe(recipe.curation).steps
    labels = [label for step in steps if step.label is not None for label in step.label.labels if label in KINDS]
    works = {}
    for label in dict.fromkeys([*labels, "safety"]):
        model = recipe.guard if label == "safety" else recipe.labeler
        shown = expected.instruction_tokens + (expected.answer_tokens if label == "safety" else 0)
        prompt = len(KINDS[label].prompt) / CHARS_PER_TOKEN + shown
        title = f"label {label}: {answers:,} calls of {model}"
        works[label] = sampling_work(title, find_shape(model), answers, prompt, recipe.reply_tokens[label])
    rows, scored = Rows.expected(answers, expected.instruction_tokens, expected.answer_tokens), answers
    if _looks_at("reward_diff", recipe):
        title = f"base answers: {answers:,} calls of {recipe.base}"
        works["base"] = sampling_work(
            title, find_shape(recipe.base), answers, expected.instruction_tokens, expected.answer_tokens
        )
        scored *= 2
    title = f"score: {scored:,} answers by {recipe.reward}"
    works["score"] = scoring_work(title, find_shape(recipe.reward), rows.times(scored / answers), bf16=True)
    return works


def _looks_at(field: str, recipe: PlanRecipe) -> bool:
    filters = [step.filter for step in read_recipe(recipe.curation).steps if step.filter is not None]
    texts = [text for f in filters for text in (f.where, PRESETS[f.preset].expression if f.preset else "") if text]
    return any(uses(parse_program(text), field) for text in texts)


def _training(recipe: PlanRecipe, run: SynthesizeConfig) -> dict[str, Work]:
    expected, sft, pairs = run.expected, recipe.sft, recipe.pairs
    prompt, answer = expected.instruction_tokens, expected.answer_tokens
    settings = load_config(SftSettings, find_recipe(Path("sft")))
    rows = Rows.expected(sft.rows, prompt, answer)
    calls = pairs.prompts * pairs.k
    kept = round(pairs.prompts * (1 - pairs.valid_share))
    shape, reward = find_shape(sft.model), find_shape(recipe.reward)
    title = f"pairs: {calls:,} calls of {pairs.model}"
    scored = f"score pairs: {calls:,} answers by {recipe.reward}"
    return {
        "sft": row_work(f"SFT of {sft.model} on {sft.rows:,} rows", shape, rows, settings),
        "pairs": sampling_work(title, find_shape(pairs.model), calls, prompt, answer),
        "score pairs": scoring_work(scored, reward, Rows.expected(calls, prompt, answer), bf16=True),
        "dpo": row_work(
            f"DPO on {kept:,} pairs",
            shape,
            Rows.expected(2 * kept, prompt, answer),
            load_config(DpoSettings, find_recipe(Path("dpo"))),
        ),
    }
