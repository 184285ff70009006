"""Cut benchmark tasks from real conversations (WildBench, arXiv:2406.04770, section 2.1).

A task is everything up to and including the last user turn; earlier assistant turns stay as they were. Rules,
duplicates, one conversation a user, difficulty by several raters, a target mix, a private part; every conversation that
does not become a task is kept in ``dropped.jsonl`` with its step and reason. People review what is left.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agora.core.errors import ConfigError
from agora.core.files import BLOCK, atomic_file
from agora.core.progress import progress
from agora.core.records import Task
from agora.core.runs import RunDir
from agora.core.tables import Row, read_json, read_records, read_rows, write_json, write_jsonl
from agora.rooms.judge.mining.asking import check_chats, name_of, run_secret
from agora.rooms.judge.mining.choose import choose, original_mix, split_off_private
from agora.rooms.judge.mining.distinct import Lost, Split, drop_close, drop_duplicates, last_of_each_user
from agora.rooms.judge.mining.outcome import (
    DRAWN,
    IN_MIX,
    LAST,
    NOT_CLOSE,
    NOT_EASY,
    NOT_NEAR,
    Mined,
    funnel_of,
    notes_of,
    rater_row,
    read_outcome,
)
from agora.rooms.judge.mining.pool import draw_pool, read_tasks
from agora.rooms.judge.mining.ratings import RATE, Rating, rate_tasks, refusal_by_raters, with_ratings
from agora.rooms.judge.mining.read import read_candidates, read_log, shard_files
from agora.rooms.judge.mining.report import write_page
from agora.rooms.judge.mining.settings import MineSettings
from agora.rooms.judge.mining.spending import estimate_asking, read_journal, secret_file

if TYPE_CHECKING:
    from agora.curate.embeddings import EmbedderSpec
    from agora.engines.types import Engine
    from agora.rooms.judge.asking.estimate import Estimate
    from agora.rooms.judge.asking.judging import Means

__all__ = ["MineSettings", "mine_tasks"]

RATINGS = "ratings.jsonl"


def mine_tasks(
    conversations: Path,
    run: RunDir,
    settings: MineSettings,
    *,
    format: str = "auto",
    raters: Sequence[Engine] = (),
    embedder: EmbedderSpec | None = None,
    benchmark: str = "mined",
    version: str = "1",
    workers: int | None = None,
    secret: Path | None = None,
) -> Mined:
    """Mine a log into the run's folder; a run that was killed goes on where it stopped.

    The log is read in shards by several processes and never held in memory; what is held are the last user turns that
    passed the rules. Ratings are asked for once: finished ones are kept as they come.

    Args:
        conversations: a file in any format of :mod:`agora.curate.importers`.
        run: an open run folder.
        settings: the rules and sizes.
        format: of the file, or ``auto``.
        raters: chat models that rate difficulty, categories and intent; without one the tasks stay unrated and the
            notes say so.
        embedder: drops requests that are close in meaning; see :func:`agora.curate.embeddings.find_embedder`.
        benchmark, version: what the tasks will be called.
        workers: processes that read; None for one a CPU.
        secret: file of the secret of the prompts' codes; one in the run's folder when None.

    Raises:
        DataError: the log cannot be read, or changed on the way.
        CapabilityError: a rater cannot chat.
        ConfigError: a mix of categories without a rater who would tell them, or two raters of one name.
    """
    if run.done("choose"):
        shutil.rmtree(run.path / "work", ignore_errors=True)
        return Mined.of(run)
    for rater in raters:
        check_chats(rater)
    check_raters([name_of(rater) for rater in raters], settings)
    draw_into(
        conversations,
        run,
        settings,
        format=format,
        rated=bool(raters),
        embedder=embedder,
        benchmark=benchmark,
        version=version,
        workers=workers,
    )
    ratings = _rate(run, raters, secret or secret_file(run.path / "work", None))
    with run.stage("choose"):
        _choose(run, settings, ratings, raters, embedder)
    shutil.rmtree(run.path / "work", ignore_errors=True)
    return Mined.of(run)


def draw_into(
    conversations: Path,
    run: RunDir,
    settings: MineSettings,
    *,
    format: str = "auto",
    rated: bool = False,
    embedder: EmbedderSpec | None = None,
    benchmark: str = "mined",
    version: str = "1",
    workers: int | None = None,
) -> None:
    """The part of :func:`mine_tasks` before a rater is asked: read, apply the rules, drop duplicates, draw the pool.

    What is finished is not done again.

    Args:
        rated: raters will be asked about the pool.
    """
    work = run.path / "work"
    if not run.done("read"):
        with run.stage("read"):
            outcome = read_log(conversations, work, settings, format=format, workers=workers)
            _join(shard_files(work, outcome.num_shards, "rejects.jsonl"), run.file("rejects.jsonl"))
            write_json(run.file("work/read.json"), outcome._asdict())
    if not run.done("distinct"):
        with run.stage("distinct"):
            _write_pool(conversations, run, settings, format, rated, embedder, benchmark, version, workers)


def check_raters(names: Sequence[str], settings: MineSettings) -> None:
    """See that the raters fit the settings, before anything is read.

    Raises:
        ConfigError: a mix of categories without a rater who would tell them, or two raters of one name.
    """
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        raise ConfigError(f"the rater {twice[0]} is named twice", hint="name different models")
    if settings.mix != "original" and not names:
        raise ConfigError("a mix of categories needs a rater who tells them", hint="add --rater URI, or leave mix out")


def _join(parts: Sequence[Path], out: Path) -> None:
    with atomic_file(out) as joined:
        for part in parts:
            with part.open("rb") as source:
                shutil.copyfileobj(source, joined, BLOCK)


def _write_pool(
    conversations: Path,
    run: RunDir,
    settings: MineSettings,
    format: str,
    rated: bool,
    embedder: EmbedderSpec | None,
    benchmark: str,
    version: str,
    workers: int | None,
) -> None:
    """Drop duplicates and earlier conversations of a user, draw the pool, and read its conversations."""
    work = run.path / "work"
    outcome = read_outcome(run)
    candidates, signed = read_candidates(work, outcome.num_shards)
    steps: list[tuple[str, Split]] = []
    with progress(None, "looking for duplicates", "steps") as bar:
        steps.append((NOT_NEAR, drop_duplicates(candidates, signed, settings.near_duplicate_jaccard)))
        del candidates, signed
        bar.advance()
        if embedder is not None:
            left = steps[-1][1].kept
            close = drop_close(left, embedder, settings.embedding_cosine, work / "vectors", workers=workers)
            steps.append((NOT_CLOSE, close))
            bar.advance()
        left = steps[-1][1].kept
        unknown = sum(candidate.user is None for candidate in left)
        if settings.one_per_user:
            steps.append((LAST, last_of_each_user(left)))
            bar.advance()
    size, reason = settings.max_tasks, "beyond the number asked for"
    if rated:
        size, reason = settings.pool_size, "not drawn"
    drawn = draw_pool(steps[-1][1].kept, size, settings.seed, reason)
    steps.append((DRAWN if rated else IN_MIX, drawn))
    tasks = read_tasks(conversations, drawn.kept, benchmark=benchmark, version=version, format=format)
    write_jsonl(run.file("work/pool.jsonl"), tasks)
    write_jsonl(run.file("work/lost.jsonl"), (_lost_row(step, lost) for step, split in steps for lost in split.lost))
    counts = [[step, dict(Counter(lost.reason for lost in split.lost))] for step, split in steps]
    write_json(run.file("work/distinct.json"), {"steps": counts, "unknown_users": unknown})


def _lost_row(step: str, lost: Lost) -> dict[str, Any]:
    candidate = lost.candidate
    where = {"task": candidate.task, "line": candidate.line, "leaf": candidate.leaf, "step": step}
    return where | {"reason": lost.reason, **lost.detail, "request": candidate.text[:300]}


def estimate_ratings(run: RunDir, raters: Sequence[str], means: Means) -> list[Estimate]:
    """Calls, tokens and cost of the ratings that a run still lacks, by rater; asks nothing.

    Args:
        run: after :func:`draw_into`.
        raters: URIs.
    """
    found = _ratings_on_file(run)
    tasks = [] if run.done("rate") else list(_records(run.path / "work/pool.jsonl"))
    return estimate_asking(RATE, raters, lambda name: _unrated(tasks, name, found), run.path / "work", means)


def _ratings_on_file(run: RunDir) -> dict[tuple[str, str], Rating]:
    return {(r.task_id, r.rater): r for r in read_journal(run.path / RATINGS, Rating)}


def _unrated(tasks: Sequence[Task], rater: str, found: dict[tuple[str, str], Rating]) -> list[Task]:
    return [t for t in tasks if (r := found.get((t.id, rater))) is None or r.status == "missing"]


def _rate(run: RunDir, raters: Sequence[Engine], secret_path: Path) -> dict[str, list[Rating]]:
    """Ratings by task; what is on file already is not asked for again, calls that failed are."""
    if not raters:
        return {}
    from agora.core.jsonl import JsonlWriter

    found = _ratings_on_file(run)
    if not run.done("rate"):
        tasks = list(_records(run.path / "work/pool.jsonl"))
        secret = run_secret(secret_path)
        with run.stage("rate"), JsonlWriter(run.file(RATINGS)) as writer:
            for rater in raters:
                name = name_of(rater)
                todo = _unrated(tasks, name, found)
                with progress(len(tasks), f"rating by {name}", "tasks") as bar:
                    bar.advance(len(tasks) - len(todo))
                    for rating in rate_tasks(todo, rater, secret):
                        writer.write(rating)
                        found[rating.task_id, name] = rating
                        bar.advance()
    by_task: dict[str, list[Rating]] = {}
    order = {name_of(rater): i for i, rater in enumerate(raters)}
    for rating in sorted(found.values(), key=lambda r: order.get(r.rater, len(order))):
        by_task.setdefault(rating.task_id, []).append(rating)
    return by_task


def _rows(path: Path) -> Iterator[Row]:
    return read_rows(path) if path.stat().st_size else iter(())


def _records(path: Path) -> Iterator[Task]:
    return read_records(path, Task) if path.stat().st_size else iter(())


def _choose(
    run: RunDir,
    settings: MineSettings,
    ratings: dict[str, list[Rating]],
    raters: Sequence[Engine],
    embedder: EmbedderSpec | None,
) -> None:
    """Take out what every rater finds easy, draw the mix, set the private part apart, and write what a person reads."""
    pool = [with_ratings(task, ratings.get(task.id, ())) for task in _records(run.path / "work/pool.jsonl")]
    refused = {t.id: why for t in pool if (why := refusal_by_raters(ratings.get(t.id, ()), len(raters)))}
    left = [task for task in pool if task.id not in refused]
    beyond: list[Task] = []
    cells: list[dict[str, Any]] = []
    if raters and pool:
        mix = original_mix(pool) if settings.mix == "original" else settings.mix
        chosen = choose(left, mix, settings.max_tasks, settings.seed)
        left, beyond, cells = chosen.tasks, chosen.beyond, [cell._asdict() for cell in chosen.cells]
    tasks = split_off_private(left, settings.private_share, settings.seed)
    rows = [_task_row(t, NOT_EASY, refused[t.id]) for t in pool if t.id in refused]
    rows += [_task_row(t, IN_MIX, "beyond the number or mix asked for") for t in beyond]
    outcome = read_outcome(run)
    write_jsonl(run.file("work/late.jsonl"), rows)
    parts = [*shard_files(run.path / "work", outcome.num_shards, "dropped.jsonl"), run.path / "work/lost.jsonl"]
    _join([*parts, run.path / "work/late.jsonl"], run.file("dropped.jsonl"))
    write_jsonl(run.file("tasks.jsonl"), tasks)
    distinct = read_json(run.path / "work/distinct.json")
    funnel = funnel_of(outcome, distinct["steps"], rows, bool(raters))
    summary: dict[str, Any] = {
        "num_tasks": len(tasks),
        "num_private": sum(task.split == "private" for task in tasks),
        "funnel": funnel.to_json(),
        "notes": notes_of(outcome, distinct, settings, ratings, raters, embedder),
        "mix": cells,
        "raters": [rater_row(name_of(rater), ratings) for rater in raters],
    }
    write_json(run.file("mining.json"), summary)
    told = run.info
    write_page(
        run.file("report.html"),
        log=Path(next(iter(told["inputs"].values()), {"path": ""})["path"]).name,
        command=told["command"],
        funnel=funnel,
        notes=summary["notes"],
        mix=cells,
        raters=summary["raters"],
        tasks=tasks,
        dropped=(row.data for row in _rows(run.path / "dropped.jsonl")),
    )


def _task_row(task: Task, step: str, reason: str) -> dict[str, Any]:
    line = task.provenance.line if task.provenance else None
    where = {"task": task.id, "line": line, "leaf": task.meta.get("leaf"), "step": step, "reason": reason}
    return where | {"request": task.messages[-1].content[:300], "difficulty": task.meta.get("difficulty")}
