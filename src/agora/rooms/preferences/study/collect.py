"""From finished stages to what the report tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from agora.core.records import JsonMap
from agora.core.stats import Interval, paired_bootstrap
from agora.core.tables import read_records
from agora.rooms.preferences.best_of_n import best_of_n
from agora.rooms.preferences.pair_accuracy import PairTable
from agora.rooms.preferences.pair_scores import ScoredPair
from agora.rooms.preferences.paired_tests import PairedTest, compare_by_dataset
from agora.rooms.preferences.study.effects import AVERAGE, N_BOOT, Effect, Scored, categories_of, compare, with_holm
from agora.rooms.preferences.study.execute import Executor
from agora.rooms.preferences.study.measuring import read_scores
from agora.rooms.preferences.study.microcosm_data import SampledAnswer
from agora.rooms.preferences.study.plan import ArmRun, Plan
from agora.rooms.preferences.study.proof import Proof
from agora.rooms.preferences.study.recipe import Arm
from agora.rooms.preferences.study.result import Alarm, ArmResult, CostRow, RewardRow, SeedRow, StudyResult
from agora.rooms.preferences.study.stage import KINDS, Stage, in_order
from agora.rooms.preferences.study.work import ROWS
from agora.rooms.preferences.suite.run import read_results
from agora.rooms.preferences.types import EvalResult

_SAMPLED = ("tokens_an_answer", "chars_an_answer", "eos_rate", "kl1", "kl3", "truth")


class Collector:
    """Reads the stages of a finished plan.

    Args:
        executor: that ran them.
        plan: what was run.
        stratum_of: the part of its test that a result belongs to.
    """

    def __init__(self, executor: Executor, plan: Plan, stratum_of: Callable[[EvalResult], str]) -> None:
        self.executor, self.plan = executor, plan
        self._stratum_of = stratum_of
        self._scored: dict[str, Scored] = {}
        self._judged: set[str] = set()  # tests whose scores come from a judge
        self.start_scored = self.scored(plan.start)

    @property
    def categories(self) -> list[str]:
        """Categories of the tests."""
        return categories_of([self.start_scored])

    def scored(self, run: ArmRun) -> Scored:
        """A run's results an example."""
        stage = run.stages["evaluate"]
        if stage.key not in self._scored:
            results = read_results(self.executor.folder(stage))
            self._judged |= {result.test for result in results if result.meta.get("judge")}
            self._scored[stage.key] = Scored.of(results, self._stratum_of)
        return self._scored[stage.key]

    def studies(self, proofs: Mapping[str, Sequence[Proof]]) -> list[StudyResult]:
        """Every study with its effects, p-values corrected within each."""
        names = dict.fromkeys(arm.study for arm in self.plan.arms)
        return [self._study(name, proofs.get(name, ())) for name in names]

    def start(self) -> ArmResult:
        """The start model as it is."""
        run = self.plan.start
        return ArmResult(run.arm, (self._row(run),))

    def rewards(self) -> list[RewardRow]:
        """Every reward model once, by the first arm that uses it."""
        found: dict[str, RewardRow] = {}
        for run in self.plan.runs:
            stage = run.stages.get("reward")
            if stage is not None and stage.key not in found:
                found[stage.key] = self._reward(run, stage)
        return list(found.values())

    def cost(self) -> list[CostRow]:
        """What the stages of each kind took, each stage once."""
        rows = []
        for kind in ("given", *KINDS):
            stages = [stage for stage in in_order(self.plan.goals()) if stage.kind == kind]
            made = list({a.fingerprint: a for a in (self.executor.artifacts[s.key] for s in stages)}.values())
            if not made or kind == "given":
                continue
            tokens = [a.tokens for a in made if a.tokens is not None]
            peaks = [a.peak_bytes for a in made if a.peak_bytes is not None]
            done = {self.executor.artifacts[key].fingerprint for key in self.executor.ledger.done}
            rows.append(
                CostRow(
                    kind,
                    len(made),
                    sum(a.fingerprint in done for a in made),
                    sum(a.seconds for a in made),
                    sum(a.cpu_seconds for a in made),
                    sum(tokens) if tokens else None,
                    max(peaks, default=None),
                )
            )
        return rows

    def _study(self, name: str, proofs: Sequence[Proof]) -> StudyResult:
        arms = [arm for arm in self.plan.arms if arm.study == name]
        base = self._by_seed(arms[0])
        columns = [AVERAGE, *self.categories]
        tables = with_holm([compare(self._by_seed(arm), base, seed=7) for arm in arms[1:]], columns)
        results = [self._arm(arms[0], [])]
        results += [self._arm(arm, table) for arm, table in zip(arms[1:], tables, strict=True)]
        plan = self.plan.recipe.studies[name]
        return StudyResult(name, plan.vary, plan.question, tuple(results), tuple(proofs))

    def _by_seed(self, arm: Arm) -> dict[int, Scored]:
        return {run.seed: self.scored(run) for run in self.plan.of(arm)}

    def _arm(self, arm: Arm, effects: Sequence[Effect]) -> ArmResult:
        runs = self.plan.of(arm)
        scored = self._by_seed(arm)
        against = compare(scored, dict.fromkeys(scored, self.start_scored), seed=7)
        rise = self._reward_rise(runs)
        result = ArmResult(arm, tuple(map(self._row, runs)), tuple(effects), tuple(against), rise)
        return replace(result, alarms=tuple(self._alarms(result)))

    def _alarms(self, result: ArmResult) -> Iterable[Alarm]:
        """Over-optimization: the reward rose and a judge-free test fell, both by more than their intervals."""
        rise = result.reward_rise
        if rise is None or not rise.low > 0:
            return
        tests = set(self.start_scored.category) - self._judged
        for effect in result.against_start:
            alone = [t for t, c in self.start_scored.category.items() if c == effect.column]
            name = alone[0] if len(alone) == 1 else effect.column
            if name in tests and effect.difference.high < 0:
                yield Alarm(result.arm.label, name, rise, effect.difference)

    def _reward_rise(self, runs: Sequence[ArmRun]) -> Interval | None:
        """The maximized reward of the policy's answers minus that of the start model's, on the same prompts."""
        after: list[float | None] = []
        before: list[float | None] = []
        prompts: list[str] = []
        for run in runs:
            if "scores" not in run.stages:
                return None
            sides = [self._totals(run.stages[role]) for role in ("start_scores", "scores")]
            for prompt in sides[0]:
                prompts.append(prompt)
                before.append(sides[0][prompt])
                after.append(sides[1].get(prompt))
        return paired_bootstrap(after, before, seed=11, n_boot=N_BOOT, clusters=prompts)

    def _totals(self, stage: Stage) -> dict[str, float | None]:
        return {
            row["prompt_id"]: row["total"] for row in read_scores(self.executor.folder(stage)) if not row["sample_no"]
        }

    def _row(self, run: ArmRun) -> SeedRow:
        own = [stage for role, stage in run.stages.items() if role != "start_scores"]
        made = {a.fingerprint: a for a in (self.executor.artifacts[s.key] for s in in_order(own))}.values()
        sampled: JsonMap = self.executor.artifacts[run.stages["samples"].key].metrics
        scores = self.executor.artifacts[run.stages["scores"].key].metrics if "scores" in run.stages else {}
        reward = self.executor.artifacts[run.stages["reward"].key].metrics if "reward" in run.stages else {}
        policy = self.executor.artifacts[run.policy.key].metrics
        return SeedRow(
            run.seed,
            self.scored(run).figures(),
            {name: sampled.get(name) for name in _SAMPLED} | {name: scores.get(name) for name in ("reward", "total")},
            {name: value for name, value in reward.items() if isinstance(value, int | float)},
            run.budgets,
            run.rows,
            sum(a.tokens or 0 for a in made),
            sum(a.seconds for a in made),
            max((a.peak_bytes for a in made if a.peak_bytes), default=None),
            tuple(dict.fromkeys([*policy.get("notes", ()), *reward.get("notes", ())])),
        )

    def _reward(self, run: ArmRun, stage: Stage) -> RewardRow:
        artifact = self.executor.artifacts[stage.key]
        samples = list(read_records(self.executor.folder(self.plan.start.stages["samples"]) / ROWS, SampledAnswer))
        given = {(row["prompt_id"], row["sample_no"]): row for row in self._start_rows(run)}
        rewards = [given[a.prompt_id, a.sample_no]["reward"] for a in samples]
        accuracy, longer = _accuracy(samples, rewards)
        gain, n = _best_of(samples, rewards)
        backbone = self.executor.artifacts[stage.parents["model"].key]
        policy = self.scored(run).figures()[AVERAGE]
        return RewardRow(
            f"{run.arm.label}, seed {run.seed}",
            run.seed,
            backbone.metrics.get("parameters"),
            artifact.metrics.get("held_out/accuracy"),
            accuracy,
            longer,
            gain,
            n,
            policy,
        )

    def _start_rows(self, run: ArmRun) -> list[JsonMap]:
        return list(read_scores(self.executor.folder(run.stages["start_scores"])))


