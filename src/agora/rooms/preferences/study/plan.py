"""From a recipe to stages: which cells there are, what each trains, and what they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from agora.core.errors import UsageError
from agora.core.files import nearest
from agora.rooms.preferences.study import matching
from agora.rooms.preferences.study.blocks import (
    Cell,
    DpoAlgorithm,
    FilePairs,
    FilePrompts,
    MicrocosmPairs,
    NoTraining,
    OnlineAlgorithm,
    PairPrompts,
)
from agora.rooms.preferences.study.matching import Budget, CellSizes, Size
from agora.rooms.preferences.study.recipe import Arm, Recipe, arms_of
from agora.rooms.preferences.study.stage import Stage


class Sizes(Protocol):
    """How large the rows of a stage are: counted after they were made, estimated before."""

    def pairs(self, stage: Stage, model: Stage, max_tokens: int | None) -> Size:
        """Of a file of pairs, rendered with a model's tokenizer."""

    def prompts(self, stage: Stage, model: Stage, max_tokens: int | None) -> Size:
        """Of a file of prompts."""

    def response_tokens(self, stage: Stage, model: Stage, max_tokens: int | None) -> float | None:
        """Mean tokens of the chosen answers of a file of pairs."""


@dataclass(frozen=True, slots=True)
class ArmRun:
    """One arm with one seed: its stages by role, and what its trainings cost on paper."""

    arm: Arm
    seed: int
    stages: dict[str, Stage]
    budgets: dict[str, Budget] = field(default_factory=dict)
    rows: int = 0  # pairs that the arm's data come to

    @property
    def policy(self) -> Stage:
        """The stage whose model is judged."""
        return self.stages["policy"]


@dataclass(frozen=True, slots=True)
class Plan:
    """All runs of a recipe; the start model, as it is, is judged beside them."""

    recipe: Recipe
    arms: tuple[Arm, ...]
    runs: tuple[ArmRun, ...]
    start: ArmRun

    def goals(self) -> list[Stage]:
        """Every stage that the report reads."""
        return [stage for run in (self.start, *self.runs) for stage in run.stages.values()]

    def of(self, arm: Arm) -> list[ArmRun]:
        """The runs of one arm, one a seed."""
        return [run for run in self.runs if run.arm is arm]


def all_arms(recipe: Recipe) -> list[Arm]:
    """The arms of every study, baselines first."""
    return [arm for study in recipe.studies for arm in arms_of(recipe, study)]


def selected_arms(arms: Sequence[Arm], only: Sequence[str]) -> list[Arm]:
    """Some values and the baselines that they are compared with.

    Args:
        only: names of values, of whole studies, or ``study.value``; nothing takes all.

    Raises:
        UsageError: a name fits no arm; names the nearest.
    """
    if not only:
        return list(arms)
    names = {arm: {arm.value, arm.study, f"{arm.study}.{arm.value}"} for arm in arms}
    known = sorted(set().union(*names.values()))
    for name in only:
        if name not in known:
            near = nearest(name, known)
            hint = f"did you mean {near}?" if near else f"known: {', '.join(known)}"
            raise UsageError(f"the recipe has no value {name!r}", where="--only", hint=hint)
    studies = {arm.study for arm in arms if names[arm] & set(only)}
    return [arm for arm in arms if names[arm] & set(only) or (arm.is_baseline and arm.study in studies)]


def start_stage(cell: Cell) -> Stage:
    """The start model: given, or fine-tuned from a given one."""
    given = Stage("given", {"model": cell.fixed.model}, label=f"the model {cell.fixed.model}")
    start = cell.fixed.start
    if start is None:
        return given
    data = Stage("demonstrations", start.data.model_dump(mode="json"), label="demonstrations")
    settings = start.settings.model_dump(mode="json")
    return Stage("sft", {"settings": settings}, {"model": given, "data": data}, "start model")


def pairs_stage(block: MicrocosmPairs | FilePairs, cell: Cell, start: Stage, label: str) -> Stage:
    """The stage that makes the pairs of a data block, before sizes are matched."""
    parents: dict[str, Stage] = {}
    if isinstance(block, MicrocosmPairs) and block.candidates == "policy":
        keys = ("instructions", "families", "samples", "temperature", "seed")
        config = {key: value for key, value in block.model_dump(mode="json").items() if key in keys}
        parents["answers"] = Stage("answers", config, {"model": start}, "answers to compare")
    return Stage("pairs", block.model_dump(mode="json") | _against(block, cell), parents, f"pairs ({label})")


def _against(block: Any, cell: Cell) -> dict[str, Any]:
    """The tests whose prompts may not be among rows from files; the microcosm holds its own apart."""
    if not isinstance(block, FilePairs | FilePrompts):
        return {}
    return {"against": cell.fixed.evaluate.model_dump(mode="json")}


