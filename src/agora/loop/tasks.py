"""The held-out tasks that every model is judged on."""

from __future__ import annotations

import random

from agora.core.records import Task
from agora.loop.settings import LoopConfig
from agora.microcosm.tasks import exercise_task, held_out_exercises
from agora.microcosm.world import World


def held_out_tasks(config: LoopConfig) -> list[Task]:
    """Distinct exercises of the microcosm that no model there was trained on, even over the five groups."""
    rng = random.Random(f"loop/tasks/{config.seed}")
    return [exercise_task(exercise) for exercise in held_out_exercises(World(), rng, config.tasks)]
