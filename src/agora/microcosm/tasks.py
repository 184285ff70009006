"""The microcosm's exercises as benchmark tasks."""

from __future__ import annotations

import random

from agora.core.records import Message, Provenance, Task
from agora.microcosm.world import Exercise, World


def held_out_exercises(world: World, rng: random.Random, n: int) -> list[Exercise]:
    """Distinct exercises that no model of the microcosm was trained on, even over the five groups; n at most."""
    found: dict[str, Exercise] = {}
    for exercise in world.exercises(rng, n * 20, split="heldout"):
        found.setdefault(exercise.id, exercise)
        if len(found) == n:
            break
    return list(found.values())


def exercise_task(exercise: Exercise) -> Task:
    """An exercise as a benchmark task with its checklist."""
    return Task(
        id=exercise.id,
        benchmark="microcosm",
        version="1",
        messages=(Message("user", exercise.instruction, id="0"),),
        checklist=tuple(item.question for item in exercise.checklist),
        primary_tag=exercise.category,
        difficulty=exercise.difficulty,
        reference=exercise.reference,
        provenance=Provenance("microcosm", exercise.id, licence="Apache-2.0", consent="synthetic", language="English"),
        split="public",
        meta={"family": exercise.family},
    )