def data_stages(recipe: Recipe, arms: Sequence[Arm]) -> list[Stage]:
    """What must exist before sizes can be matched: start model, pairs and prompts of every arm."""
    found: list[Stage] = []
    for arm in arms:
        start = start_stage(arm.cell)
        pairs = pairs_stage(arm.cell.data, arm.cell, start, arm.label)
        found += [start, pairs]
        if isinstance(arm.cell.algorithm, OnlineAlgorithm):
            found.append(_prompts_stage(arm.cell, pairs, arm.label))
            if arm.cell.reward_model.data != "same":
                found.append(pairs_stage(arm.cell.reward_model.data, arm.cell, start, f"reward model, {arm.label}"))
    return [*found, _measure_prompts(recipe, start_stage(recipe.baseline))]


def make_plan(recipe: Recipe, arms: Sequence[Arm], sizes: Sizes) -> Plan:
    """Every stage of every arm and seed, with matched sizes.

    Args:
        arms: from :func:`all_arms`; the baseline of a study comes before its values.
        sizes: counted or estimated.
    """
    start = start_stage(recipe.baseline)
    limit = _match_limit(recipe, arms, sizes)
    bases = {arm.study: arm for arm in arms if arm.is_baseline}
    runs = []
    for arm in arms:
        for seed in recipe.seeds:
            planner = _ArmPlanner(recipe, arm, seed, sizes, limit)
            base = _ArmPlanner(recipe, bases[arm.study], seed, sizes, limit)
            runs.append(planner.run(base))
    measured = _measured(recipe, start, start, "start model") | {"policy": start}
    nothing = Arm("", "start", "algorithm", True, recipe.baseline.model_copy(update={"algorithm": NoTraining()}))
    return Plan(recipe, tuple(arms), tuple(runs), ArmRun(nothing, 0, measured))


class _ArmPlanner:
    """Builds the stages of one arm and seed."""

    def __init__(self, recipe: Recipe, arm: Arm, seed: int, sizes: Sizes, limit: int | None) -> None:
        self.recipe, self.arm, self.seed, self.sizes = recipe, arm, seed, sizes
        self.cell = arm.cell
        self.start = start_stage(arm.cell)
        self.pairs = _selected(pairs_stage(arm.cell.data, arm.cell, self.start, arm.label), self.start, sizes, limit)
        self.label = f"{arm.label}, seed {seed}"
        block = arm.cell.algorithm
        self.online = block if isinstance(block, OnlineAlgorithm) else None

    def run(self, base: _ArmPlanner) -> ArmRun:
        """The arm's stages, matched to its study's baseline."""
        stages: dict[str, Stage] = {"start": self.start, "data": self.pairs}
        budgets: dict[str, Budget] = {}
        if self.online is not None:
            stages["prompts"] = _prompts_stage(self.cell, self.pairs, self.arm.label)
            stages["reward"], budgets["reward"] = self.reward(base)
        share = matching.share_of(self.policy_budget(), base.policy_budget(), self.cell.fixed.match)
        matched = self.policy_budget(share)
        stages["policy"] = self.policy(stages, matched)
        if matched is not None:
            budgets["policy"] = matched
        stages |= _measured(self.recipe, stages["policy"], self.start, self.label)
        stages |= self.scores(stages)
        return ArmRun(self.arm, self.seed, stages, budgets, self.pair_size().rows)

    def reward(self, base: _ArmPlanner) -> tuple[Stage, Budget]:
        """The reward model and what it costs."""
        block = self.cell.reward_model
        own, target = self.reward_budget(), base.reward_budget() if base.online else None
        budget = self.reward_budget(matching.share_of(own, target, self.cell.fixed.match))
        settings = block.settings.model_copy(update={"train": self._train(block.settings.train, budget)})
        parents = {"model": self.backbone(), "data": self.reward_pairs()}
        return Stage(
            "reward", {"settings": settings.model_dump(mode="json")}, parents, f"reward model ({self.label})"
        ), budget

    def backbone(self) -> Stage:
        """What the reward model grows from."""
        block = self.cell.reward_model
        model = self.start if block.init == "start" else Stage("given", {"model": block.init}, label=block.init)
        if block.layers is None:
            return model
        return Stage(
            "backbone", {"layers": block.layers}, {"model": model}, f"first {block.layers} layers of {model.label}"
        )

    def reward_pairs(self) -> Stage:
        data = self.cell.reward_model.data
        return (
            self.pairs
            if data == "same"
            else pairs_stage(data, self.cell, self.start, f"reward model, {self.arm.label}")
        )

    def policy(self, stages: Mapping[str, Stage], budget: Budget | None) -> Stage:
        """The stage that trains what is judged."""
        block = self.cell.algorithm
        if isinstance(block, NoTraining) or budget is None:
            return self.start
        if isinstance(block, DpoAlgorithm):
            tuned = block.settings.model_copy(update={"train": self._train(block.settings.train, budget)})
            parents = {"model": self.start, "data": self.pairs}
            return Stage("dpo", {"settings": tuned.model_dump(mode="json")}, parents, f"DPO ({self.label})")
        train = block.settings.train.model_copy(update={"seed": self.seed})
        more: dict[str, Any] = {"algorithm": block.name, "train": train}
        if self.cell.fixed.match != "epochs":
            more["steps"] = budget.rollouts
        settings = block.settings.model_copy(update=more).model_dump(mode="json")
        config = {"settings": settings, "rewards": _weights(block)}
        parents = {"model": self.start, "prompts": stages["prompts"], "reward": stages["reward"]}
        return Stage("online", config, parents, f"{block.name.upper()} ({self.label})")

    def scores(self, stages: Mapping[str, Stage]) -> dict[str, Stage]:
        """What the reward that was maximized says of the policy's and of the start model's answers."""
        if self.online is None:
            return {}
        config = {"rewards": _weights(self.online)}
        before = _measured(self.recipe, self.start, self.start, "start model")["samples"]
        return {
            role: Stage("scores", config, {"samples": samples, "reward": stages["reward"]}, f"rewards ({self.label})")
            for role, samples in (("scores", stages["samples"]), ("start_scores", before))
        }

    def policy_budget(self, share: float = 1.0) -> Budget | None:
        sizes = CellSizes(self.pair_size(), self.prompt_size(), self.response_tokens())
        return matching.policy_budget(self.cell.algorithm, sizes, share)

    def reward_budget(self, share: float = 1.0) -> Budget:
        train = self.cell.reward_model.settings.train
        return matching.row_budget(train, self.reward_size(), train.epochs * share)

    def pair_size(self) -> Size:
        block = self.cell.algorithm
        limit = block.settings.max_tokens if isinstance(block, DpoAlgorithm) else None
        return self.sizes.pairs(self.pairs, self.start, limit)

    def reward_size(self) -> Size:
        """Of the pairs that are trained on, those held out taken away."""
        settings = self.cell.reward_model.settings
        every = self.sizes.pairs(self.reward_pairs(), self.backbone(), settings.max_tokens)
        share = 1 - settings.valid_share
        tokens = None if every.tokens is None else round(every.tokens * share)
        return Size(max(1, round(every.rows * share)), tokens, every.exact)

    def prompt_size(self) -> Size | None:
        if self.online is None:
            return None
        stage = _prompts_stage(self.cell, self.pairs, self.arm.label)
        return self.sizes.prompts(stage, self.start, self.online.settings.max_prompt_tokens)

    def response_tokens(self) -> float | None:
        return self.sizes.response_tokens(self.pairs, self.start, None)

    def _train(self, train: Any, budget: Budget) -> Any:
        return train.model_copy(update={"seed": self.seed, "epochs": budget.epochs})


