"""Models answer the tasks of a benchmark: once each, resumable, with the published settings as defaults."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agora.core.errors import ConfigError, DataError
from agora.core.progress import progress
from agora.core.records import Answer, Task, stable_id
from agora.core.run_list import RUN_FILE
from agora.core.runs import RunDir
from agora.core.tables import JsonlWriter, Rejects, read_records, write_jsonl
from agora.rooms.judge.asking.answer_files import ANSWERS, read_answer_files
from agora.rooms.judge.asking.estimate import Estimate, estimate, is_server, left_to_pay, refuse_private, task_bytes
from agora.rooms.judge.asking.score import check_answers
from agora.rooms.judge.types import TaskSet

if TYPE_CHECKING:
    from agora.engines._wire import Prices
    from agora.engines.types import ChatRequest, Generation

# What weak chat templates leave in the text; the published evaluation takes them out before judging.
_SPECIAL = re.compile(r"<\|endoftext\|>|</s>|<pad>|<end_of_turn>")
_USUAL_ANSWER = 700  # tokens; the mean answer of the published leaderboard has about 2,900 characters


@dataclass(frozen=True, slots=True)
class AnswerSettings:
    """How a model answers; the defaults are those of WildBench.

    Args:
        temperature: 0 is greedy.
        top_p: nucleus sampling.
        max_tokens: longest answer.
        seed: each task's own seed comes from this and its id.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 4096
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_tokens < 1 or self.temperature < 0 or not 0 < self.top_p <= 1:
            raise ConfigError(f"max_tokens must be at least 1, temperature 0 and top_p in (0, 1], got {asdict(self)}")


