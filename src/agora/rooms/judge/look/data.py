"""What a leaderboard's page knows: the tables, and every verdict in a compact form the page can compute with.

The page recomputes scores, rewards and differences for any group of tasks and any length margin. So it carries, for
each answer, its score and length, and for each comparison, its outcome and the difference in length.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from agora.core.errors import DataError
from agora.core.records import Answer, Task, Verdict
from agora.rooms.judge.formats.judged_files import judged_paths, read_judged
from agora.rooms.judge.look.texts import TextPack, pack_texts
from agora.rooms.judge.ranking.board import BoardRow, JudgeTable, Leaderboard, leaderboard
from agora.rooms.judge.ranking.self_preference import Families, KinRanks
from agora.rooms.judge.scoring.metrics import is_empty
from agora.rooms.judge.types import GROUP_WEIGHTS, GROUPS, TaskSet

#: The twelve categories, in the order of their groups.
TAGS = tuple(tag for tags in GROUPS.values() for tag in tags)
_TAG_AT = {tag.casefold(): i for i, tag in enumerate(TAGS)}
_TITLE_CHARS = 160
_Z95 = 1.96
#: Ends of the published scales of WB-Score and of WB-Reward.
SCORE_SCALE = (-80.0, 100.0)
REWARD_SCALE = (-100.0, 100.0)


@dataclass(frozen=True, slots=True)
class Comparisons:
    """One model's comparisons with one baseline, as parallel columns.

    Args:
        task: positions of the tasks.
        value: outcomes from the candidate's side, -1 to 1.
        gap: the candidate's length minus the baseline's, in characters; None where a length is unknown.
        second: whether the candidate was shown second.
    """

    baseline: str
    task: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    gap: list[int | None] = field(default_factory=list)
    second: list[bool] = field(default_factory=list)

    def outcomes(self, margin: int | None) -> dict[int, float]:
        """Mean outcome by task after the length margin K; None for none."""
        found: dict[int, list[float]] = defaultdict(list)
        for task, value, gap in zip(self.task, self.value, self.gap, strict=True):
            excess = None if gap is None or abs(value) != 0.5 else gap if value > 0 else -gap
            tie = margin is not None and excess is not None and excess > margin
            found[task].append(0.0 if tie else value)
        return {task: sum(values) / len(values) for task, values in found.items()}


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One model in one judge's table.

    Args:
        board: its row of the leaderboard.
        scores: by task position, None where there is none.
        chars: the answer's length by task position; 0 for an empty answer, None where it is unknown.
        missing: status of the tasks that were judged and have no score.
        pairs: comparisons by baseline.
        cost: calls, tokens and dollars of the judge; None where the files do not say.
    """

    board: BoardRow
    scores: list[float | None]
    chars: list[int | None]
    missing: Mapping[int, str]
    pairs: Mapping[str, Comparisons]
    cost: Mapping[str, float | None]

    @property
    def name(self) -> str:
        """The model's name."""
        return self.board.name


@dataclass(frozen=True, slots=True)
class TableData:
    """One judge's table."""

    board: JudgeTable
    baselines: tuple[str, ...]
    rows: tuple[ModelRow, ...]

    @property
    def title(self) -> str:
        """Judge and version."""
        return f"{self.board.judge} {self.board.version}".strip()


@dataclass(frozen=True)
class PageData:
    """All that a page shows.

    Args:
        tasks: the benchmark's tasks where they are known.
        together: rankings of several judges with and without what they say of their own family.
        task_ids: ids of all tasks, in benchmark order or in the order in which they were judged.
        margin: the length margin K that the page opens with.
        texts: what there is to read, packed; None for a page of numbers only.
    """

    title: str
    command: str
    task_ids: tuple[str, ...]
    tasks: Mapping[str, Task]
    models: tuple[str, ...]
    tables: tuple[TableData, ...]
    together: tuple[KinRanks, ...]
    notes: tuple[str, ...]
    margin: int | None
    texts: TextPack | None

    @cached_property
    def tag_masks(self) -> list[int]:
        """Categories of each task as bits in the order of :data:`TAGS`; a tag outside the twelve counts as Others."""
        return [_tag_mask(self.tasks.get(id_)) for id_ in self.task_ids]

    def to_json(self) -> dict[str, Any]:
        """The object that the page computes with."""
        at = {name: i for i, name in enumerate(self.models)}
        return {
            "tags": TAGS,
            "groups": [[name, [TAGS.index(tag) for tag in tags], GROUP_WEIGHTS[name]] for name, tags in GROUPS.items()],
            "tasks": {
                "id": self.task_ids,
                "title": [_title(self.tasks.get(id_)) for id_ in self.task_ids],
                "tags": self.tag_masks,
                "primary": [_primary(self.tasks.get(id_)) for id_ in self.task_ids],
            },
            "models": self.models,
            "margin": self.margin,
            "tables": [_table_json(table, at) for table in self.tables],
            "texts": self.texts.describe() if self.texts else None,
        }


