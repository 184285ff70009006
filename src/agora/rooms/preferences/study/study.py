"""The main flow: expand a recipe, prove that one aspect varies, make the stages, compare, report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from agora.core.runs import RunDir
from agora.core.tables import read_json, write_json
from agora.rooms.preferences.study.advice import recommend
from agora.rooms.preferences.study.collect import Collector, across_contexts
from agora.rooms.preferences.study.execute import CountedSizes, Executor
from agora.rooms.preferences.study.plan import Plan, all_arms, data_stages, keep_arms, make_plan, selected_arms
from agora.rooms.preferences.study.proof import Proof, prove, require_clean
from agora.rooms.preferences.study.recipe import Arm, Recipe
from agora.rooms.preferences.study.report import write_report
from agora.rooms.preferences.study.result import Cost, StudyReport
from agora.rooms.preferences.study.stage import Stage
from agora.rooms.preferences.study.store import StageStore
from agora.rooms.preferences.study.work import Workshop
from agora.rooms.preferences.types import EvalResult

REPORT, RESULT = "report.html", "study.json"


def run_study(
    recipe: Recipe,
    run: RunDir,
    *,
    store: Path | None = None,
    only: Sequence[str] = (),
    force: bool = False,
    jobs: int = 1,
    workshop: Workshop | None = None,
    verify: bool = False,
) -> StudyReport:
    """Run a recipe: whatever stage is finished is reused, the rest is computed, and the report is written.

    Args:
        recipe: what to run.
        run: an open run folder.
        store: of stages, to share them with other studies; in the run folder when None.
        only: values, studies or ``study.value``; nothing runs all.
        force: run studies in which more than one aspect differs too; the report says so.
        jobs: processes; 1 works in this one.
        workshop: how stages are done.
        verify: hash large files of finished stages too.

    Raises:
        ConfigError: a study is confounded.
        DataError: a finished stage was changed by hand.
    """
    arms = all_arms(recipe)
    proofs = proofs_of(arms)
    confounded = require_clean([p for found in proofs.values() for p in found], force=force)
    workshop = workshop or Workshop()
    executor = Executor(StageStore(store or run.path / "stages", verify=verify), workshop, jobs=jobs)
    sessions = _Sessions(run, executor)
    wanted = {arm.label for arm in selected_arms(arms, only)}
    matched = arms if recipe.fixed.match_rows == "min" else [arm for arm in arms if arm.label in wanted]
    executor.run(data_stages(recipe, matched))
    sessions.save()
    plan = make_plan(recipe, matched, CountedSizes(executor))
    plan = keep_arms(plan, [arm for arm in matched if arm.label in wanted])
    for goals in by_cost(plan):
        executor.run(goals)
        sessions.save()
    return _report(recipe, run, plan, executor, sessions, proofs, confounded, workshop)


def proofs_of(arms: Sequence[Arm]) -> dict[str, list[Proof]]:
    """The proofs of every study."""
    names = dict.fromkeys(arm.study for arm in arms)
    return {name: prove([arm for arm in arms if arm.study == name]) for name in names}


def by_cost(plan: Plan) -> list[list[Stage]]:
    """Goals in the order in which they tell most for their price: reward models, then DPO, then what samples."""
    start = list(plan.start.stages.values())
    rewards = [run.stages["start_scores"] for run in plan.runs if "start_scores" in run.stages]
    direct = [s for run in plan.runs if run.policy.kind != "online" for s in run.stages.values()]
    return [[*start, *rewards], direct, plan.goals()]


class _Sessions:
    """What each session of a run folder spent, kept so that a resumed study knows its whole cost."""

    def __init__(self, run: RunDir, executor: Executor) -> None:
        self._file = run.file("sessions.json")
        self._before: list[dict[str, Any]] = read_json(self._file) if self._file.is_file() else []
        self._executor = executor

    def all(self) -> list[dict[str, Any]]:
        """Earlier sessions and this one."""
        ledger = self._executor.ledger
        now = {"working": ledger.working, "overhead": ledger.overhead, "busy": ledger.busy, "jobs": self._executor.jobs}
        return [*self._before, now | {"computed": len(set(ledger.done))}]

    def save(self) -> None:
        """Keep what was spent so far."""
        write_json(self._file, self.all())


def _report(
    recipe: Recipe,
    run: RunDir,
    plan: Plan,
    executor: Executor,
    sessions: _Sessions,
    proofs: dict[str, list[Proof]],
    confounded: bool,
    workshop: Workshop,
) -> StudyReport:
    collector = Collector(executor, plan, _strata(recipe, workshop))
    shown = {arm.label for arm in plan.arms}
    clean = {name: [p for p in found if f"{name}: {p.value}" in shown] for name, found in proofs.items()}
    studies = collector.studies(clean)
    spent = sessions.all()
    cost = Cost(
        tuple(collector.cost()),
        sum(s["working"] for s in spent),
        sum(s["busy"] for s in spent),
        sum(s["overhead"] for s in spent),
        executor.jobs,
        len(executor.artifacts) - len(set(executor.ledger.done)),
        len(set(executor.ledger.done)),
    )
    found = StudyReport(
        recipe.title,
        run.file(REPORT),
        confounded,
        tuple(collector.categories),
        collector.start(),
        tuple(studies),
        tuple(collector.rewards()),
        cost,
        recommend(studies, collector.categories, confounded=confounded),
        across_contexts(studies),
    )
    _store(run, recipe, plan, found)
    return found


def _store(run: RunDir, recipe: Recipe, plan: Plan, found: StudyReport) -> None:
    info = run.info
    facts = {
        "start model": recipe.fixed.model,
        "seeds": ", ".join(map(str, recipe.seeds)),
        "arms": len(plan.arms),
        "models compared": len({run.policy.key for run in plan.runs}),
        "matched": recipe.fixed.match,
        "pairs of every arm": recipe.fixed.match_rows or "as they come",
        "Agora": str(info["version"]),
        "created": str(info["created"]),
    }
    write_report(found, recipe, command=str(info["command"]), facts=facts, path=found.report)
    write_json(run.file(RESULT), found.as_json())
    for study in found.studies:
        for arm in study.arms[1:]:
            if (effect := arm.effect()) is not None:
                run.metric("study/effect", effect.difference.estimate, arm=arm.arm.label)


def _strata(recipe: Recipe, workshop: Workshop) -> Callable[[EvalResult], str]:
    tests = {test.name: test for test in workshop.tests(recipe.fixed.evaluate)}
    return lambda result: tests[result.test].stratum(result) if result.test in tests else ""