@dataclass(frozen=True, slots=True)
class AnswerReport:
    """What was done.

    Args:
        answers: the file.
        written: answers made now; ``there``: those of earlier runs.
        failed: task ids whose calls failed; they are asked again by the next run.
        empty, cut: answers without text, and those that reached ``max_tokens``.
    """

    answers: Path
    model: str
    num_tasks: int
    written: int
    there: int
    failed: tuple[str, ...]
    empty: int
    cut: int
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The object that ``agora judge answer --json`` prints."""
        return {name: getattr(self, name) for name in self.__slots__} | {"answers": str(self.answers)}


def estimate_answers(
    tasks: TaskSet,
    model: str,
    out: Path,
    settings: AnswerSettings,
    prices: Prices | None = None,
    cache: Path | None = None,
) -> Estimate:
    """Calls, tokens and cost of what a folder and the shared cache still lack."""
    file = Path(out) / ANSWERS
    done = {answer.task_id for answer in read_records(file, Answer)} if file.exists() and file.stat().st_size else set()
    todo = [task for task in tasks if task.id not in done]
    usual, free = min(_USUAL_ANSWER, settings.max_tokens), not is_server(model)
    paid = todo if free else left_to_pay(todo, model, cache, lambda _: _requests(todo, settings))
    told = estimate(
        model, map(task_bytes, paid), usual_reply=usual, most_reply=settings.max_tokens, prices=prices, free=free
    )
    return replace(told, cached=len(todo) - len(paid))


def answer_into(
    out: Path,
    tasks: TaskSet,
    model: str,
    *,
    name: str | None = None,
    settings: AnswerSettings = AnswerSettings(),
    command: str = "agora judge answer",
    send_private: bool = False,
    max_cost: float | None = None,
    prices: Prices | None = None,
    cache: Path | None = None,
    concurrency: int = 32,
) -> AnswerReport:
    """Have a model answer every task, into ``answers.jsonl`` of a run folder.

    Each answer is on disk when the next is asked for; a second run asks for what is missing only.

    Args:
        model: an engine URI.
        name: what the model is called on leaderboards; its URI when None.
        send_private: let private tasks go to a model on another machine.
        max_cost: US dollars for the folder as a whole.
        cache: file of replies that are not paid for again; one in the folder when None.

    Raises:
        ConfigError: the folder holds answers by another model, to other tasks or with other settings.
        BudgetError: the money is spent; what was finished is kept.
    """
    from agora.engines import Budget, find_engine, open_engine

    refuse_private(tasks, [model], send_private=send_private)
    if not (Path(out) / RUN_FILE).exists():
        find_engine(model)
    name = name or re.sub(r"//[^/@]*@", "//", model)
    config = {"model": model, "name": name, "tasks": tasks.sha, **asdict(settings)}
    with RunDir.open(out, command=command, config=config, seed=settings.seed) as run:
        file = run.file(ANSWERS)
        with JsonlWriter(file) as writer, Rejects(run.file("failed.jsonl")) as failed:
            done = _stored(file, tasks)
            spent = sum(float(a.params.get("cost_usd") or 0) for a in done.values())
            todo = [task for task in tasks if task.id not in done]
            if todo:
                budget = Budget(max_cost_usd=max_cost, spent_usd=spent) if max_cost is not None else None
                cache = cache or run.file("cache/answers.sqlite")
                engine = open_engine(model, cache=cache, budget=budget, prices=prices, concurrency=concurrency)
                try:
                    for answer in _ask(engine.chat(_requests(todo, settings)), name, model, todo, failed, settings):
                        writer.write(answer)
                        done[answer.task_id] = answer
                finally:
                    engine.close()
        ordered = [done[task.id] for task in tasks if task.id in done]
        if [task.id for task in tasks if task.id in done] != list(done):
            write_jsonl(file, ordered)
        report = _report(file, name, tasks, ordered, written=len(todo) - failed.count)
        run.metric("answers", len(ordered), model=name)
    return report


def import_into(
    out: Path,
    tasks: TaskSet,
    sources: Sequence[Path],
    *,
    name: str | None = None,
    allow_partial: bool = False,
    command: str = "agora judge answer",
) -> list[AnswerReport]:
    """Take over answers that others made, as they are, into ``answers.jsonl``.

    Raises:
        UsageError: unknown or repeated task ids, or missing answers; all are listed.
    """
    answers = read_answer_files(sources, tasks)
    if name is not None:
        answers = [replace(answer, model=name) for answer in answers]
    checked = check_answers(tasks, answers, allow_partial=allow_partial)
    files = {f"answers_{i}": Path(path) for i, path in enumerate(sources)}
    with RunDir.open(out, command=command, config={"tasks": tasks.sha, "name": name}, seed=0, inputs=files) as run:
        file = run.file(ANSWERS)
        write_jsonl(file, checked)
    models = dict.fromkeys(answer.model for answer in checked)
    return [_report(file, m, tasks, [a for a in checked if a.model == m], written=0) for m in models]


def clean_output(text: str) -> str:
    """The text without the special tokens that weak templates leave behind, stripped."""
    return _SPECIAL.sub(" ", text).strip()


def _requests(tasks: Sequence[Task], settings: AnswerSettings) -> Iterator[ChatRequest]:
    from agora.engines.types import ChatRequest, Sampling

    sampling = Sampling(settings.temperature, settings.top_p, settings.max_tokens)
    for task in tasks:
        seed = int(stable_id(settings.seed, task.id, size=4), 16) >> 1
        yield ChatRequest(task.id, tuple(m.as_chat() for m in task.messages), replace(sampling, seed=seed))


def _ask(
    replies: Iterator[Generation],
    name: str,
    model: str,
    todo: Sequence[Task],
    failed: Rejects,
    settings: AnswerSettings,
) -> Iterator[Answer]:
    with progress(len(todo), f"{name} answers", unit="task") as bar:
        for reply in replies:
            bar.advance()
            if reply.finish_reason == "error":
                failed.add(reply.id, "no answer", detail=reply.error)
                continue
            params: dict[str, Any] = {"model": re.sub(r"//[^/@]*@", "//", model), **asdict(settings)}
            params["prompt_tokens"] = reply.usage.prompt_tokens
            if reply.usage.cost_usd and not reply.cached:
                params["cost_usd"] = reply.usage.cost_usd
            text = clean_output(reply.text)
            yield Answer(reply.id, name, text, reply.finish_reason, reply.usage.completion_tokens, params)


def _stored(file: Path, tasks: TaskSet) -> dict[str, Answer]:
    if not file.exists() or not file.stat().st_size:
        return {}
    done = {answer.task_id: answer for answer in read_records(file, Answer)}
    strange = [id_ for id_ in done if id_ not in tasks.by_id]
    if strange:
        raise DataError(f"{len(strange)} answers are to other tasks, the first to {strange[0]}", where=str(file))
    return done


def _report(file: Path, name: str, tasks: TaskSet, answers: Sequence[Answer], *, written: int) -> AnswerReport:
    done = {answer.task_id for answer in answers}
    return AnswerReport(
        answers=file,
        model=name,
        num_tasks=len(tasks),
        written=written,
        there=len(answers) - written,
        failed=tuple(task.id for task in tasks if task.id not in done),
        empty=sum(not answer.output.strip() for answer in answers),
        cut=sum(answer.finish_reason == "length" for answer in answers),
        prompt_tokens=sum(int(answer.params.get("prompt_tokens") or 0) for answer in answers),
        completion_tokens=sum(answer.n_tokens or 0 for answer in answers),
        cost_usd=sum(float(answer.params.get("cost_usd") or 0) for answer in answers),
    )
