"""WB-Reward: comparisons with baselines, their mix, and the length margin K as a relabelling of stored verdicts.

A reward is the mean over the comparisons that were made. What was not compared is missing: it is no tie and enters no
denominator. A baseline against itself is 0 by definition and marked so.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from agora.core.errors import DataError
from agora.core.records import Verdict
from agora.core.resampling import Resampling, count_blocks, percentiles
from agora.core.stats import Interval, bootstrap_mean, standard_error
from agora.rooms.judge.scoring.metrics import N_BOOT, WARN_UNSCORED, answer_warnings, is_empty, macro
from agora.rooms.judge.types import GROUPS, Outcome, TaskSet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: The three baselines of the paper.
BASELINES = ("gpt-4-turbo-2024-04-09", "claude-3-haiku-20240307", "Llama-2-70b-chat-hf")


class Counts(NamedTuple):
    """Number of comparisons by outcome, from the candidate's side."""

    win_much: int = 0
    win: int = 0
    tie: int = 0
    lose: int = 0
    lose_much: int = 0

    @property
    def counted(self) -> int:
        """Comparisons that have an outcome."""
        return sum(self)

    def reward(self, total: int | None = None) -> float | None:
        """(win_much + win/2 - lose/2 - lose_much) / total, in -1..1.

        Args:
            total: the denominator; the counted comparisons when None. The published tables divide by all judged lines,
                which makes a tie of each comparison that was left out.
        """
        total = self.counted if total is None else total
        return (self.win_much + self.win / 2 - self.lose / 2 - self.lose_much) / total if total else None


def relabel(verdicts: Iterable[Verdict], margin: int | None) -> list[Verdict]:
    """Apply the length margin K: a slight win of an answer longer by more than K characters becomes a tie.

    Args:
        verdicts: pair verdicts; all others come back as they are.
        margin: K in characters; None or a negative number switches it off.

    Raises:
        DataError: a slight outcome lacks the lengths that decide.
    """
    if margin is None or margin < 0:
        return list(verdicts)
    return [
        replace(v, value=0.0, meta={**v.meta, "outcome_before_margin": v.value, "margin": margin})
        if (excess := winner_excess(v)) is not None and excess > margin
        else v
        for v in verdicts
    ]


def winner_excess(verdict: Verdict) -> int | None:
    """How many characters the winner of a slight outcome is longer than the loser; None for any other outcome."""
    if verdict.kind != "pair" or verdict.value is None or abs(verdict.value) != Outcome.BETTER.value:
        return None
    if verdict.n_chars is None or verdict.baseline_n_chars is None:
        raise DataError(f"the verdict on task {verdict.task_id} lacks the answers' lengths, which the margin needs")
    gap = verdict.n_chars - verdict.baseline_n_chars
    return gap if verdict.value > 0 else -gap


@dataclass(frozen=True, slots=True)
class BaselineReward:
    """One model against one baseline. ``reward`` and what derives from it are times 100, in -100..100.

    Args:
        n: tasks compared; with both orders asked, a task's outcome is the mean of the two.
        counts: verdicts by outcome.
        is_self: the candidate is this baseline: 0 by definition, nothing was compared.
        conflicts: tasks whose two orders had different winners.
        statuses: verdicts by status.
    """

    baseline: str
    reward: float | None
    n: int
    num_tasks: int
    counts: Counts
    se: float | None = None
    interval: Interval | None = None
    is_self: bool = False
    conflicts: int = 0
    statuses: Mapping[str, int] = field(default_factory=dict)
    groups: Mapping[str, float | None] = field(default_factory=dict)
    macro: float | None = None

    @property
    def win_rate(self) -> float | None:
        """The reward as a win rate in percent, ties half: 50 against itself, AlpacaEval's number."""
        return None if self.reward is None else 50 + self.reward / 2

    @property
    def discrete_win_rate(self) -> float | None:
        """Share of comparisons won, in percent, ties half, however sure the judge was."""
        if self.is_self:
            return 50.0
        counts = self.counts
        won = counts.win_much + counts.win + counts.tie / 2
        return 100 * won / counts.counted if counts.counted else None

    @property
    def coverage(self) -> float:
        """Share of the benchmark's tasks that were compared; 1 for a baseline against itself."""
        return 1.0 if self.is_self else self.n / self.num_tasks if self.num_tasks else 0.0


@dataclass(frozen=True, slots=True)
class RewardReport:
    """One model's WB-Reward by one judge.

    Args:
        mix: mean over the baselines with equal weight; None while one of them has not been compared.
        mix_without_self: the same without the model's comparison with itself; None where that leaves none.
        margin: the length margin K that was applied; None for none.
        macro: mean over the baselines of the macro rewards; None while one is missing.
        mean_chars: mean length of the candidate's answers that are not empty.
    """

    model: str
    judge: str
    baselines: Mapping[str, BaselineReward]
    mix: float | None
    mix_interval: Interval | None
    mix_without_self: float | None
    margin: int | None = None
    macro: float | None = None
    mean_chars: float | None = None
    warnings: tuple[str, ...] = ()


