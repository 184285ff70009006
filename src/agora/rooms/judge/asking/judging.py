"""A judging as a folder: answers go before judges, every verdict is kept, and a summary says how sure it is.

judged/run.json                      what was asked: tasks, judges, prompts, settings
judged/verdicts/JUDGE.score.jsonl    each judge's verdicts, append-only (JUDGE.pair.jsonl, JUDGE.checklist.jsonl)
judged/verdicts/panel.score.jsonl    the panel's, where there are several judges
judged/summary.json                  figures by judge and model, counts by status, tokens, cost
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from agora.core.errors import BudgetError, UsageError
from agora.core.records import Answer, Verdict, stable_id
from agora.core.run_list import RUN_FILE
from agora.core.runs import RunDir
from agora.core.tables import write_json, write_jsonl
from agora.rooms.judge.asking.estimate import (
    USUAL_REPLY,
    Estimate,
    estimate,
    is_server,
    judge_prompt_bytes,
    left_to_pay,
    refuse_private,
)
from agora.rooms.judge.asking.judges import check_engine_uri, judge_name, open_judge, split_name
from agora.rooms.judge.asking.llm import LlmJudge
from agora.rooms.judge.asking.orders import asked_orders
from agora.rooms.judge.asking.panel import panel_verdicts
from agora.rooms.judge.asking.reply_forms import ResponseFormat, check_format
from agora.rooms.judge.asking.score import RETRY, checklist_items, count_calls, pair_items, score_items, settle
from agora.rooms.judge.asking.summary import JudgeSummary, Judging, summarize
from agora.rooms.judge.asking.verdicts import VerdictFile, make_verdict, verdict_id
from agora.rooms.judge.types import Item, Judge, Kind, OrderPolicy, PromptRef, TaskSet

if TYPE_CHECKING:
    from agora.engines._wire import Prices
    from agora.engines.types import ChatRequest, Engine

_OWN_JUDGES = ("microcosm:checker", "replay:")


@dataclass(frozen=True, slots=True)
class JudgingSettings:
    """What decides the verdicts of a judging.

    Args:
        kind: ``score`` (1 to 10) or ``pair`` (against baselines).
        judges: engine URIs, ``microcosm:checker`` or ``replay:FILE``, each as ``NAME=URI`` if it shall have a name.
        order: order policy of comparisons.
        seed: draws the orders and the codes of the prompts' delimiters.
        max_tokens: longest reply of a judge; one that is cut off is asked once more with twice the room.
        num_reasks: how often an unreadable reply is asked for again.
        checklist: also go through each task's checklist, question by question; it enters no score.
        response_format: the form that servers are asked to decode by; part of a reply's key in a cache.
    """

    kind: Literal["score", "pair"] = "score"
    judges: tuple[str, ...] = ("microcosm:checker",)
    order: str = "hash"
    seed: int = 0
    max_tokens: int = 1024
    num_reasks: int = 2
    checklist: bool = False
    response_format: ResponseFormat = "none"

    def __post_init__(self) -> None:
        OrderPolicy.parse(self.order)
        check_format(self.response_format)
        if self.max_tokens < 1 or self.num_reasks < 0:
            raise UsageError(f"max_tokens must be at least 1 and re-asks at least 0, got {self.max_tokens}")
        if not self.judges:
            raise UsageError("no judge is named", hint="use --judge URI")

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The kinds of verdict that are asked for."""
        return (self.kind, "checklist") if self.checklist else (self.kind,)


@dataclass(frozen=True, slots=True)
class Means:
    """What a judging may use; none of it changes a verdict.

    Args:
        cache: file of replies that are not paid for again, shared by any number of judgings; one in the folder when
            None.
        max_cost: US dollars for the folder as a whole, resumed runs included.
        prices: of the judges' servers, in the order of the judges; one alone is the price of all.
        concurrency: most calls in flight.
        send_private: let private tasks go to a judge on another machine.
        retry: stored statuses that are asked again.
    """

    cache: Path | None = None
    max_cost: float | None = None
    prices: tuple[Prices | None, ...] = ()
    concurrency: int = 64
    send_private: bool = False
    retry: frozenset[str] = RETRY

    def prices_of(self, place: int) -> Prices | None:
        """What the judge at a place of the panel charges; None where nobody said."""
        return self.prices[0] if len(self.prices) == 1 else self.prices[place] if self.prices else None


