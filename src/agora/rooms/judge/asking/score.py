"""The main flow: put answers before a judge, once each, and keep every verdict."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from agora.core.errors import AgoraError, UsageError
from agora.core.records import Answer, Task, Verdict
from agora.rooms.judge.asking.orders import Place, balanced_orders
from agora.rooms.judge.asking.verdicts import VerdictFile, call_key, make_verdict, verdict_for, verdict_id, without_call
from agora.rooms.judge.types import (
    ChecklistItem,
    Item,
    Judge,
    Kind,
    Order,
    OrderPolicy,
    PairItem,
    PromptRef,
    ScoreItem,
    TaskSet,
)

ItemT = TypeVar("ItemT", bound=Item)

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
    items = score_items(tasks, answers, allow_partial=allow_partial)
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
    items = pair_items(tasks, answers, baseline_answers, order=order, seed=seed, allow_partial=allow_partial)
    return _judge("pair", items, judge, judge.compare, run_file, retry)


def judge_checklists(
    tasks: TaskSet | Iterable[Task],
    answers: Iterable[Answer],
    judge: Judge,
    run_file: Path,
    *,
    allow_partial: bool = False,
    retry: frozenset[str] = RETRY,
) -> list[Verdict]:
    """Go through each task's checklist for its answers; tasks without one are left out. As :func:`judge_scores`."""
    items = checklist_items(tasks, answers, allow_partial=allow_partial)
    return _judge("checklist", items, judge, judge.check, run_file, retry)


def score_items(
    tasks: TaskSet | Iterable[Task], answers: Iterable[Answer], *, allow_partial: bool = False
) -> list[ScoreItem]:
    """What :func:`judge_scores` asks about, by model and then in benchmark order."""
    tasks = TaskSet.of(tasks)
    checked = check_answers(tasks, answers, allow_partial=allow_partial)
    return [ScoreItem(tasks.by_id[answer.task_id], answer) for answer in checked]


def checklist_items(
    tasks: TaskSet | Iterable[Task], answers: Iterable[Answer], *, allow_partial: bool = False
) -> list[ChecklistItem]:
    """What :func:`judge_checklists` asks about, by model and then in benchmark order."""
    tasks = TaskSet.of(tasks)
    checked = check_answers(tasks, answers, allow_partial=allow_partial)
    shown = [(tasks.by_id[answer.task_id], answer) for answer in checked]
    return [ChecklistItem(task, answer) for task, answer in shown if task.checklist]


def pair_items(
    tasks: TaskSet | Iterable[Task],
    answers: Iterable[Answer],
    baseline_answers: Iterable[Answer],
    *,
    order: str | OrderPolicy = "hash",
    seed: int = 0,
    allow_partial: bool = False,
    asked: Mapping[Place, Sequence[Order]] = {},
) -> list[PairItem]:
    """What :func:`judge_pairs` asks about, by model, then in benchmark order, then by baseline.

    Args:
        asked: orders of comparisons that were asked before; the policy ``balanced`` keeps them.
    """
    tasks, policy = TaskSet.of(tasks), OrderPolicy.parse(order)
    checked = check_answers(tasks, answers, allow_partial=allow_partial)
    baselines: dict[str, list[Answer]] = defaultdict(list)
    for baseline in check_answers(tasks, baseline_answers, allow_partial=allow_partial, whose="baseline answer"):
        baselines[baseline.task_id].append(baseline)
    names = sorted({baseline.model for of_task in baselines.values() for baseline in of_task})
    laid_out: dict[str, dict[tuple[str, str], tuple[Order, ...]]] = {}
    if policy.name == "balanced":
        pairs: dict[str, list[tuple[str, str]]] = defaultdict(list)
        for answer in checked:
            met = (b.model for b in baselines[answer.task_id] if b.model != answer.model)
            pairs[answer.task_id] += [(answer.model, baseline) for baseline in met]
        laid_out = {task: balanced_orders(task, of_task, seed=seed, known=asked) for task, of_task in pairs.items()}
    items = []
    for answer in checked:
        position = tasks.position[answer.task_id]
        turns = {name: i for i, name in enumerate(name for name in names if name != answer.model)}
        for baseline in baselines[answer.task_id]:
            if baseline.model != answer.model:
                if laid_out:
                    shown = laid_out[answer.task_id][answer.model, baseline.model]
                else:
                    turn = turns[baseline.model]
                    shown = policy.orders(answer.task_id, answer.model, seed=seed, position=position, turn=turn)
                items += [PairItem(tasks.by_id[answer.task_id], answer, baseline, each) for each in shown]
    return items


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
    with VerdictFile(run_file, judge.name, judge.prompt(kind), kind) as stored:
        settle(items, judge, ask, stored, retry)
        return [stored.get(verdict_id(item, judge.name, judge.prompt(kind))) for item in items]