def page_data(
    files: Sequence[Path],
    *,
    tasks: TaskSet | None = None,
    answers: Iterable[Answer] = (),
    judge: str | None = None,
    baseline: str | None = None,
    margin: int | None = None,
    allow_partial: bool = False,
    families: Families | None = None,
    seed: int = 0,
    title: str = "",
    command: str = "",
    texts: bool = True,
    include_private: bool = False,
) -> PageData:
    """Read files of verdicts and gather what their page shows.

    Args:
        files: as for :func:`agora.rooms.judge.leaderboard`; folders stand for the files in them.
        tasks: the benchmark: categories, conversations, checklists.
        answers: what the models said, where the judged files do not hold it.
        margin: the length margin K that the page opens with, in characters; None for none.
        families: models of a judge's own family, by judge; told by their names for a judge that is not among them.
        texts: whether conversations, answers and reasons are in the page.
        include_private: whether the texts of private tasks are, too.

    Raises:
        MissingError: a file is not there.
        DataError: a file is no file of verdicts, or two files hold verdicts on the same answers.
    """
    read = [read_judged(path, judge=judge, baseline=baseline, texts=texts) for path in judged_paths(files)]
    board = leaderboard(read, tasks=tasks, margin=margin, allow_partial=allow_partial, families=families, seed=seed)
    by_table: dict[tuple[str, str], list[Verdict]] = defaultdict(list)
    for file in read:
        for verdict in file.verdicts:
            by_table[verdict.judge, file.version].append(verdict)
    ids = tuple(dict.fromkeys([*(t.id for t in tasks or ()), *(v.task_id for vs in by_table.values() for v in vs)]))
    position = {id_: i for i, id_ in enumerate(ids)}
    tables = tuple(_table(t, by_table[t.judge, t.version], position) for t in board.tables)
    models = tuple(dict.fromkeys(row.name for table in tables for row in table.rows))
    known = dict(tasks.by_id) if tasks else {}
    pack = None
    if texts:
        verdicts = [(i, v) for i, t in enumerate(board.tables) for v in by_table[t.judge, t.version]]
        pack = pack_texts(ids, known, models, verdicts, read, answers, include_private=include_private)
    notes = (*board.notes, *_own_notes(board, known, pack))
    title = title or _default_title(known, tables)
    return PageData(title, command, ids, known, models, tables, board.together, notes, margin, pack)


def mix_standard_error(outcomes: Sequence[Mapping[int, float]], num_baselines: int) -> float | None:
    """Standard error of a mix over tasks, on the scale of the outcomes; None for fewer than two tasks.

    Each task moves every baseline's mean at once, so the error rests on the sum of its shares (the delta method).

    Args:
        outcomes: outcome by task, one mapping a baseline that was compared (not the model itself).
        num_baselines: how many the mix is taken over, the model itself included.
    """
    shares: dict[int, float] = defaultdict(float)
    for of_one in outcomes:
        if not of_one:
            return None
        mean = math.fsum(of_one.values()) / len(of_one)
        for task, value in of_one.items():
            shares[task] += (value - mean) / len(of_one) / num_baselines
    n = len(shares)
    return math.sqrt(math.fsum(s * s for s in shares.values()) * n / (n - 1)) if n > 1 else None


def normal_interval(value: float | None, se: float | None, scale: tuple[float, float]) -> tuple[float, float] | None:
    """``value`` plus and minus 1.96 standard errors, within the ends of its scale."""
    if value is None or se is None or math.isnan(se):
        return None
    return max(value - _Z95 * se, scale[0]), min(value + _Z95 * se, scale[1])


def _table(board: JudgeTable, verdicts: Sequence[Verdict], position: Mapping[str, int]) -> TableData:
    by_model: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        by_model[verdict.model].append(verdict)
    baselines = tuple(sorted({v.baseline for v in verdicts if v.baseline}))
    return TableData(board, baselines, tuple(_row(row, by_model[row.name], position) for row in board.rows))