def reward_report(
    verdicts: Iterable[Verdict],
    *,
    model: str | None = None,
    baselines: Sequence[str] | None = None,
    tasks: TaskSet | None = None,
    num_tasks: int | None = None,
    margin: int | None = None,
    seed: int = 0,
    n_boot: int = N_BOOT,
) -> RewardReport:
    """The WB-Reward of one model by one judge.

    Args:
        verdicts: the model's pair verdicts.
        model: its name; needed when there are no verdicts (a baseline that was compared with nothing but itself).
        baselines: those that the mix is taken over; those found in the verdicts when None.
        tasks: the benchmark; needed for groups.
        num_tasks: its size where ``tasks`` is not at hand.
        margin: length margin K in characters; None for none.

    Raises:
        DataError: several models or judges, or two verdicts on the same comparison.
    """
    rows = relabel(verdicts, margin)
    name = _single("models", {v.model for v in rows}, model)
    judge = _single("judges", {v.judge for v in rows}, "" if not rows else None)
    total = len(tasks) if tasks is not None else max(num_tasks or 0, len({v.task_id for v in rows}))
    chosen = list(baselines) if baselines is not None else sorted({v.baseline for v in rows if v.baseline})
    by_baseline: dict[str, list[Verdict]] = {baseline: [] for baseline in chosen}
    for verdict in rows:
        if verdict.baseline in by_baseline:
            by_baseline[verdict.baseline].append(verdict)
    outcomes = {baseline: _by_task(of_one) for baseline, of_one in by_baseline.items()}
    rewards = {
        baseline: _baseline_reward(baseline, name, of_one, outcomes[baseline], total, tasks, seed, n_boot)
        for baseline, of_one in by_baseline.items()
    }
    others = [reward.reward for reward in rewards.values() if not reward.is_self]
    return RewardReport(
        model=name,
        judge=judge,
        baselines=rewards,
        mix=_mean_or_none([reward.reward for reward in rewards.values()]),
        mix_interval=_mix_interval(rewards, outcomes, seed, n_boot),
        mix_without_self=_mean_or_none(others),
        margin=margin,
        macro=_mean_or_none([0.0 if reward.is_self else reward.macro for reward in rewards.values()]),
        mean_chars=_mean_chars(rows),
        warnings=tuple(_warnings(rewards, rows)),
    )


def _warnings(rewards: Mapping[str, BaselineReward], rows: Sequence[Verdict]) -> Iterator[str]:
    for baseline, reward in rewards.items():
        if reward.reward is None:
            yield f"not compared with {baseline}: no mix"
        elif not reward.is_self and 1 - reward.coverage > WARN_UNSCORED:
            yield f"{reward.num_tasks - reward.n} of {reward.num_tasks:,} tasks were not compared with {baseline}"
    yield from answer_warnings(rows)


def _mean_chars(verdicts: Sequence[Verdict]) -> float | None:
    lengths = {v.task_id: v.n_chars for v in verdicts if v.n_chars is not None and not is_empty(v)}
    return sum(lengths.values()) / len(lengths) if lengths else None


def mix_matrix(
    verdicts: Mapping[str, Sequence[Verdict]], models: Sequence[str], baselines: Sequence[str]
) -> NDArray[np.float64]:
    """Each model's mean outcome over the baselines on each task (T x M, -1..1); NaN unless compared with all of them.

    A baseline's comparison with itself is 0. Tasks are sorted by id.
    """
    import numpy as np

    outcomes = {
        (model, baseline): _by_task([v for v in verdicts.get(model, ()) if v.baseline == baseline])
        for model in models
        for baseline in baselines
        if model != baseline
    }
    tasks = sorted({task for by_task in outcomes.values() for task in by_task})
    place = {task: i for i, task in enumerate(tasks)}
    out = np.zeros((len(tasks), len(models)))
    for m, model in enumerate(models):
        for baseline in baselines:
            if model == baseline:
                continue
            column = np.full(len(tasks), np.nan)
            for task, values in outcomes[model, baseline].items():
                column[place[task]] = sum(values) / len(values)
            out[:, m] += column / len(baselines)
    return out


def _single(what: str, names: set[str], given: str | None) -> str:
    names = names | ({given} if given is not None else set())
    if len(names) != 1:
        raise DataError(f"one report needs one of each, got {len(names)} {what}: {', '.join(sorted(names))}")
    return names.pop()


