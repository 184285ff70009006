"""The held-out tasks that every model is judged on."""

from __future__ import annotations

import random

from agora.core.records import Message, Provenance, Task
from agora.loop.settings import LoopConfig
from agora.microcosm.world import Exercise, World


def held_out_tasks(config: LoopConfig) -> list[Task]:
    """Distinct exercises of the microcosm that no model there was trained on, even over the five groups."""
    world = World()
    rng = random.Random(f"loop/tasks/{config.seed}")
    found: dict[str, Exercise] = {}
    for exercise in world.exercises(rng, config.tasks * 20, split="heldout"):
        found.setdefault(exercise.id, exercise)
        if len(found) == config.tasks:
            break
    return [exercise_task(exercise) for exercise in found.values()]


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