@dataclass(frozen=True)
class Seat:
    """A judge before it is opened: its URI, the name its verdicts bear and the prompt of each kind.

    ``judge`` is there for those that need no engine; ``place`` counts the panel's judges from 0.
    """

    uri: str
    name: str
    prompts: dict[Kind, PromptRef]
    judge: Judge | None = None
    place: int = 0

    @classmethod
    def of(cls, uri: str, settings: JudgingSettings, place: int = 0) -> Seat:
        """Find out what can be known without loading a model or asking a server."""
        from agora.rooms.judge.asking.prompting import prompt_ref

        if split_name(uri)[1].startswith(_OWN_JUDGES):
            judge = open_judge(uri, seed=settings.seed)
            return cls(uri, judge.name, {kind: judge.prompt(kind) for kind in settings.kinds}, judge, place)
        check_engine_uri(split_name(uri)[1])
        return cls(uri, judge_name(uri), {kind: prompt_ref(kind) for kind in settings.kinds}, None, place)

    def file(self, out: Path, kind: Kind) -> Path:
        """Where its verdicts of a kind are kept in a judging's folder."""
        plain = re.sub(r"[^A-Za-z0-9.-]+", "-", self.name).strip("-.")[:60] or "judge"
        if plain != self.name:
            plain += f"-{stable_id(self.name, size=3)}"  # two names must not meet in one file
        return Path(out) / "verdicts" / f"{plain}.{kind}.jsonl"

    def stored(self, out: Path, kind: Kind) -> VerdictFile:
        """Its verdicts of a kind, open."""
        return VerdictFile(self.file(out, kind), self.name, self.prompts[kind], kind)

    def id(self, item: Item) -> str:
        """Id of its verdict on an item."""
        return verdict_id(item, self.name, self.prompts[item.kind])


@dataclass(frozen=True)
class Docket:
    """All that is to be judged, and by whom: the items of each kind, in the order of the summary."""

    tasks: TaskSet
    seats: tuple[Seat, ...]
    items: dict[Kind, Sequence[Item]]
    baselines: tuple[str, ...]

    @property
    def answers(self) -> list[Answer]:
        """One answer of each candidate."""
        return list({item.answer.model: item.answer for items in self.items.values() for item in items}.values())


def make_docket(
    tasks: TaskSet,
    answers: Sequence[Answer],
    settings: JudgingSettings,
    *,
    baseline_answers: Sequence[Answer] = (),
    allow_partial: bool = False,
    out: Path | None = None,
) -> Docket:
    """Check the answers and lay out what is asked.

    Args:
        out: the judging's folder, whose comparisons keep their order where the policy is ``balanced``.

    Raises:
        UsageError: unknown or repeated task ids, missing answers (all are listed), or comparisons without baselines.
    """
    items: dict[Kind, Sequence[Item]] = {}
    if settings.kind == "pair":
        order, seed = settings.order, settings.seed
        asked = asked_orders(out) if out is not None and order == "balanced" else {}
        items["pair"] = pair_items(
            tasks, answers, baseline_answers, order=order, seed=seed, allow_partial=allow_partial, asked=asked
        )
        if not items["pair"]:
            raise UsageError("there is nothing to compare", hint="name a baseline other than the only candidate")
    else:
        items["score"] = score_items(tasks, answers, allow_partial=allow_partial)
    if settings.checklist:
        items["checklist"] = checklist_items(tasks, answers, allow_partial=allow_partial)
    seats = tuple(Seat.of(uri, settings, place) for place, uri in enumerate(settings.judges))
    if len({seat.name for seat in seats}) < len(seats):
        raise UsageError("a judge is named twice", hint="tell two settings of one model apart by NAME=URI")
    return Docket(tasks, seats, items, tuple(sorted({a.model for a in baseline_answers})))