def across_contexts(studies: Sequence[StudyResult]) -> dict[str, tuple[PairedTest, ...]]:
    """Values that several studies compare in different surroundings, with the surroundings as the units of a t test."""
    together: Counter[tuple[str, str]] = Counter((s.vary, arm.arm.value) for s in studies for arm in s.arms[1:])
    found: dict[str, tuple[PairedTest, ...]] = {}
    for (vary, value), count in together.items():
        if count < 2:
            continue
        pairs = {
            s.name: (s.baseline, arm) for s in studies if s.vary == vary for arm in s.arms[1:] if arm.arm.value == value
        }
        columns = [e.column for e in next(iter(pairs.values()))[1].effects]
        treated = {name: {c: arm.mean(c) for c in columns} for name, (_, arm) in pairs.items()}
        untreated = {name: {c: base.mean(c) for c in columns} for name, (base, _) in pairs.items()}
        found[f"{vary}: {value}"] = tuple(compare_by_dataset(untreated, treated, columns))
    return found


def _by_prompt(samples: Sequence[SampledAnswer]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for i, answer in enumerate(samples):
        groups.setdefault(answer.prompt_id, []).append(i)
    return groups


def _accuracy(
    samples: Sequence[SampledAnswer], rewards: Sequence[float | None]
) -> tuple[Interval | None, float | None]:
    """How often the reward, and how often length, orders a prompt's truly best and worst answers as the truth does."""
    scored = []
    for prompt_id, members in _by_prompt(samples).items():
        ranked = sorted((i for i in members if samples[i].truth is not None), key=lambda i: samples[i].truth or 0.0)
        if len(ranked) > 1 and samples[ranked[0]].truth != samples[ranked[-1]].truth:
            best, worst = ranked[-1], ranked[0]
            lengths = len(samples[best].text), len(samples[worst].text)
            scored.append(ScoredPair(prompt_id, "", prompt_id, rewards[best], rewards[worst], *lengths))
    if not scored:
        return None, None
    overall = PairTable(scored).accuracy("held-out answers", range(len(scored)))
    return overall.accuracy, overall.longer.estimate


def _best_of(samples: Sequence[SampledAnswer], rewards: Sequence[float | None]) -> tuple[Interval | None, int]:
    groups = list(_by_prompt(samples).values())
    n = max(len(members) for members in groups)
    if n < 2 or all(answer.truth is None for answer in samples):
        return None, n
    whole = [members for members in groups if len(members) == n]
    curve = best_of_n(
        [[rewards[i] for i in members] for members in whole],
        [[samples[i].truth for i in members] for members in whole],
        ns=[n],
    )
    return curve.points[-1].gain, n
