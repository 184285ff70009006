"""Leaderboards from files of verdicts: one table a judge, with coverage, intervals and which neighbors differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from agora.core.errors import DataError
from agora.core.records import Verdict
from agora.rooms.judge.judged_files import JudgedFile, judged_paths, read_judged
from agora.rooms.judge.metrics import Difference, ScoreReport, paired_difference, score_report
from agora.rooms.judge.reward import RewardReport, reward_report
from agora.rooms.judge.types import TaskSet


@dataclass(frozen=True, slots=True)
class BoardRow:
    """One model in one judge's table. ``rank`` is None for a model that is partial or has no score."""

    name: str
    score: ScoreReport | None
    reward: RewardReport | None
    truncated: int = 0
    rank: int | None = None

    @property
    def partial(self) -> bool:
        """True when too many tasks have no score for a place in the ranking."""
        return self.score is None or self.score.withheld or self.score.wb_score is None


@dataclass(frozen=True, slots=True)
class JudgeTable:
    """The models that one judge judged with one version of the evaluation, best first, partial ones last.

    Args:
        num_tasks: the benchmark's size, the denominator of every coverage; ``basis`` says where it comes from.
        neighbors: differences between models next to each other in the ranking, on their common tasks.
    """

    judge: str
    version: str
    num_tasks: int
    basis: str
    rows: tuple[BoardRow, ...]
    neighbors: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """Tables by judge; scores of two tables are not comparable."""

    tables: tuple[JudgeTable, ...]
    margin: int | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "models": [_model_json(row, table) for table in self.tables for row in table.rows],
            "tables": [_table_json(table) for table in self.tables],
            "margin": self.margin,
            "notes": list(self.notes),
        }


def leaderboard(
    files: Iterable[Path],
    *,
    tasks: TaskSet | None = None,
    judge: str | None = None,
    version: str | None = None,
    baseline: str | None = None,
    margin: int | None = None,
    allow_partial: bool = False,
    seed: int = 0,
) -> Leaderboard:
    """Build a leaderboard from files of verdicts or folders of them.

    Args:
        files: verdict files in any form that :func:`~agora.rooms.judge.judged_files.read_judged` knows.
        tasks: the benchmark: groups, and the denominator of the coverage. Without it WildBench v2 files have 1,024
            tasks and others the union of the tasks in their table.
        judge, version, baseline: of files that do not state them.
        margin: length margin K of the comparisons, in characters; None for none.
        allow_partial: rank models with under 95 % coverage too.
        seed: of the bootstrap.

    Raises:
        MissingError: a file is not there.
        DataError: a file is no file of verdicts, or two files hold verdicts on the same answers.
    """
    read = [read_judged(path, judge=judge, version=version, baseline=baseline) for path in judged_paths(files)]
    if not read:
        raise DataError("no files of verdicts were given")
    parts: dict[tuple[str, str], list[tuple[JudgedFile, Verdict]]] = defaultdict(list)
    for file in read:
        for verdict in file.verdicts:
            parts[verdict.judge, file.version].append((file, verdict))
    tables = tuple(
        _table(key, part, tasks, margin=margin, allow_partial=allow_partial, seed=seed)
        for key, part in sorted(parts.items())
    )
    return Leaderboard(tables, margin, tuple(_notes(tables, allow_partial)))


def _table(
    key: tuple[str, str],
    part: Sequence[tuple[JudgedFile, Verdict]],
    tasks: TaskSet | None,
    *,
    margin: int | None,
    allow_partial: bool,
    seed: int,
) -> JudgeTable:
    verdicts: dict[str, list[Verdict]] = defaultdict(list)
    for _, verdict in part:
        verdicts[verdict.model].append(verdict)
    _refuse_mixtures(part)
    num_tasks, basis = _denominator(part, tasks)
    truncated = _truncated({file.path: file for file, _ in part}.values())
    baselines = sorted({v.baseline for _, v in part if v.baseline})
    rows = []
    for model in verdicts.keys() | set(baselines):
        scores = [v for v in verdicts[model] if v.kind == "score"]
        pairs = [v for v in verdicts[model] if v.kind == "pair"]
        size: dict[str, Any] = {"tasks": tasks, "num_tasks": num_tasks, "seed": seed}
        score = score_report(scores, **size) if scores else None
        reward = reward_report(pairs, model=model, baselines=baselines, margin=margin, **size) if baselines else None
        rows.append(BoardRow(model, score, reward, truncated.get(model, 0)))
    ranked = _ranked(rows, allow_partial)
    return JudgeTable(*key, num_tasks, basis, ranked, _neighbors(ranked, verdicts))


def _refuse_mixtures(part: Sequence[tuple[JudgedFile, Verdict]]) -> None:
    """Refuse two prompts in one table, and two files on the same answers: which one counts is for the user to say."""
    seen: dict[tuple[str, ...], Path] = {}
    prompts: dict[str, str] = {}
    for file, v in part:
        if prompts.setdefault(v.kind, v.prompt_hash) != v.prompt_hash:
            raise DataError(
                f"{v.judge}'s {v.kind} verdicts rest on two prompts ({prompts[v.kind]} and {v.prompt_hash})",
                where=str(file.path),
                hint="make a leaderboard of each",
            )
        key = (v.kind, v.model, v.baseline or "", v.order or "", v.task_id)
        if seen.setdefault(key, file.path) != file.path:
            raise DataError(
                f"{v.judge} judged {v.model}'s answer to task {v.task_id} here and in {seen[key]}",
                where=str(file.path),
                hint="give one of the two files",
            )


