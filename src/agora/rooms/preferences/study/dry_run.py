"""A recipe on paper: its cells, its stages and what they share, before anything is read or trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agora.rooms.preferences.study.blocks import MicrocosmDemonstrations, StartBlock
from agora.rooms.preferences.study.matching import Size, row_budget
from agora.rooms.preferences.study.plan import ArmRun, Plan, all_arms, keep_arms, make_plan, selected_arms
from agora.rooms.preferences.study.proof import Proof
from agora.rooms.preferences.study.recipe import Recipe
from agora.rooms.preferences.study.stage import Stage, in_order
from agora.rooms.preferences.study.store import RECORD
from agora.rooms.preferences.study.study import proofs_of

_SHARE_OF_UNTIED = 1.0  # every instruction may give a pair; how many do is known after they were made


class EstimatedSizes:
    """Sizes as far as the recipe tells them: no file is read."""

    def pairs(self, stage: Stage, model: Stage, max_tokens: int | None) -> Size:
        """What the sources are said to hold; for the microcosm one pair an instruction, the most there can be."""
        if stage.kind == "selected":
            every = self.pairs(stage.parents["data"], model, max_tokens)
            return Size(min(stage.config["rows"], every.rows), exact=False)
        if stage.config["kind"] == "microcosm":
            return Size(stage.config["instructions"], exact=False)
        rows = _planned(stage.config["sources"])
        cap = stage.config["cap"]
        return Size(rows if cap is None else min(cap, rows), exact=False)

    def prompts(self, stage: Stage, model: Stage, max_tokens: int | None) -> Size:
        """The same for prompts."""
        rows = self.pairs(stage.parents["pairs"], model, max_tokens).rows if "pairs" in stage.parents else 0
        if stage.config["kind"] == "microcosm":
            rows += stage.config["instructions"]
        elif stage.config["kind"] == "files":
            rows += _planned(stage.config["sources"])
        return Size(max(1, rows), exact=False)

    def response_tokens(self, stage: Stage, model: Stage, max_tokens: int | None) -> float | None:
        """Unknown before the pairs are rendered."""
        return None


@dataclass(frozen=True, slots=True)
class PlannedArm:
    """One arm on paper: what one seed trains."""

    study: str
    value: str
    algorithm: str
    pairs: int
    reward_updates: int | None
    policy_updates: int | None
    rollouts: int | None
    own_stages: int  # a seed's stages that no arm before it has


@dataclass(frozen=True, slots=True)
class DryRun:
    """A whole recipe on paper.

    Attributes:
        arms: in the order of the studies.
        stages: by kind: how many differ, and how many there would be if nothing were shared.
        confounded: values that differ in more than the varied block.
        finished: stages whose folders are in the store already; None where there is no store yet.
        notes: what only the data will tell.
    """

    title: str
    seeds: tuple[int, ...]
    arms: tuple[PlannedArm, ...]
    stages: dict[str, tuple[int, int]]
    start: str
    proofs: tuple[Proof, ...]
    confounded: tuple[str, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The plan as plain JSON values."""
        from dataclasses import asdict

        return {
            "title": self.title,
            "seeds": list(self.seeds),
            "start": self.start,
            "cells": len(self.arms) * len(self.seeds),
            "arms": [asdict(arm) for arm in self.arms],
            "stages": {kind: {"distinct": d, "unshared": n} for kind, (d, n) in self.stages.items()},
            "proofs": [proof.as_json() for proof in self.proofs],
            "confounded": list(self.confounded),
            "notes": list(self.notes),
        }


def dry_run(recipe: Recipe, *, only: Sequence[str] = ()) -> DryRun:
    """Plan a recipe without reading a row or loading a model.

    Raises:
        UsageError: a name in `only` fits no value.
    """
    arms = all_arms(recipe)
    proofs = [p for found in proofs_of(arms).values() for p in found]
    plan = make_plan(recipe, arms, EstimatedSizes())
    plan = keep_arms(plan, selected_arms(arms, only))
    shown = {(arm.study, arm.value) for arm in plan.arms}
    return DryRun(
        recipe.title,
        recipe.seeds,
        tuple(_planned_arms(plan)),
        _stages(plan),
        _start(recipe),
        tuple(p for p in proofs if (p.study, p.value) in shown),
        tuple(f"{p.study}: {p.value}" for p in proofs if not p.clean and (p.study, p.value) in shown),
        tuple(_notes(recipe)),
    )


def finished_stages(store: Path) -> int:
    """Stages in a store that are finished, whatever they belong to."""
    return sum(1 for _ in store.glob(f"*/{RECORD}"))


def _planned(sources: Sequence[dict[str, Any]]) -> int:
    total = 0
    for source in sources:
        known = source.get("rows") or source.get("expected_rows") or source.get("cap") or 0
        if source.get("fraction"):
            known = round(known * source["fraction"])
        total += min(known, source.get("cap") or known)
    return max(1, total)


def _planned_arms(plan: Plan) -> list[PlannedArm]:
    seen: set[str] = set()
    found = []
    for arm in plan.arms:
        run: ArmRun = plan.of(arm)[0]
        keys = {stage.key for stage in in_order(run.stages.values())}
        policy, reward = run.budgets.get("policy"), run.budgets.get("reward")
        found.append(
            PlannedArm(
                arm.study,
                arm.value,
                arm.cell.algorithm.name,
                run.rows,
                reward.updates if reward else None,
                policy.updates if policy else None,
                policy.rollouts if policy else None,
                len(keys - seen),
            )
        )
        seen |= keys
    return found


def _stages(plan: Plan) -> dict[str, tuple[int, int]]:
    """By kind: distinct stages, and how many every arm and seed would run alone."""
    distinct = in_order(plan.goals())
    alone = [stage for run in plan.runs for stage in in_order(run.stages.values())]
    kinds = dict.fromkeys(stage.kind for stage in distinct if stage.kind != "given")
    return {kind: (sum(s.kind == kind for s in distinct), sum(s.kind == kind for s in alone)) for kind in kinds}


def _start(recipe: Recipe) -> str:
    start: StartBlock | None = recipe.fixed.start
    if start is None:
        return recipe.fixed.model
    data = start.data
    rows = data.rows if isinstance(data, MicrocosmDemonstrations) else data.source.planned_rows
    if rows is None:
        return f"{recipe.fixed.model}, fine-tuned"
    budget = row_budget(start.settings.train, Size(rows))
    return f"{recipe.fixed.model}, fine-tuned on {rows:,} conversations in {budget.updates:,} updates"


def _notes(recipe: Recipe) -> list[str]:
    notes = []
    if recipe.fixed.match_rows == "min":
        notes.append("every arm gets as many pairs as the smallest has, which is known once they are made")
    if recipe.fixed.match == "tokens":
        notes.append("updates are matched by tokens once the rows are rendered; those shown are as configured")
    return notes
