"""Leaderboards from files of verdicts: one table a judge, with coverage, intervals and who can be told from whom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from agora.core.errors import DataError
from agora.core.garbage import rare_collections
from agora.core.length_control import GamedRows, LengthControlled
from agora.core.records import Verdict
from agora.core.stats import Interval
from agora.rooms.judge.formats.judged_files import JudgedFile, judged_paths, read_judged
from agora.rooms.judge.ranking.board_notes import board_notes
from agora.rooms.judge.ranking.elo import EloRating, wb_elo
from agora.rooms.judge.ranking.self_preference import Families, KinRanks, joint_ranks, table_ranks
from agora.rooms.judge.ranking.separability import Separability, separability
from agora.rooms.judge.ranking.strengths import Strengths, length_strengths, strengths
from agora.rooms.judge.ranking.style_control import Styles, style_strengths
from agora.rooms.judge.ranking.votes import VOTE_MARGIN, ScoreMatrix, Votes, pair_votes, score_votes
from agora.rooms.judge.scoring.bias import LengthEffect, OrderBias, difficulty_by_order, length_effect, order_bias
from agora.rooms.judge.scoring.legacy import LegacyFigures, legacy_figures
from agora.rooms.judge.scoring.length_control import length_control
from agora.rooms.judge.scoring.metrics import N_BOOT, WITHHOLD_UNSCORED, Difference, ScoreReport, score_report
from agora.rooms.judge.scoring.reward import RewardReport, mix_matrix, relabel, reward_report
from agora.rooms.judge.types import TaskSet


@dataclass(frozen=True, slots=True)
class BoardRow:
    """One model in one judge's table. ``rank`` is None for a model that is partial or has no value.

    Args:
        rank_bounds: 95 % bounds of the rank over resamples of tasks; None for a model without a rank.
        common: the value on the tasks that all ranked models and this one have, on the table's scale.
        num_common: how many tasks those are.
        length_controlled: win rates at equal lengths by baseline, in percent.
        legacy: the figures with the reference's faults, where they were asked for.
    """

    name: str
    score: ScoreReport | None
    reward: RewardReport | None
    truncated: int = 0
    rank: int | None = None
    rank_bounds: tuple[int, int] | None = None
    common: float | None = None
    num_common: int = 0
    length_controlled: Mapping[str, LengthControlled] = field(default_factory=dict)
    legacy: LegacyFigures | None = None

    @property
    def value(self) -> float | None:
        """What the table ranks by: WB-Score, or the mix of rewards where there are no scores."""
        return self.score.wb_score if self.score else self.reward.mix if self.reward else None

    @property
    def coverage(self) -> float:
        """Share of the benchmark's tasks behind the value."""
        if self.score is not None:
            return self.score.coverage
        parts = self.reward.baselines.values() if self.reward else ()
        return min((part.coverage for part in parts), default=0.0)

    @property
    def partial(self) -> bool:
        """True when too many tasks have no value for a place in the ranking."""
        return self.value is None or 1 - self.coverage > WITHHOLD_UNSCORED