def _mean_or_none(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(values) else None


def _by_task(verdicts: Sequence[Verdict]) -> dict[str, tuple[float, ...]]:
    """Outcomes of each task that has one: one value, or two when both orders were asked."""
    orders: dict[str, dict[str | None, float]] = defaultdict(dict)
    seen: set[tuple[str, str | None]] = set()
    for verdict in verdicts:
        key = (verdict.task_id, verdict.order)
        if key in seen:
            raise DataError(
                f"two verdicts on {verdict.model} against {verdict.baseline} in the same order, task {verdict.task_id}"
            )
        seen.add(key)
        if verdict.status == "ok" and verdict.value is not None:
            orders[verdict.task_id][verdict.order] = verdict.value
    # sorted: the bootstrap must not see the order of the file
    return {task: tuple(values.values()) for task, values in sorted(orders.items())}


def _baseline_reward(
    baseline: str,
    model: str,
    verdicts: Sequence[Verdict],
    outcomes: Mapping[str, tuple[float, ...]],
    num_tasks: int,
    tasks: TaskSet | None,
    seed: int,
    n_boot: int,
) -> BaselineReward:
    if model == baseline:
        return BaselineReward(baseline, 0.0, 0, num_tasks, Counts(), is_self=True)
    means = {task: sum(values) / len(values) for task, values in outcomes.items()}
    values = list(means.values())
    groups = _group_means(means, tasks) if tasks is not None else {}
    return BaselineReward(
        baseline,
        reward=100 * math.fsum(values) / len(values) if values else None,
        n=len(values),
        num_tasks=num_tasks,
        counts=count_outcomes(verdicts),
        se=100 * standard_error(values) if len(values) > 1 else None,
        interval=bootstrap_mean(values, seed=seed, n_boot=n_boot).rescaled(100) if values else None,
        conflicts=sum(min(pair) < 0 < max(pair) for pair in outcomes.values()),
        statuses=dict(Counter(v.status for v in verdicts)),
        groups=groups,
        macro=macro(groups),
    )


def count_outcomes(verdicts: Iterable[Verdict]) -> Counts:
    """Number of pair verdicts by outcome; those without a value are left out, and a probability counts as slight."""
    values = Counter(v.value for v in verdicts if v.status == "ok")
    found: Counter[float] = Counter()
    for value, n in values.items():
        if value is not None:
            found[_nearest(value)] += n
    return Counts(*(found[outcome.value] for outcome in Outcome))


def _nearest(value: float) -> float:
    """1, 0.5, 0, -0.5 or -1: what is between 0 and certainty is a slight preference."""
    return value if value in (0.0, 1.0, -1.0) else math.copysign(0.5, value)


def _group_means(means: Mapping[str, float], tasks: TaskSet) -> dict[str, float | None]:
    values: dict[str, list[float]] = {group: [] for group in GROUPS}
    for task, mean in means.items():
        for group in tasks.groups.get(task, ()):
            values[group].append(mean)
    return {group: 100 * math.fsum(found) / len(found) if found else None for group, found in values.items()}


def _mix_interval(
    rewards: Mapping[str, BaselineReward],
    outcomes: Mapping[str, Mapping[str, tuple[float, ...]]],
    seed: int,
    n_boot: int,
) -> Interval | None:
    """Bootstrap over tasks, each drawn with its comparisons against all baselines; a self-comparison stays 0."""
    import numpy as np

    if not rewards or any(reward.reward is None for reward in rewards.values()):
        return None
    others = [baseline for baseline, reward in rewards.items() if not reward.is_self]
    tasks = sorted({task for baseline in others for task in outcomes[baseline]})
    if len(tasks) < 2:
        return None
    value_TB = np.full((len(tasks), len(others)), np.nan)
    for j, baseline in enumerate(others):
        for i, task in enumerate(tasks):
            if task in outcomes[baseline]:
                value_TB[i, j] = sum(outcomes[baseline][task]) / len(outcomes[baseline][task])
    there_TB, filled_TB = ~np.isnan(value_TB), np.nan_to_num(value_TB)
    plan = Resampling(seed, n_boot, 0.95)
    mixes = []
    for counts_NT in count_blocks(len(tasks), plan):
        with np.errstate(invalid="ignore"):  # a resample without any task of a baseline is not counted
            mixes.append(100 * (counts_NT @ filled_TB / (counts_NT @ there_TB)).sum(axis=1) / len(rewards))
    low, high = percentiles(np.concatenate(mixes), plan.level)
    estimate = math.fsum(reward.reward or 0.0 for reward in rewards.values()) / len(rewards)
    return Interval(estimate, low, high, len(tasks), plan.name("bootstrap over tasks"))


class SweepRow(NamedTuple):
    """Rewards (x100) and ties at one length margin; ``margin`` None is no margin."""

    margin: int | None
    reward: float | None
    counts: Counts


def k_sweep(verdicts: Iterable[Verdict], margins: Sequence[int | None]) -> list[SweepRow]:
    """WB-Reward (x100, over all given comparisons) at each length margin, without new calls."""
    import numpy as np

    rows = [v for v in verdicts if v.kind == "pair" and v.status == "ok" and v.value is not None]
    base = count_outcomes(rows)
    slight: dict[float, list[int]] = {0.5: [], -0.5: []}
    for v in rows:
        if v.value in slight and (found := winner_excess(v)) is not None:
            slight[v.value].append(found)
    excess = {half: np.sort(values) for half, values in slight.items()}
    out = []
    for margin in margins:
        limit = None if margin is None or margin < 0 else margin
        wins, losses = (
            0 if limit is None else len(values) - int(np.searchsorted(values, limit, side="right"))
            for values in excess.values()
        )
        counts = base._replace(win=base.win - wins, lose=base.lose - losses, tie=base.tie + wins + losses)
        reward = counts.reward()
        out.append(SweepRow(limit, None if reward is None else 100 * reward, counts))
    return out