def settle(
    items: Sequence[ItemT],
    judge: Judge,
    ask: Callable[[Iterable[ItemT]], Iterator[Verdict]],
    stored: VerdictFile,
    retry: frozenset[str] = RETRY,
) -> int:
    """Ask about what the file does not hold yet, and append each verdict as it comes.

    Args:
        ask: ``judge.score``, ``judge.compare`` or ``judge.check``.

    Returns:
        How many items were put before the judge.
    """
    from agora.core.progress import progress

    calls = settle_without_call(items, judge, stored, retry)
    asked = len(calls)
    with progress(asked, f"{judge.name} judges", unit="call") as bar:
        for verdict in ask([same[0] for same in calls.values()]):
            if verdict.id not in calls:
                raise AgoraError(f"{judge.name} judged task {verdict.task_id} unasked, or twice")
            _store(calls.pop(verdict.id), verdict, judge, stored)
            bar.advance()
    for same in calls.values():
        error = {"error": "the judge gave no verdict"}
        prompt = judge.prompt(same[0].kind)
        _store(same, make_verdict(same[0], judge.name, prompt, "missing", parsed=error), judge, stored)
    return asked


def settle_without_call(
    items: Sequence[ItemT], judge: Judge, stored: VerdictFile, retry: frozenset[str]
) -> dict[str, list[ItemT]]:
    """Store what needs no call; the rest by the id of the one that is asked about for all with the same call."""
    asked: dict[str, str] = {}
    calls: dict[str, list[ItemT]] = {}
    for item in items:
        prompt = judge.prompt(item.kind)
        id_ = verdict_id(item, judge.name, prompt)
        if stored.settled(id_, retry):
            continue
        known = without_call(item, judge.name, prompt)
        key = call_key(item, judge.name, prompt)
        if known is None and (other := stored.by_call(key, retry)) is not None:
            known = verdict_for(item, other, judge.name, prompt)
        if known is not None:
            stored.add(known)
        else:
            again = replace(item, asked=stored.asked(id_)) if stored.asked(id_) else item
            calls.setdefault(asked.setdefault(key, id_), []).append(again)
    return calls


def count_calls(
    items: Sequence[Item], judge: str, prompt: PromptRef, stored: VerdictFile | None, retry: frozenset[str] = RETRY
) -> list[Item]:
    """The items that a judge would have to be asked about, one a call."""
    seen, found = set[str](), list[Item]()
    for item in items:
        key = call_key(item, judge, prompt)
        done = stored is not None and (
            stored.settled(verdict_id(item, judge, prompt), retry) or stored.by_call(key, retry) is not None
        )
        if not done and key not in seen and without_call(item, judge, prompt) is None:
            seen.add(key)
            asked = stored.asked(verdict_id(item, judge, prompt)) if stored is not None else 0
            found.append(replace(item, asked=asked) if asked else item)
    return found


def _store(same: Sequence[Item], verdict: Verdict, judge: Judge, stored: VerdictFile) -> None:
    first, *others = same
    stored.add(verdict)
    for item in others:
        stored.add(verdict_for(item, verdict, judge.name, judge.prompt(first.kind)))