@dataclass(frozen=True, slots=True)
class JudgeTable:
    """The models that one judge judged with one version of the evaluation, best first, partial ones last.

    Args:
        num_tasks: the benchmark's size, the denominator of every coverage; ``basis`` says where it comes from.
        ranked_by: ``score`` (WB-Score) or ``reward`` (mix of rewards).
        separability: all pairs of ranked models; None with fewer than two.
        ratings: Bradley-Terry from votes: differences of scores, or comparisons where there are no scores.
        ratings_at_equal_length, ratings_at_equal_style: the same with length, or length and markdown, controlled for;
            style needs the answers' texts.
        legacy_elo: WB-Elo as published, where it was asked for; circular where it has human anchors.
        order: order bias of the judge's comparisons; None without comparisons.
        length: how the judge's verdicts go with length.
        difficulty_shift: mean difficulty of tasks that show the candidate second minus that of the others; far from 0
            where the difficulties have taken in the order bias.
        own: the ranking with and without the verdicts in which the judge meets its own family; None if it meets none.
    """

    judge: str
    version: str
    num_tasks: int
    basis: str
    rows: tuple[BoardRow, ...]
    ranked_by: str = "score"
    separability: Separability | None = None
    ratings: Strengths | None = None
    ratings_at_equal_length: Strengths | None = None
    ratings_at_equal_style: Strengths | None = None
    legacy_elo: Mapping[str, EloRating] = field(default_factory=dict)
    order: OrderBias | None = None
    length: LengthEffect | None = None
    difficulty_shift: Interval | None = None
    own: KinRanks | None = None

    @property
    def ranking(self) -> list[str]:
        """Names of the ranked models, best first."""
        return [row.name for row in self.rows if row.rank is not None]

    @property
    def neighbors(self) -> tuple[Difference, ...]:
        """Differences between models next to each other in the ranking, on their common tasks."""
        if self.separability is None:
            return ()
        found = ((a, self.separability.between(a, b)) for a, b in pairwise(self.ranking))
        return tuple(d if d.first == a else d.mirrored() for a, pair in found if pair for d in [pair.difference])

    def rating(self, name: str) -> Interval | None:
        """The Bradley-Terry rating of a model, where the votes determine it."""
        return self.ratings.ratings.get(name) if self.ratings else None

    def rating_at_equal_style(self, name: str) -> Interval | None:
        """The rating with length and markdown controlled for, where the votes determine it."""
        return self.ratings_at_equal_style.ratings.get(name) if self.ratings_at_equal_style else None

    def rating_at_equal_length(self, name: str) -> Interval | None:
        """The rating with length controlled for, where the votes determine it."""
        return self.ratings_at_equal_length.ratings.get(name) if self.ratings_at_equal_length else None


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """Tables by judge; scores of two tables are not comparable.

    ``together`` has the ranking of all judges with and without self-preference, where one of several meets its family.
    """

    tables: tuple[JudgeTable, ...]
    margin: int | None
    notes: tuple[str, ...]
    together: tuple[KinRanks, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        from agora.rooms.judge.ranking.board_json import board_json

        return board_json(self)


@dataclass(frozen=True, slots=True)
class LengthControl:
    """What AlpacaEval's length control knows beside the verdicts."""

    difficulty: Mapping[str, float] | None = None
    gamed: GamedRows | None = None


def leaderboard(
    files: Iterable[Path | JudgedFile],
    *,
    tasks: TaskSet | None = None,
    judge: str | None = None,
    version: str | None = None,
    baseline: str | None = None,
    margin: int | None = None,
    allow_partial: bool = False,
    control: LengthControl | None = None,
    styles: Styles | None = None,
    legacy: bool = False,
    families: Families | None = None,
    seed: int = 0,
    n_boot: int = N_BOOT,
) -> Leaderboard:
    """Build a leaderboard from files of verdicts or folders of them.

    Args:
        files: verdict files in any form that :func:`~agora.rooms.judge.formats.judged_files.read_judged` knows, folders
            of them, or what that function read.
        tasks: the benchmark: groups, and the denominator of the coverage. Without it WildBench v2 files have 1,024
            tasks and others the union of the tasks in their table.
        judge, version, baseline: of files that do not state them.
        margin: length margin K of the comparisons, in characters; None for none.
        allow_partial: rank models with under 95 % coverage too.
        control: difficulties and gamed rows of the length-controlled win rate.
        styles: style counts of the answers, for ratings at equal style.
        legacy: add the figures with the reference's faults.
        families: models of a judge's own family, by judge; told by their names for a judge that is not among them.
        seed, n_boot: of the bootstraps over tasks.

    Raises:
        MissingError: a file is not there.
        DataError: a file is no file of verdicts, or two files hold verdicts on the same answers.
    """
    given = list(files)
    parts: dict[tuple[str, str], list[tuple[JudgedFile, Verdict]]] = defaultdict(list)
    with rare_collections():
        read = [file for file in given if isinstance(file, JudgedFile)]
        paths = judged_paths(path for path in given if not isinstance(path, JudgedFile))
        read += [read_judged(path, judge=judge, version=version, baseline=baseline) for path in paths]
        if not read:
            raise DataError("no files of verdicts were given")
        for file in read:
            for verdict in file.verdicts:
                parts[verdict.judge, file.version].append((file, verdict))
    from threadpoolctl import threadpool_limits  # here: it looks through the libraries that are loaded

    kin = families or {}
    plan = _Plan(tasks, margin, allow_partial, control or LengthControl(), styles, legacy, kin, seed, n_boot)
    with threadpool_limits(1, user_api="blas"):  # the products are small: a second thread spins longer than it works
        tables = tuple(_table(key, part, plan) for key, part in sorted(parts.items()))
    together = joint_ranks(tables, (v for part in parts.values() for _, v in part), kin)
    return Leaderboard(tables, margin, tuple(board_notes(tables, allow_partial, together)), tuple(together))


@dataclass(frozen=True, slots=True)
class _Plan:
    tasks: TaskSet | None
    margin: int | None
    allow_partial: bool
    control: LengthControl
    styles: Styles | None
    legacy: bool
    families: Families
    seed: int
    n_boot: int


def _table(key: tuple[str, str], part: Sequence[tuple[JudgedFile, Verdict]], plan: _Plan) -> JudgeTable:
    _refuse_mixtures(part)
    num_tasks, basis = _denominator(part, plan.tasks)
    truncated = _truncated(_files(part))
    pairs = relabel([v for _, v in part if v.kind == "pair"], plan.margin)
    scores: dict[str, list[Verdict]] = defaultdict(list)
    rewards: dict[str, list[Verdict]] = defaultdict(list)
    for _, v in part:
        if v.kind == "score":
            scores[v.model].append(v)
    for v in pairs:
        rewards[v.model].append(v)
    baselines = sorted({v.baseline for v in pairs if v.baseline})
    size: dict[str, Any] = {"tasks": plan.tasks, "num_tasks": num_tasks, "seed": plan.seed, "n_boot": plan.n_boot}
    controlled = length_control(pairs, difficulty=plan.control.difficulty, gamed=plan.control.gamed)
    rows = []
    for model in sorted(scores.keys() | rewards.keys() | set(baselines)):
        score = score_report(scores[model], **size) if model in scores else None
        own = rewards.get(model, [])
        reward = reward_report(own, model=model, baselines=baselines, **size) if baselines else None
        row = BoardRow(model, score, reward, truncated.get(model, 0), length_controlled=controlled.get(model, {}))
        if plan.legacy:
            judged = [v for _, v in part if v.model == model]
            found = legacy_figures(model, judged, baselines=baselines, tasks=plan.tasks, margin=plan.margin)
            row = replace(row, legacy=found)
        rows.append(row)
    ranked = _ranked(rows, plan.allow_partial)
    matrix = ScoreMatrix.of({name: scores[name] for name in sorted(scores)})
    votes = score_votes(matrix) if scores else pair_votes(pairs)
    apart, ranked = _told_apart(ranked, matrix, rewards, baselines, plan)
    ranked_by = "score" if scores else "reward"
    return JudgeTable(
        *key,
        num_tasks,
        basis,
        ranked,
        ranked_by,
        apart,
        *_ratings(votes, plan),
        _legacy_elo(matrix, plan),
        order=order_bias(pairs) if pairs else None,
        length=length_effect([v for _, v in part]),
        difficulty_shift=difficulty_by_order(pairs, plan.control.difficulty) if plan.control.difficulty else None,
        own=table_ranks(key[0], ranked, ranked_by, (v for _, v in part), plan.families),
    )


def _ratings(votes: Votes, plan: _Plan) -> tuple[Strengths | None, Strengths | None, Strengths | None]:
    if len(votes.battles.names) < 2:
        return None, None, None
    plain = strengths(votes, seed=plan.seed, n_boot=plan.n_boot)
    by_length = length_strengths(votes, seed=plan.seed, n_boot=plan.n_boot)
    if plan.styles is None:
        return plain, by_length, None
    return plain, by_length, style_strengths(votes, plan.styles, seed=plan.seed, n_boot=plan.n_boot)


def _legacy_elo(matrix: ScoreMatrix, plan: _Plan) -> Mapping[str, EloRating]:
    if not plan.legacy or len(matrix.models) < 2:
        return {}
    return wb_elo(score_votes(matrix, tie_margin=VOTE_MARGIN), seed=plan.seed)


def _refuse_mixtures(part: Sequence[tuple[JudgedFile, Verdict]]) -> None:
    """Refuse two prompts in one table, and two files on the same answers: which one counts is for the user to say."""
    seen: dict[tuple[str, ...], JudgedFile] = {}
    prompts: dict[str, str] = {}
    for file, v in part:
        if prompts.setdefault(v.kind, v.prompt_hash) != v.prompt_hash:
            raise DataError(
                f"{v.judge}'s {v.kind} verdicts rest on two prompts ({prompts[v.kind]} and {v.prompt_hash})",
                where=str(file.path),
                hint="make a leaderboard of each",
            )
        key = (v.kind, v.model, v.baseline or "", v.order or "", v.task_id)
        if seen.setdefault(key, file) is not file:
            raise DataError(
                f"{v.judge} judged {v.model}'s answer to task {v.task_id} here and in {seen[key].path}",
                where=str(file.path),
                hint="give one of the two files",
            )


def _files(part: Sequence[tuple[JudgedFile, Verdict]]) -> list[JudgedFile]:
    return list({id(file): file for file, _ in part}.values())


def _denominator(part: Sequence[tuple[JudgedFile, Verdict]], tasks: TaskSet | None) -> tuple[int, str]:
    union = len({verdict.task_id for _, verdict in part})
    if tasks is not None:
        return len(tasks), "the given task file"
    known = max((file.num_tasks or 0 for file in _files(part)), default=0)
    if known >= union:
        return known, f"WildBench {part[0][0].version} has {known:,} tasks"
    return union, "union of the tasks in this table"


def _truncated(files: Iterable[JudgedFile]) -> dict[str, int]:
    counts: dict[str, int] = defaultdict(int)
    for file in files:
        for model, count in (file.truncated or {}).items():
            counts[model] += count
    return counts


def _ranked(rows: Sequence[BoardRow], allow_partial: bool) -> tuple[BoardRow, ...]:
    """Best first by WB-Score, in a table without scores by mix; whoever cannot be ranked comes last."""
    has_scores = any(row.score for row in rows)

    def can(row: BoardRow) -> bool:
        there = row.value is not None and (row.score is not None or not has_scores)
        return there and (allow_partial or not row.partial)

    ordered = sorted(rows, key=lambda row: (not can(row), row.value is None, -(row.value or 0.0), row.name))
    return tuple(replace(row, rank=i if can(row) else None) for i, row in enumerate(ordered, 1))


def _told_apart(
    rows: tuple[BoardRow, ...],
    matrix: ScoreMatrix,
    rewards: Mapping[str, Sequence[Verdict]],
    baselines: Sequence[str],
    plan: _Plan,
) -> tuple[Separability | None, tuple[BoardRow, ...]]:
    """Which ranked models differ, and the rows with their rank bounds and their value on common tasks."""
    import numpy as np

    if any(row.score for row in rows):
        scale, shift, names = 20.0, -100.0, matrix.models
        values_TM = matrix.values_TM
    else:
        scale, shift, names = 100.0, 0.0, tuple(row.name for row in rows)
        values_TM = mix_matrix(rewards, names, baselines)
    column = {name: values_TM[:, m] for m, name in enumerate(names)}
    ranked = [row.name for row in rows if row.rank is not None and row.name in column]
    found = None
    if len(ranked) > 1:
        chosen_TM = np.column_stack([column[name] for name in ranked])
        found = separability(chosen_TM, ranked, scale=scale, shift=shift, seed=plan.seed, n_boot=plan.n_boot)
    out = []
    for row in rows:
        shared = [column[name] for name in {*ranked, row.name} if name in column]
        there = ~np.isnan(np.column_stack(shared)).any(axis=1) if shared and row.name in column else np.zeros(0, bool)
        common = float(column[row.name][there].mean()) * scale + shift if there.any() else None
        bounds = found.ranks.get(row.name) if found else None
        out.append(replace(row, rank_bounds=bounds, common=common, num_common=int(there.sum())))
    return found, tuple(out)