def estimate_judging(out: Path, docket: Docket, settings: JudgingSettings, means: Means = Means()) -> list[Estimate]:
    """Calls, tokens and cost that a folder still lacks, by judge; opens no model.

    Args:
        out: the folder, which need not exist.
    """
    found = []
    for seat in docket.seats:
        calls = [] if seat.judge is not None else open_calls(out, docket, seat, means.retry)
        usual, most = min(USUAL_REPLY, settings.max_tokens), settings.max_tokens
        free, prices = not is_server(split_name(seat.uri)[1]), means.prices_of(seat.place)
        paid = calls if free else _left_to_pay(calls, settings, means, seat)
        told = estimate(
            seat.name, judge_prompt_bytes(paid), usual_reply=usual, most_reply=most, prices=prices, free=free
        )
        found.append(replace(told, cached=len(calls) - len(paid)))
    return found


def _left_to_pay(calls: list[Item], settings: JudgingSettings, means: Means, seat: Seat) -> list[Item]:
    def requests(engine: Engine) -> Iterator[ChatRequest]:
        judge = LlmJudge(
            engine, seed=settings.seed, max_tokens=settings.max_tokens, response_format=settings.response_format
        )
        return judge.requests(calls)

    return left_to_pay(calls, split_name(seat.uri)[1], means.cache, requests)


def open_calls(out: Path, docket: Docket, seat: Seat, retry: frozenset[str] = RETRY) -> list[Item]:
    """The items, one a call, that a judge has yet to be asked about."""
    calls: list[Item] = []
    for kind, items in docket.items.items():
        if seat.file(out, kind).exists():
            with seat.stored(out, kind) as stored:
                calls += count_calls(items, seat.name, seat.prompts[kind], stored, retry)
        else:
            calls += count_calls(items, seat.name, seat.prompts[kind], None, retry)
    return calls


def judge_into(
    out: Path,
    docket: Docket,
    settings: JudgingSettings,
    means: Means = Means(),
    *,
    command: str = "agora judge score",
    force: bool = False,
) -> Judging:
    """Put the docket before every judge and sum up.

    What the folder holds already is not asked again, whenever and however the last run ended. More models may be added
    to a folder; other tasks, judges, prompts or settings are refused.

    Raises:
        ConfigError: the folder holds another judging.
        BudgetError: the money is spent; verdicts so far are kept, and summed up in ``summary.json``.
        UsageError: private tasks would leave this machine.
    """
    refuse_private(docket.tasks, [split_name(s.uri)[1] for s in docket.seats], send_private=means.send_private)
    start = time.perf_counter()
    if not (Path(out) / RUN_FILE).exists():
        find_judges(docket)  # a folder that a wrong port or a missing key opened would refuse the right one
    with open_folder(out, docket, settings, command) as run:
        spent = 0.0
        try:
            for seat in docket.seats:
                with run.stage(f"judge {seat.name}"):
                    spent += _ask_one(run, docket, settings, means, seat, spent)
        except BudgetError:
            sum_up(run, docket, settings, time.perf_counter() - start, force=force)
            raise
        return sum_up(run, docket, settings, time.perf_counter() - start, force=force)


def find_judges(docket: Docket) -> None:
    """See that every judge is there: a folder is looked for, a server asked; no weights are loaded.

    Raises:
        MissingError: a model or a key is not on this machine.
        EngineError: a server is down or refuses the key.
    """
    from agora.engines import find_engine

    for seat in docket.seats:
        if seat.judge is None:
            find_engine(split_name(seat.uri)[1])


def open_folder(out: Path, docket: Docket, settings: JudgingSettings, command: str) -> RunDir:
    """The run folder of a judging; refuses one with other tasks, judges, prompts or settings."""
    config: dict[str, Any] = {
        "kind": settings.kind,
        "judges": [seat.name for seat in docket.seats],
        "prompts": {seat.name: {kind: prompt.hash for kind, prompt in seat.prompts.items()} for seat in docket.seats},
        "tasks": docket.tasks.sha,
        "max_tokens": settings.max_tokens,
        "num_reasks": settings.num_reasks,
        "checklist": settings.checklist,
    }
    if settings.response_format != "none":
        config["response_format"] = settings.response_format
    if settings.kind == "pair":
        config |= {"order": settings.order, "baselines": list(docket.baselines)}
    return RunDir.open(out, command=command, config=config, seed=settings.seed)