def _weights(block: OnlineAlgorithm) -> dict[str, float]:
    return {"model": block.model_reward, "length": block.length_reward, "checker": block.checker_reward}


def _selected(pairs: Stage, start: Stage, sizes: Sizes, limit: int | None) -> Stage:
    """The pairs cut to the size that all arms have."""
    if limit is None or sizes.pairs(pairs, start, None).rows <= limit:
        return pairs
    return Stage("selected", {"rows": limit}, {"data": pairs}, f"{limit:,} of {pairs.label}")


def _match_limit(recipe: Recipe, arms: Sequence[Arm], sizes: Sizes) -> int | None:
    asked = recipe.fixed.match_rows
    if asked != "min":
        return asked
    found = []
    for arm in arms:
        start = start_stage(arm.cell)
        found.append(sizes.pairs(pairs_stage(arm.cell.data, arm.cell, start, arm.label), start, None).rows)
    return min(found)


def _prompts_stage(cell: Cell, pairs: Stage, label: str) -> Stage:
    block = cell.prompts
    needs_pairs = isinstance(block, PairPrompts) or block.with_pairs
    config = block.model_dump(mode="json") | _against(block, cell)
    return Stage("prompts", config, {"pairs": pairs} if needs_pairs else {}, f"prompts ({label})")


def _measure_prompts(recipe: Recipe, start: Stage) -> Stage:
    cell = recipe.baseline.model_copy(update={"prompts": recipe.fixed.measure.prompts})
    return _prompts_stage(cell, pairs_stage(cell.data, cell, start, "baseline"), "to measure with")


def _measured(recipe: Recipe, model: Stage, start: Stage, label: str) -> dict[str, Stage]:
    """Evaluation and samples of a model."""
    block = recipe.fixed.measure
    each = max(1, block.best_of) if model == start else 1
    config = {"rows": block.rows, "max_tokens": block.max_tokens, "each": each, "truth": block.truth}
    parents = {"model": model, "reference": start, "prompts": _measure_prompts(recipe, start)}
    evaluate = recipe.fixed.evaluate.model_dump(mode="json")
    return {
        "evaluate": Stage("evaluate", evaluate, {"model": model}, f"tests of {label}"),
        "samples": Stage("samples", config, parents, f"answers of {label}"),
    }


def keep_arms(plan: Plan, arms: Sequence[Arm]) -> Plan:
    """The plan of some of its arms."""
    return replace(plan, arms=tuple(arms), runs=tuple(run for run in plan.runs if run.arm in arms))
