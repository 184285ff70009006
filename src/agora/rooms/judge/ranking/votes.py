"""Votes: what score and pair verdicts say about each two models, for Bradley-Terry and Elo.

Shape legend: T tasks, M models, N votes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from agora.core.errors import DataError
from agora.core.ranking import BattleColumns
from agora.core.records import Verdict
from agora.rooms.judge.scoring.metrics import is_empty

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray: TypeAlias = NDArray[np.float64]

#: Published: a difference of two points on the scale of 1 to 10 is a win, less is a tie.
VOTE_MARGIN = 2.0


@dataclass(frozen=True, slots=True)
class ScoreMatrix:
    """Score verdicts of several models by one judge; NaN where there is none.

    Args:
        values_TM: scores of 1..10.
        chars_TM: characters of the answers.
        whole_TM: False for answers that were empty, or cut before the judge saw them.
    """

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    values_TM: FloatArray
    chars_TM: FloatArray
    whole_TM: NDArray[np.bool_]

    @classmethod
    def of(cls, verdicts: Mapping[str, Sequence[Verdict]]) -> ScoreMatrix:
        """From the verdicts of each model; tasks sorted by id, so that the order of files changes nothing."""
        import numpy as np

        models = tuple(verdicts)
        scored = {
            model: [v for v in rows if v.kind == "score" and v.value is not None] for model, rows in verdicts.items()
        }
        tasks = tuple(sorted({v.task_id for rows in scored.values() for v in rows}))
        place = {task: i for i, task in enumerate(tasks)}
        values_TM, chars_TM = (np.full((len(tasks), len(models)), np.nan) for _ in range(2))
        whole_TM = np.zeros((len(tasks), len(models)), dtype=bool)
        for m, model in enumerate(models):
            rows = scored[model]
            at = np.array([place[v.task_id] for v in rows], dtype=int)
            values_TM[at, m] = [v.value for v in rows if v.value is not None]
            chars_TM[at, m] = [np.nan if v.n_chars is None else v.n_chars for v in rows]
            whole_TM[at, m] = [not is_empty(v) and not v.meta.get("truncated") for v in rows]
        return cls(models, tasks, values_TM, chars_TM, whole_TM)

    @property
    def common(self) -> NDArray[np.bool_]:
        """Tasks that every model has a score for."""
        import numpy as np

        return np.asarray(~np.isnan(self.values_TM).any(axis=1))


@dataclass(frozen=True, slots=True)
class Votes:
    """Votes on pairs of models.

    Args:
        battles: outcomes from the side of the first; 0.5 is a tie.
        gap_N: characters of the first answer minus those of the second; NaN where unknown.
        share_N: the same gap divided by the sum of both lengths plus 1, the feature of length control.
        tasks: ids of the tasks that the battles number.
    """

    tasks: tuple[str, ...]
    battles: BattleColumns
    gap_N: FloatArray
    share_N: FloatArray

    def __len__(self) -> int:
        return len(self.gap_N)

    @property
    def decisive(self) -> NDArray[np.bool_]:
        """Votes that are no tie."""
        import numpy as np

        return np.asarray(self.battles.outcome_N != 0.5)

    @property
    def shorter_won(self) -> NDArray[np.bool_]:
        """Decisive votes for the shorter answer."""
        import numpy as np

        return np.asarray(self.decisive & ((self.battles.outcome_N - 0.5) * self.gap_N < 0))

    def without_long_gaps(self, margin: float) -> Votes:
        """Every vote whose answers differ by over `margin` characters made a tie (the published rule, see elo.py)."""
        import numpy as np

        outcome_N = np.where(np.abs(self.gap_N) > margin, 0.5, self.battles.outcome_N)
        return replace(self, battles=self.battles._replace(outcome_N=outcome_N))


def score_votes(
    matrix: ScoreMatrix, *, margin: float = VOTE_MARGIN, tie_margin: float | None = None, whole_only: bool = True
) -> Votes:
    """One vote a task and pair of models that both have a score for it.

    Args:
        matrix: the scores.
        margin: smallest difference that is a win.
        tie_margin: largest difference that is a tie; what lies between is no vote. None: all below `margin` are ties.
        whole_only: leave out empty answers and answers that were cut before the judge saw them.

    Raises:
        DataError: a margin not above 0.
    """
    import numpy as np

    if not margin > 0:
        raise DataError(f"the margin of a vote must be above 0, got {margin}")
    usable_TM = ~np.isnan(matrix.values_TM) & (matrix.whole_TM if whole_only else True)
    parts: list[tuple[NDArray[Any], ...]] = []
    for i in range(len(matrix.models)):
        for j in range(i + 1, len(matrix.models)):
            rows = np.flatnonzero(usable_TM[:, i] & usable_TM[:, j])
            gap = matrix.values_TM[rows, i] - matrix.values_TM[rows, j]
            if tie_margin is not None:
                keep = (np.abs(gap) >= margin) | (np.abs(gap) <= tie_margin)
                rows, gap = rows[keep], gap[keep]
            outcome = np.where(gap >= margin, 1.0, np.where(gap <= -margin, 0.0, 0.5))
            ones = np.ones(len(rows))
            parts.append((ones * i, ones * j, outcome, rows, matrix.chars_TM[rows, i], matrix.chars_TM[rows, j]))
    columns = [np.concatenate(part) for part in zip(*parts, strict=True)] if parts else [np.empty(0)] * 6
    return _votes(matrix.models, matrix.tasks, columns)


def pair_votes(verdicts: Iterable[Verdict], *, much: float = 1.0) -> Votes:
    """One vote a pair verdict: the candidate against its baseline, outcome ``(1 + value) / 2``.

    Args:
        verdicts: pair verdicts by one judge; those without a value, and of a model with itself, are left out.
        much: weight of a verdict of much better or worse. 1: its outcome is 1 and that of slightly better 0.75. Above
            1: every preference is a full win, and this one counts so often (Arena-Hard: 3).
    """
    import numpy as np

    rows = [v for v in verdicts if v.kind == "pair" and v.value is not None and v.baseline not in (None, v.model)]
    names = tuple(sorted({v.model for v in rows} | {str(v.baseline) for v in rows}))
    place = {name: i for i, name in enumerate(names)}
    tasks = {task: i for i, task in enumerate(sorted({v.task_id for v in rows}))}
    value_N = np.array([v.value for v in rows], dtype=float)
    outcome_N = (1 + value_N) / 2 if much == 1.0 else np.where(value_N > 0, 1.0, np.where(value_N < 0, 0.0, 0.5))
    columns = [
        np.array([place[v.model] for v in rows], dtype=float),
        np.array([place[str(v.baseline)] for v in rows], dtype=float),
        outcome_N,
        np.array([tasks[v.task_id] for v in rows], dtype=float),
        np.array([np.nan if v.n_chars is None else v.n_chars for v in rows], dtype=float),
        np.array([np.nan if v.baseline_n_chars is None else v.baseline_n_chars for v in rows], dtype=float),
    ]
    votes = _votes(names, tuple(tasks), columns)
    if much == 1.0:
        return votes
    return replace(votes, battles=votes.battles._replace(weight_N=np.where(np.abs(value_N) == 1.0, much, 1.0)))


def _votes(names: tuple[str, ...], tasks: tuple[str, ...], columns: Sequence[NDArray[Any]]) -> Votes:
    first, second, outcome, task, chars, other_chars = columns
    battles = BattleColumns(names, first.astype(int), second.astype(int), outcome, None, task.astype(int))
    gap = chars - other_chars
    return Votes(tasks, battles, gap, gap / (chars + other_chars + 1))
