"""The microcosm's own suite: held-out exercises with programmatic checkers, a test for each of the twelve task kinds.

Its categories are WildBench's five groups, so a study has categories and per-example scores where nothing need be
downloaded and the right answers are known.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from agora.core.errors import ConfigError
from agora.core.records import Message
from agora.engines.types import Sampling
from agora.microcosm.world import CATEGORIES, FAMILIES, Exercise, World
from agora.microcosm.world.types import GROUP_OF_CATEGORY
from agora.rooms.preferences.suite.protocol import Answered, Ask, Request, Test, mean_of
from agora.rooms.preferences.types import EvalItem, EvalResult

NUM_ITEMS = 50
_MAX_TOKENS = 96
_PATIENCE = 40  # draws for each item wanted: some kinds repeat themselves


class MicrocosmTest(Test):
    """Held-out exercises of one kind; an answer is right when every essential check passes.

    Args:
        kind: one of the twelve task categories, e.g. "Math".
        n: how many distinct exercises.
        world: whose exercises; the shipped models' world when None.
    """

    unit = "% right"

    def __init__(self, kind: str, *, n: int = NUM_ITEMS, world: World | None = None) -> None:
        if kind not in CATEGORIES:
            raise ConfigError(f"the microcosm has no task kind {kind!r}", hint=f"known: {', '.join(CATEGORIES)}")
        self.kind, self.n = kind, n
        self.name, self.category = f"microcosm/{slug(kind)}", GROUP_OF_CATEGORY[kind]
        self.world = world or World(seed=0)
        self._exercises: dict[str, Exercise] = {}

    def items(self, *, limit: int | None = None, seed: int = 0) -> list[EvalItem]:
        """Distinct exercises that no model of the microcosm was trained on, drawn from the seed."""
        wanted = self.n if limit is None else min(limit, self.n)
        families = [family.name for family in FAMILIES.values() if family.category == self.kind]
        rng = random.Random(f"preferences/suite/{self.kind}/{seed}")
        found: dict[str, Exercise] = {}
        for exercise in self.world.exercises(rng, wanted * _PATIENCE, split="heldout", families=families):
            if len(found) == wanted:
                break
            found.setdefault(exercise.id, exercise)
        self._exercises |= found
        return [
            EvalItem(
                test=self.name,
                category=self.category,
                id=exercise.id,
                messages=(Message("user", exercise.instruction),),
                target=exercise.reference,
                meta={"family": exercise.family, "difficulty": exercise.difficulty},
            )
            for exercise in found.values()
        ]

    def request(self, item: EvalItem) -> Request:
        """One greedy answer of at most 96 tokens."""
        return Ask(Sampling(temperature=0.0, max_tokens=_MAX_TOKENS))

    def score(self, answered: Answered) -> EvalResult:
        """1 if all essential checks pass; the checklist's grade from 1 to 10 is kept beside it."""
        checked = self.world.check(self._exercises[answered.item.id], answered.texts[0])
        meta = {**answered.item.meta, "grade": checked.score, "passed": list(checked.passed)}
        return answered.result(float(checked.correct), prediction=f"grade {checked.score}", meta=meta)

    def secondary(self, results: Sequence[EvalResult]) -> dict[str, float | None]:
        """Mean grade, 1 to 10."""
        return {"grade": mean_of(results, "grade", scale=1.0)}


def microcosm_suite(*, n: int = NUM_ITEMS, world: World | None = None) -> list[Test]:
    """All twelve tests."""
    shared = world or World(seed=0)
    return [MicrocosmTest(kind, n=n, world=shared) for kind in CATEGORIES]


def slug(kind: str) -> str:
    """``Coding & Debugging`` -> ``coding-debugging``."""
    return "-".join("".join(c if c.isalnum() else " " for c in kind.lower()).split())