def _denominator(part: Sequence[tuple[JudgedFile, Verdict]], tasks: TaskSet | None) -> tuple[int, str]:
    union = len({verdict.task_id for _, verdict in part})
    if tasks is not None:
        return len(tasks), "the given task file"
    known = max((file.num_tasks or 0 for file, _ in part), default=0)
    if known >= union:
        return known, f"WildBench {part[0][0].version} has {known:,} tasks"
    return union, "union of the tasks in this table"


def _truncated(files: Iterable[JudgedFile]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for file in files:
        counts.update(file.truncated or {})
    return counts


def _ranked(rows: Sequence[BoardRow], allow_partial: bool) -> tuple[BoardRow, ...]:
    """Best first by WB-Score, else by mix; whoever cannot be ranked comes last."""

    def place(row: BoardRow) -> tuple[bool, float, float, str]:
        score = row.score.wb_score if row.score else None
        mix = row.reward.mix if row.reward else None
        last = float("inf")
        return (
            row.partial and not allow_partial,
            last if score is None else -score,
            last if mix is None else -mix,
            row.name,
        )

    ordered = sorted(rows, key=place)
    out: list[BoardRow] = []
    for row in ordered:
        can = row.score is not None and row.score.wb_score is not None and (allow_partial or not row.partial)
        rank = sum(r.rank is not None for r in out) + 1 if can else None
        out.append(BoardRow(row.name, row.score, row.reward, row.truncated, rank))
    return tuple(out)


def _neighbors(rows: Sequence[BoardRow], verdicts: Mapping[str, Sequence[Verdict]]) -> tuple[Difference, ...]:
    ranked = [row.name for row in rows if row.rank is not None]
    scores = {
        name: {v.task_id: v.value for v in verdicts[name] if v.kind == "score" and v.value is not None}
        for name in ranked
    }
    return tuple(paired_difference(scores[a], scores[b], names=(a, b), n_boot=None) for a, b in pairwise(ranked))


def _notes(tables: Sequence[JudgeTable], allow_partial: bool) -> Iterable[str]:
    if len(tables) > 1:
        named = ", ".join(f"{table.judge} {table.version}".strip() for table in tables)
        yield f"{len(tables)} judges or versions ({named}): their scores are not comparable and share no ranking"
    for table in tables:
        for row in table.rows:
            if row.score is not None and row.score.withheld and not allow_partial:
                share = f"{100 * row.score.coverage:.1f} % of the tasks have a score"
                yield f"{row.name} by {table.judge}: {share}, not ranked (--allow-partial ranks it)"
            for warning in (*(row.score.warnings if row.score else ()), *(row.reward.warnings if row.reward else ())):
                yield f"{row.name} by {table.judge}: {warning}"
        cut = [f"{row.name} {row.truncated}" for row in table.rows if row.truncated]
        if cut:
            yield f"answers that were cut before {table.judge} saw them: {', '.join(cut)}"


def _model_json(row: BoardRow, table: JudgeTable) -> dict[str, Any]:
    out: dict[str, Any] = {"name": row.name, "judge": table.judge, "version": table.version, "rank": row.rank}
    score = row.score
    if score is not None:
        shown = row.rank is not None
        out |= {
            "n": score.n,
            "num_tasks": score.num_tasks,
            "coverage": score.coverage,
            "coverage_basis": table.basis,
            "wb_score": score.wb_score if shown else None,
            "wb_score_ci": [_number(score.interval.low), _number(score.interval.high)] if shown else None,
            "se": score.se,
            "partial": row.partial,
            "bounds": list(score.bounds) if score.bounds else None,
            "statuses": dict(score.statuses),
            "empty": score.empty,
            "truncated": row.truncated,
            "mean_chars": score.mean_chars,
        }
        if score.groups:
            out["groups"] = {name: group._asdict() for name, group in score.groups.items()}
            out |= {"macro": score.macro, "macro_june": score.macro_june}
    if row.reward is not None:
        out["wb_reward_mix"] = row.reward.mix
        out["wb_reward_mix_without_self"] = row.reward.mix_without_self
        out["wb_reward"] = {
            name: {
                "reward": one.reward,
                "n": one.n,
                "coverage": one.coverage,
                "se": one.se,
                "ci": [_number(one.interval.low), _number(one.interval.high)] if one.interval else None,
                "is_self": one.is_self,
                "counts": one.counts._asdict(),
            }
            for name, one in row.reward.baselines.items()
        }
    return out


def _number(value: float) -> float | None:
    return None if value != value else value


def _table_json(table: JudgeTable) -> dict[str, Any]:
    return {
        "judge": table.judge,
        "version": table.version,
        "num_tasks": table.num_tasks,
        "coverage_basis": table.basis,
        "ranking": [row.name for row in table.rows if row.rank is not None],
        "neighbors": [
            {
                "first": d.first,
                "second": d.second,
                "n_common": d.n_common,
                "difference": d.value,
                "se": d.se,
                "separable": d.separable,
            }
            for d in table.neighbors
        ],
    }
