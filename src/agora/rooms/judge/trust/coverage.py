"""Do the intervals that a judging reports hold what they promise? Studies of known truth and known judge's error.

Each study draws tasks from a large pool, lets a judge with dials grade two models and compare them, and reports as any
judging does: the paired difference of WB-Scores, and WB-Reward, each with its bootstrap interval over tasks. The pool's
mean, by the checker, is the truth. A judge that errs at random shrinks it by a factor that the dials tell
(:meth:`~agora.rooms.judge.asking.dials.Dials.slope`); intervals are divided by it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from statistics import fmean
from typing import Any, NamedTuple

from agora.core.progress import progress
from agora.core.records import Answer, Task, Verdict
from agora.core.stats import Interval, wilson
from agora.microcosm.tasks import exercise_task, held_out_exercises
from agora.microcosm.world import World
from agora.rooms.judge.asking.dials import DialJudge, Dials
from agora.rooms.judge.asking.judges import RuleJudge
from agora.rooms.judge.scoring.metrics import paired_difference
from agora.rooms.judge.scoring.reward import reward_report
from agora.rooms.judge.types import Order, OrderPolicy, PairItem, ScoreItem

_FIRST, _SECOND = "better", "worse"
# Weak models ramble: their defects lengthen answers, so that a judge that goes by length errs in one direction.
_WORDY = ("verbose", "repeated")
_NO_ERROR = Dials()


class Coverage(NamedTuple):
    """How often the intervals of one figure held the truth.

    Args:
        truth: the true value, on the published scale.
        held: share of the studies whose interval did, with Wilson's interval.
        mean: mean estimate over the studies, after dividing by the judge's slope; ``mean - truth`` is the judge's bias.
        width: mean width of the intervals.
    """

    truth: float
    held: Interval
    mean: float
    width: float


@dataclass(frozen=True, slots=True)
class CoverageStudy:
    """What the studies of one judge came to."""

    judge: str
    order: str
    num_studies: int
    num_tasks: int
    score_difference: Coverage
    reward: Coverage

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "judge": self.judge,
            "order": self.order,
            "num_studies": self.num_studies,
            "num_tasks": self.num_tasks,
            "score_difference": self.score_difference._asdict(),
            "reward": self.reward._asdict(),
        }


class _Case(NamedTuple):
    task: Task
    better: Answer
    worse: Answer


def coverage_study(
    dials: Dials = _NO_ERROR,
    *,
    order: str = "hash",
    num_studies: int = 400,
    num_tasks: int = 120,
    pool_size: int = 2000,
    skill: tuple[float, float] = (0.8, 0.55),
    seed: int = 0,
    n_boot: int = 1000,
) -> CoverageStudy:
    """Simulate judgings and count how often their 95 % intervals hold the truth.

    Args:
        dials: the judge's known error.
        order: an order policy, or ``first``: the candidate always stands first, which no judging here does.
        num_studies: judgings.
        num_tasks: tasks of each, drawn from the pool with replacement.
        pool_size: held-out exercises; their mean is the truth.
        skill: shares of right answers of the candidate and the baseline; their other answers ramble.
        seed: of the pool, the draws and the judge.
        n_boot: bootstrap resamples.
    """
    world = _remembering(World())
    checker = RuleJudge(world)
    pool = _pool(world, pool_size, skill, seed)
    score_truth, reward_truth = _truth(pool, checker)
    rng = random.Random(f"judge/coverage/{seed}")
    differences, rewards = list[Interval](), list[Interval]()
    with progress(num_studies, "studies", unit="study") as bar:
        for study in range(num_studies):
            drawn = [_renamed(case, i) for i, case in enumerate(rng.choices(pool, k=num_tasks))]
            judge = DialJudge(dials, seed=rng.getrandbits(32), checker=checker)
            differences.append(_score_difference(drawn, judge, study, n_boot).rescaled(1 / dials.slope("score")))
            rewards.append(_reward(drawn, judge, order, study, n_boot).rescaled(1 / dials.slope("pair")))
            bar.advance()
    return CoverageStudy(
        DialJudge(dials, checker=checker).name,
        order,
        num_studies,
        num_tasks,
        _coverage(score_truth, differences),
        _coverage(reward_truth, rewards),
    )


def _remembering(world: World) -> World:
    """The world with its two costly answers kept: every study meets the same texts."""
    world.recognize = cache(world.recognize)  # type: ignore[method-assign]
    world.check = cache(world.check)  # type: ignore[method-assign]
    return world


def _pool(world: World, size: int, skill: tuple[float, float], seed: int) -> list[_Case]:
    rng = random.Random(f"judge/coverage/pool/{seed}")
    cases = []
    for exercise in held_out_exercises(world, rng, size):

        def output(share: float, exercise: Any = exercise) -> str:
            if rng.random() < share:
                return world.answer(exercise, rng)
            return world.flawed_answer(exercise, rng, rng.choice(_WORDY))

        task = exercise_task(exercise)
        better, worse = (
            Answer(task.id, name, output(share)) for name, share in zip((_FIRST, _SECOND), skill, strict=True)
        )
        cases.append(_Case(task, better, worse))
    return cases


def _truth(pool: Sequence[_Case], checker: RuleJudge) -> tuple[float, float]:
    """The pool's score difference and reward by the checker, on the published scales."""
    better = [v.value or 0.0 for v in checker.score(ScoreItem(c.task, c.better) for c in pool)]
    worse = [v.value or 0.0 for v in checker.score(ScoreItem(c.task, c.worse) for c in pool)]
    outcomes = checker.compare(PairItem(c.task, c.better, c.worse, "candidate_first") for c in pool)
    return 20 * (fmean(better) - fmean(worse)), 100 * fmean(v.value or 0.0 for v in outcomes)


def _renamed(case: _Case, i: int) -> _Case:
    """A draw of its own: one exercise may be drawn twice."""
    task = replace(case.task, id=f"{case.task.id}-{i}")
    return _Case(task, replace(case.better, task_id=task.id), replace(case.worse, task_id=task.id))


def _score_difference(cases: Sequence[_Case], judge: DialJudge, seed: int, n_boot: int) -> Interval:
    first = list(judge.score(ScoreItem(c.task, c.better) for c in cases))
    second = list(judge.score(ScoreItem(c.task, c.worse) for c in cases))
    found = paired_difference(first, second, seed=seed, n_boot=n_boot).interval
    assert found is not None
    return found


def _reward(cases: Sequence[_Case], judge: DialJudge, order: str, seed: int, n_boot: int) -> Interval:
    orders = _orders(order, seed)
    items = [PairItem(c.task, c.better, c.worse, shown) for c in cases for shown in orders(c.task.id)]
    verdicts: list[Verdict] = list(judge.compare(items))
    found = reward_report(verdicts, num_tasks=len(cases), seed=seed, n_boot=n_boot).baselines[_SECOND].interval
    assert found is not None
    return found


def _orders(order: str, seed: int) -> Callable[[str], tuple[Order, ...]]:
    if order == "first":
        return lambda task: ("candidate_first",)
    policy = OrderPolicy.parse(order)
    return lambda task: policy.orders(task, _FIRST, seed=seed)


def _coverage(truth: float, intervals: Sequence[Interval]) -> Coverage:
    held = wilson(sum(i.low <= truth <= i.high for i in intervals), len(intervals))
    return Coverage(truth, held, fmean(i.estimate for i in intervals), fmean(i.high - i.low for i in intervals))
