"""The main flow: put answers before a judge, once each, and keep every verdict."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from agora.core.errors import AgoraError, DataError, UsageError
from agora.core.records import Answer, Task, Verdict
from agora.core.schemas import from_row
from agora.core.tables import read_rows
from agora.rooms.judge.types import Item, Judge, Kind, OrderPolicy, PairItem, ScoreItem, TaskSet
from agora.rooms.judge.verdicts import VerdictFile, call_key, make_verdict, verdict_for, verdict_id, without_call

ItemT = TypeVar("ItemT", ScoreItem, PairItem)

#: Statuses that are asked again when a run is started again: those of calls that may succeed next time.
RETRY = frozenset({"missing"})


def judge_scores(
    tasks: TaskSet | Iterable[Task],
    answers: Iterable[Answer],
    judge: Judge,
    run_file: Path,
    *,
    allow_partial: bool = False,
    retry: frozenset[str] = RETRY,
) -> list[Verdict]:
    """Grade answers from 1 to 10.

    Verdicts are appended to ``run_file`` as they come. What is there already, by the same judge and prompt on the same
    text, is not asked again, whenever and however the last run ended; identical answers to a task are asked once.

    Args:
        tasks: the benchmark.
        answers: of any number of models.
        judge: see :func:`agora.rooms.judge.open_judge`.
        run_file: JSON Lines of verdicts.
        allow_partial: accept models that did not answer every task.
        retry: stored statuses that are asked again.

    Returns:
        One verdict an answer, by model and then in benchmark order.

    Raises:
        UsageError: unknown or repeated task ids, or missing answers.
        ConfigError: ``run_file`` holds verdicts by another judge or prompt.
    """
    tasks = TaskSet.of(tasks)
    checked = check_answers(tasks, answers, allow_partial=allow_partial)
    items = [ScoreItem(tasks.by_id[answer.task_id], answer) for answer in checked]
    return _judge("score", items, judge, judge.score, run_file, retry)


def judge_pairs(
    tasks: TaskSet | Iterable[Task],
    answers: Iterable[Answer],
    baseline_answers: Iterable[Answer],
    judge: Judge,
    run_file: Path,
    *,
    order: str | OrderPolicy = "hash",
    seed: int = 0,
    allow_partial: bool = False,
    retry: frozenset[str] = RETRY,
) -> list[Verdict]:
    """Compare answers with those of one or more baselines.

    As :func:`judge_scores`. A model that is a baseline is not compared with itself.

    Args:
        baseline_answers: of any number of baselines, told apart by their model names.
        order: order policy (:class:`~agora.rooms.judge.types.OrderPolicy`).
        seed: draws the orders.
    """
    tasks, policy = TaskSet.of(tasks), OrderPolicy.parse(order)
    checked = check_answers(tasks, answers, allow_partial=allow_partial)
    baselines: dict[str, list[Answer]] = defaultdict(list)
    for baseline in check_answers(tasks, baseline_answers, allow_partial=allow_partial, whose="baseline"):
        baselines[baseline.task_id].append(baseline)
    items = [
        PairItem(tasks.by_id[answer.task_id], answer, baseline, shown)
        for answer in checked
        for baseline in baselines[answer.task_id]
        if baseline.model != answer.model
        for shown in policy.orders(answer.task_id, answer.model, seed=seed)
    ]
    return _judge("pair", items, judge, judge.compare, run_file, retry)


def read_answers(path: Path) -> list[Answer]:
    """Read ``answer/1`` rows; an output that is null or no text is an empty answer, which is judged as one.

    Raises:
        DataError: a row that is no answer; names file and line.
    """
    answers = []
    for line, row in read_rows(path):
        output = row.get("output")
        try:
            answers.append(from_row(Answer, {**row, "output": output if isinstance(output, str) else ""}))
        except DataError as err:
            raise DataError(err.what, where=f"{path}:{line}", hint=err.hint) from None
    return answers


def check_answers(
    tasks: TaskSet, answers: Iterable[Answer], *, allow_partial: bool = False, whose: str = "answer"
) -> list[Answer]:
    """The answers by model (in order of first appearance) and then in benchmark order.

    Raises:
        UsageError: lists unknown ids, repeated ids, and, unless ``allow_partial``, tasks without an answer.
    """
    given = list(answers)
    unknown = [a.task_id for a in given if a.task_id not in tasks.by_id]
    if unknown:
        hint = "are the answers to another benchmark or version?"
        raise UsageError(f"{whose}s to unknown tasks: {_listed(unknown)}", hint=hint)
    counts = Counter((a.model, a.task_id) for a in given)
    repeated = [f"{task} ({model})" for (model, task), n in counts.items() if n > 1]
    if repeated:
        hint = "keep one answer a task and model"
        raise UsageError(f"more than one {whose} to a task: {_listed(repeated)}", hint=hint)
    models = {model: i for i, model in enumerate(dict.fromkeys(a.model for a in given))}
    missing = [f"{task.id} ({model})" for model in models for task in tasks if (model, task.id) not in counts]
    if missing and not allow_partial:
        raise UsageError(f"no {whose} to {_listed(missing)}", hint="answer them or use --allow-partial")
    return sorted(given, key=lambda a: (models[a.model], tasks.position[a.task_id]))


def _listed(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{len(names):,}: {', '.join(names[:most])}{more}"


def _judge(
    kind: Kind,
    items: Sequence[ItemT],
    judge: Judge,
    ask: Callable[[Iterable[ItemT]], Iterator[Verdict]],
    run_file: Path,
    retry: frozenset[str],
) -> list[Verdict]:
    """Ask about what the file does not hold yet, and append each verdict as it comes."""
    from agora.core.progress import progress

    prompt = judge.prompt(kind)
    ids = [verdict_id(item, judge.name, prompt) for item in items]
    with VerdictFile(run_file, judge.name, prompt, kind) as stored:
        done = {id_ for id_, verdict in stored.by_id.items() if verdict.status not in retry}
        todo = [item for item, id_ in zip(items, ids, strict=True) if id_ not in done]
        calls = _settle_without_call(todo, judge, stored, retry)
        with progress(len(calls), f"{judge.name} judges", unit="call") as bar:
            for verdict in ask([same[0] for same in calls.values()]):
                if verdict.id not in calls:
                    raise AgoraError(f"{judge.name} judged task {verdict.task_id} unasked, or twice")
                _store(calls.pop(verdict.id), verdict, judge, stored)
                bar.advance()
        for same in calls.values():
            error = {"error": "the judge gave no verdict"}
            _store(same, make_verdict(same[0], judge.name, prompt, "missing", parsed=error), judge, stored)
        return [stored.by_id[id_] for id_ in ids]


def _settle_without_call(
    todo: Sequence[ItemT], judge: Judge, stored: VerdictFile, retry: frozenset[str]
) -> dict[str, list[ItemT]]:
    """Store what needs no call; the rest by the id of the one that is asked about for all with the same call."""
    asked: dict[str, str] = {}
    calls: dict[str, list[ItemT]] = {}
    for item in todo:
        prompt = judge.prompt(item.kind)
        key = call_key(item, judge.name, prompt)
        known = without_call(item, judge.name, prompt)
        if known is None and key in stored.by_call and stored.by_call[key].status not in retry:
            known = verdict_for(item, stored.by_call[key], judge.name, prompt)
        if known is not None:
            stored.add(known)
        else:
            id_ = asked.setdefault(key, verdict_id(item, judge.name, prompt))
            calls.setdefault(id_, []).append(item)
    return calls


def _store(same: Sequence[Item], verdict: Verdict, judge: Judge, stored: VerdictFile) -> None:
    first, *others = same
    stored.add(verdict)
    for item in others:
        stored.add(verdict_for(item, verdict, judge.name, judge.prompt(first.kind)))
