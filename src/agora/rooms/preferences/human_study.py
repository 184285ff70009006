"""A study in which people compare two models' answers: who wins, which answers are acceptable, how far people agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from agora.core.errors import DataError
from agora.core.stats import Interval, wilson
from agora.rooms.preferences.comparisons import Agreement, annotator_agreement


@dataclass(frozen=True, slots=True)
class HumanComparison:
    """One person's comparison of two answers to one prompt.

    ``task`` is the prompt, ``item`` the two answers shown: one task may stand in several items. ``outcome`` is 2 where
    the first model's answer is clearly better, 1 slightly, 0 a tie, and the same downward. ``order`` grows with time.
    """

    SCHEMA: ClassVar[str] = "human_comparison/1"
    item: str
    task: str
    rater: str
    order: int
    first: str
    second: str
    outcome: int
    first_acceptable: bool
    second_acceptable: bool


@dataclass(frozen=True, slots=True)
class StudyResult:
    """One pair of models. Counts are of tasks, by the earliest comparison that each one has.

    Attributes:
        first, second: the models, in alphabetical order.
        num_annotations: comparisons, those of doubly rated tasks included.
        counts: tasks by outcome: first clearly better, first slightly, tie, second slightly, second clearly.
        acceptance: share of tasks whose answer is acceptable, by model.
        num_double: tasks that at least two people rated.
        agreement: of the first two of them.
    """

    first: str
    second: str
    num_annotations: int
    counts: tuple[int, ...]
    acceptance: Mapping[str, Interval]
    num_double: int
    agreement: Agreement

    @property
    def n(self) -> int:
        """Tasks compared."""
        return sum(self.counts)


def without_repeats(rows: Iterable[HumanComparison]) -> list[HumanComparison]:
    """One comparison a person and item: the latest, since people come back to correct themselves."""
    kept: dict[tuple[str, str], HumanComparison] = {}
    for row in rows:
        before = kept.get((row.item, row.rater))
        if before is None or row.order > before.order:
            kept[row.item, row.rater] = row
    return sorted(kept.values(), key=lambda row: row.order)


def study_results(rows: Iterable[HumanComparison], *, seed: int = 0) -> list[StudyResult]:
    """Results of each pair of models, in alphabetical order; which model stood first does not matter.

    Args:
        rows: without repeats, see :func:`without_repeats`.
        seed: of the bootstrap behind the relaxed agreement.

    Raises:
        DataError: an outcome outside -2..2, or a model against itself.
    """
    by_pair: dict[tuple[str, str], dict[str, list[HumanComparison]]] = defaultdict(lambda: defaultdict(list))
    for row in sorted(rows, key=lambda row: row.order):
        row = _alphabetical(row)
        by_pair[row.first, row.second][row.task].append(row)
    return [_result(*pair, list(by_pair[pair].values()), seed) for pair in sorted(by_pair)]


def _alphabetical(row: HumanComparison) -> HumanComparison:
    if row.first == row.second or abs(row.outcome) > 2:
        raise DataError(f"not a comparison: {row.first} and {row.second} with outcome {row.outcome}", where=row.item)
    if row.first < row.second:
        return row
    return HumanComparison(
        row.item, row.task, row.rater, row.order,
        row.second, row.first, -row.outcome, row.second_acceptable, row.first_acceptable,
    )  # fmt: skip


def _result(first: str, second: str, tasks: list[list[HumanComparison]], seed: int) -> StudyResult:
    earliest = [rows[0] for rows in tasks]
    outcomes = [row.outcome for row in earliest]
    double = [rows for rows in tasks if len(rows) > 1]
    accepted = {
        first: sum(row.first_acceptable for row in earliest),
        second: sum(row.second_acceptable for row in earliest),
    }
    return StudyResult(
        first,
        second,
        sum(map(len, tasks)),
        counts=tuple(outcomes.count(outcome) for outcome in (2, 1, 0, -1, -2)),
        acceptance={model: wilson(k, len(tasks)) for model, k in accepted.items()},
        num_double=len(double),
        agreement=annotator_agreement([r[0].outcome for r in double], [r[1].outcome for r in double], seed=seed),
    )