def _ask_one(run: RunDir, docket: Docket, settings: JudgingSettings, means: Means, seat: Seat, spent: float) -> float:
    """Ask one judge for all that is open; returns what its verdicts have cost, those of earlier runs included."""
    from agora.engines.budget import Budget

    budget = Budget(max_cost_usd=means.max_cost, spent_usd=spent) if means.max_cost is not None else None
    judge, cost = seat.judge, 0.0
    try:
        for kind, items in docket.items.items():
            with seat.stored(run.path, kind) as stored:
                if budget is not None:
                    budget.spent_usd += stored.cost_usd
                if not all(stored.settled(seat.id(item), means.retry) for item in items):
                    judge = judge or open_seat(run, settings, means, seat, budget)
                    settle(items, judge, verb_of(judge, kind), stored, means.retry)
                cost += stored.cost_usd
    finally:
        engine = getattr(judge, "engine", None)
        if engine is not None:
            engine.close()
    return cost


def open_seat(run: RunDir, settings: JudgingSettings, means: Means, seat: Seat, budget: Any = None) -> Judge:
    """Open a judge that needs an engine."""
    options: dict[str, Any] = {
        "cache": means.cache or run.file("cache/judge.sqlite"),
        "budget": budget,
        "prices": means.prices_of(seat.place),
        "concurrency": means.concurrency,
    }
    return open_judge(
        seat.uri,
        seed=settings.seed,
        max_tokens=settings.max_tokens,
        num_reasks=settings.num_reasks,
        response_format=settings.response_format,
        **options,
    )


def verb_of(judge: Judge, kind: Kind) -> Callable[[Iterable[Any]], Iterator[Verdict]]:
    """The judge's method for a kind."""
    if kind == "score":
        return judge.score
    return judge.compare if kind == "pair" else judge.check


def sum_up(run: RunDir, docket: Docket, settings: JudgingSettings, seconds: float, *, force: bool = False) -> Judging:
    """Figures of all that is stored, into ``summary.json`` and the run's metrics."""
    summaries: list[JudgeSummary] = []
    light: dict[str, list[Verdict]] = {}
    for seat in docket.seats:
        by_kind = {kind: _stored(run.path, seat, kind, items) for kind, items in docket.items.items()}
        light[seat.name] = by_kind[settings.kind]
        found = summarize(
            seat.name,
            by_kind,
            docket.tasks,
            settings.kind,
            baselines=docket.baselines,
            answers=docket.answers,
            seed=settings.seed,
            force=force,
        )
        summaries.append(found)
    judging = Judging.of(run.path, settings.kind, docket.tasks, summaries, light, seconds)
    if judging.panel is not None and settings.kind == "score":
        write_jsonl(run.file("verdicts/panel.score.jsonl"), panel_verdicts(light))
    write_json(run.file("summary.json"), judging.as_json())
    for summary in summaries:
        for model in summary.models:
            run.metric(model.metric, model.value, model=model.model, judge=summary.judge)
    return judging


def _stored(out: Path, seat: Seat, kind: Kind, items: Sequence[Item]) -> list[Verdict]:
    """The verdicts on the items without their long texts; an item without one is missing."""
    found = list[Verdict]()
    with seat.stored(out, kind) as stored:
        for item in items:
            id_ = seat.id(item)
            if id_ not in stored:
                found.append(make_verdict(item, seat.name, seat.prompts[kind], "missing"))
                continue
            verdict = stored.get(id_)
            short: dict[str, Any] = {key: verdict.parsed[key] for key in ("reason", "error") if key in verdict.parsed}
            meta = {key: value for key, value in verdict.meta.items() if key != "earlier_replies"}
            found.append(replace(verdict, raw_text="", parsed=short, meta=meta))
    return found
