"""Ratings at equal style: Bradley-Terry with length, headers, lists and bold taken out (Arena-Hard's style control).

The features are scaled by their root mean square and not centered, so that 0 means equal style. The reference centers
them; as its battles always stand candidate against baseline, its numbers answer "at the average style of all
candidates", and depend on who is called first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from agora.core.errors import DataError
from agora.core.tables import read_rows
from agora.rooms.judge.formats.arena_files import arena_answer
from agora.rooms.judge.ranking.strengths import Strengths, strengths
from agora.rooms.judge.ranking.style_counts import FEATURES, StyleCounts, style_counts, style_features
from agora.rooms.judge.ranking.votes import Votes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray: TypeAlias = NDArray[np.float64]

#: Style counts by model and task.
Styles: TypeAlias = Mapping[tuple[str, str], StyleCounts]


def style_strengths(
    votes: Votes, styles: Styles, *, anchor: str | None = None, seed: int = 0, n_boot: int = 1000
) -> Strengths:
    """Ratings at equal style; without the counts of some answer there are none, and the reason is given.

    Args:
        votes: see :mod:`agora.rooms.judge.ranking.votes`.
        styles: of every answer that has a vote.
        anchor, seed, n_boot: as in :func:`agora.rooms.judge.ranking.strengths.strengths`.
    """
    return strengths(votes, vote_features(votes, styles), anchor=anchor, seed=seed, n_boot=n_boot)


def vote_features(votes: Votes, styles: Styles) -> dict[str, FloatArray]:
    """The four style differences of each vote, NaN where the counts of an answer are not known."""
    import numpy as np

    names = [str(name) for name in votes.battles.names]
    style_TMK = np.full((len(votes.tasks), len(names), len(FEATURES)), np.nan)
    place = {task: t for t, task in enumerate(votes.tasks)}
    column = {name: m for m, name in enumerate(names)}
    for (model, task), counts in styles.items():
        if model in column and task in place:
            style_TMK[place[task], column[model]] = counts
    battles = votes.battles
    if battles.task_N is None:
        raise DataError("style control needs votes with tasks")
    first, second = (style_TMK[battles.task_N, who] for who in (battles.first_N, battles.second_N))
    return style_features(first, second)


def read_styles(paths: Iterable[Path]) -> dict[tuple[str, str], StyleCounts]:
    """Style counts of answers: ``answer/1`` rows, Arena-Hard's answers, or judged files that hold their answers.

    Raises:
        DataError: a row holds no answer; names file and line.
    """
    out: dict[tuple[str, str], StyleCounts] = {}
    for path in _files(paths):
        for line, row in read_rows(path):
            try:
                model, task, counts = _row(row)
            except (KeyError, IndexError, TypeError, AttributeError) as err:
                raise DataError(f"the row holds no answer ({err} is missing)", where=f"{path}:{line}") from None
            out[model, task] = counts
    return out


def _files(paths: Iterable[Path]) -> Iterable[Path]:
    for path in map(Path, paths):
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.is_file() and ".json" in p.name)
        else:
            yield path


def _row(row: Mapping[str, object]) -> tuple[str, str, StyleCounts]:
    if "output" in row or "model_output" in row:
        text = row.get("output", row.get("model_output"))
        model, task = row.get("model", row.get("model_test")), row.get("task_id", row.get("session_id"))
        return str(model), str(task), style_counts(text if isinstance(text, str) else "")
    return arena_answer(row)