def _row(board: BoardRow, verdicts: Sequence[Verdict], position: Mapping[str, int]) -> ModelRow:
    scores: list[float | None] = [None] * len(position)
    chars: list[int | None] = [None] * len(position)
    missing: dict[int, str] = {}
    pairs: dict[str, Comparisons] = {}
    for v in verdicts:
        at = position[v.task_id]
        if chars[at] is None or v.kind == "score":
            chars[at] = 0 if is_empty(v) else v.n_chars
        if v.kind == "score":
            scores[at] = v.value if v.status == "ok" else None
            if scores[at] is None:
                missing[at] = v.status
        elif v.baseline and v.status == "ok" and v.value is not None:
            known = v.n_chars is not None and v.baseline_n_chars is not None
            of_one = pairs.setdefault(v.baseline, Comparisons(v.baseline))
            of_one.task.append(at)
            of_one.value.append(v.value)
            of_one.gap.append((v.n_chars or 0) - (v.baseline_n_chars or 0) if known else None)
            of_one.second.append(v.order == "candidate_second")
    return ModelRow(board, scores, chars, missing, pairs, _cost(verdicts))


def _cost(verdicts: Sequence[Verdict]) -> dict[str, float | None]:
    """What judging a model took, by the verdicts that say it."""
    out: dict[str, float | None] = {"calls": len([v for v in verdicts if v.usage])}
    for key in ("prompt_tokens", "completion_tokens", "cost_usd"):
        said = [float(v.usage[key]) for v in verdicts if v.usage.get(key) is not None]
        out[key] = math.fsum(said) if said else None
    return out


def _tag_mask(task: Task | None) -> int:
    if task is None:
        return 0
    tags = [tag.strip().casefold() for tag in (task.primary_tag, *task.secondary_tags) if tag.strip()]
    mask = 0
    for tag in tags:
        mask |= 1 << _TAG_AT.get(tag, _TAG_AT["others"])
    return mask


def _primary(task: Task | None) -> int | None:
    if task is None or not task.primary_tag.strip():
        return None
    return _TAG_AT.get(task.primary_tag.strip().casefold(), _TAG_AT["others"])


def _title(task: Task | None) -> str | None:
    """The beginning of the task's request; None where the page must not show it or does not know it."""
    if task is None or task.split == "private" or not task.messages:
        return None
    text = " ".join(task.messages[-1].content.split())
    return text if len(text) <= _TITLE_CHARS else text[: _TITLE_CHARS - 1].rstrip() + "…"


def _default_title(tasks: Mapping[str, Task], tables: Sequence[TableData]) -> str:
    names = {task.benchmark for task in tasks.values()}
    if len(names) == 1:
        name = names.pop()
        return f"{name[:1].upper()}{name[1:]} leaderboard"
    if tables and all(table.board.version.startswith("v2.") for table in tables):
        return "WildBench leaderboard"
    return "Leaderboard"


def _own_notes(board: Leaderboard, tasks: Mapping[str, Task], pack: TextPack | None) -> Iterable[str]:
    if not board.tables:
        raise DataError("the files hold no verdicts")
    if not tasks:
        yield "no task file was given: categories, conversations and checklists are unknown (--tasks adds them)"
    if pack and pack.num_private:
        yield f"{pack.num_private:,} private tasks are shown without their texts"
    if pack and pack.num_other_text:
        yield (
            f"{pack.num_other_text:,} answers are not as long as the text that a judge saw: it was cut, or it is of "
            "another run; each is marked where it is shown"
        )


def _table_json(table: TableData, at: Mapping[str, int]) -> dict[str, Any]:
    return {
        "judge": table.title,
        "size": table.board.num_tasks,
        "by": table.board.ranked_by,
        "baselines": table.baselines,
        "rows": [
            {
                "model": at[row.name],
                "ranked": row.board.rank is not None,
                "scores": [_whole(score) for score in row.scores],
                "chars": row.chars,
                "missing": {str(task): status for task, status in row.missing.items()},
                "pairs": {
                    name: {
                        "task": pairs.task,
                        "value": [_whole(value) for value in pairs.value],
                        "gap": pairs.gap,
                        "second": "".join("01"[second] for second in pairs.second),
                    }
                    for name, pairs in row.pairs.items()
                },
            }
            for row in table.rows
        ],
    }


def _whole(value: float | None) -> float | int | None:
    """5.0 as 5, which is half as long."""
    return int(value) if value is not None and value == int(value) else value
