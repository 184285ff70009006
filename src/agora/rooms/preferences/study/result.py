"""What a study came to: every number of its report, as plain records."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agora.core.stats import Interval
from agora.rooms.preferences.paired_tests import PairedTest
from agora.rooms.preferences.study.effects import AVERAGE, Effect
from agora.rooms.preferences.study.matching import Budget
from agora.rooms.preferences.study.proof import Proof
from agora.rooms.preferences.study.recipe import Arm


@dataclass(frozen=True, slots=True)
class SeedRow:
    """One arm with one seed.

    Attributes:
        figures: 0 to 100, by test, category and ``average``; None where something is missing.
        sampled: of answers sampled on held-out prompts: tokens and characters an answer, EOS rate, KL in nats an
            answer (k1, k3), truth, reward (of the reward model), total (what was maximized).
        budgets: of the trainings.
        rows: preference pairs of the arm.
        seconds: of this arm's own stages and of everything they build on, as if nothing were shared.
        notes: warnings of the trainings.
    """

    seed: int
    figures: dict[str, float | None]
    sampled: dict[str, float | None]
    reward_metrics: dict[str, float | None]
    budgets: dict[str, Budget]
    rows: int
    tokens: int
    seconds: float
    peak_bytes: int | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Alarm:
    """The reward that was maximized rose while a judge-free test fell by more than its interval."""

    arm: str
    test: str
    reward_rise: Interval
    test_fall: Interval


@dataclass(frozen=True, slots=True)
class ArmResult:
    """One value of a study, all seeds.

    Attributes:
        effects: against the study's baseline; empty for the baseline.
        against_start: against the start model.
        reward_rise: of the maximized reward over the start model's answers, paired by prompt.
        alarms: see :class:`Alarm`.
    """

    arm: Arm
    seeds: tuple[SeedRow, ...]
    effects: tuple[Effect, ...] = ()
    against_start: tuple[Effect, ...] = ()
    reward_rise: Interval | None = None
    alarms: tuple[Alarm, ...] = ()

    def effect(self, column: str = AVERAGE) -> Effect | None:
        """The effect on one column."""
        return next((effect for effect in self.effects if effect.column == column), None)

    def mean(self, column: str = AVERAGE) -> float | None:
        """The mean figure over seeds; None where one is missing."""
        return mean_of([row.figures.get(column) for row in self.seeds])

    def sampled(self, name: str) -> float | None:
        """The mean over seeds of something measured on samples."""
        return mean_of([row.sampled.get(name) for row in self.seeds])

    @property
    def seconds(self) -> float:
        """Mean seconds of one seed, as if nothing were shared."""
        return sum(row.seconds for row in self.seeds) / len(self.seeds)


@dataclass(frozen=True, slots=True)
class RewardRow:
    """One reward model: its accuracy, what best-of-N with it is worth, and what the policy trained on it reached.

    Attributes:
        accuracy: on pairs of held-out answers of the start model, ordered by the truth.
        longer: what "the longer answer wins" reaches on them.
        best_of: gain in truth of the best of N over one sample, paired by prompt; None without a truth.
        policy: the average of the policy trained on it.
    """

    label: str
    seed: int
    parameters: int | None
    own_accuracy: float | None  # on held-out pairs of its own data
    accuracy: Interval | None
    longer: float | None
    best_of: Interval | None
    best_of_n: int
    policy: float | None


@dataclass(frozen=True, slots=True)
class CostRow:
    """What all stages of a kind took."""

    kind: str
    stages: int
    computed: int  # in this session
    seconds: float
    cpu_seconds: float
    tokens: int | None
    peak_bytes: int | None


@dataclass(frozen=True, slots=True)
class Cost:
    """What the study took.

    Attributes:
        rows: by kind of stage.
        total_seconds: of work in this folder by the clock of the whole, over all sessions, times processes.
        stage_seconds: by the clocks of the stages that were computed in this folder.
        overhead_seconds: finding, rendering and fingerprinting.
        jobs: processes.
    """

    rows: tuple[CostRow, ...]
    total_seconds: float
    stage_seconds: float
    overhead_seconds: float
    jobs: int
    reused: int
    computed: int


@dataclass(frozen=True, slots=True)
class StudyResult:
    """One study: its arms, the baseline first, and the proofs that only one aspect differs."""

    name: str
    vary: str
    question: str
    arms: tuple[ArmResult, ...]
    proofs: tuple[Proof, ...]

    @property
    def baseline(self) -> ArmResult:
        """The arm that the others are compared with."""
        return self.arms[0]


@dataclass(frozen=True, slots=True)
class StudyReport:
    """Everything a study found."""

    title: str
    report: Path
    confounded: bool
    categories: tuple[str, ...]
    start: ArmResult
    studies: tuple[StudyResult, ...]
    rewards: tuple[RewardRow, ...]
    cost: Cost
    recommendation: tuple[str, ...]
    across: dict[str, tuple[PairedTest, ...]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The report as plain JSON values; what is unknown is null."""
        from agora.core.json_text import dumps, loads

        plain: dict[str, Any] = loads(dumps(_plain(self)))
        return plain


def mean_of(values: list[float | None]) -> float | None:
    """The mean; None when a value is missing or there is none."""
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present and len(present) == len(values) else None


def _plain(value: Any) -> Any:
    if isinstance(value, Proof):
        return value.as_json()
    if isinstance(value, Arm):
        return {
            "study": value.study,
            "value": value.value,
            "vary": value.vary,
            "cell": value.cell.model_dump(mode="json"),
        }
    if isinstance(value, Interval):
        return {name: None if isinstance(v, float) and math.isnan(v) else v for name, v in value._asdict().items()}
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return str(value) if isinstance(value, Path) else value
