"""``agora judge answer``, ``score``, ``pairwise`` and ``reparse``: parse, call one function, print."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from agora.engines._wire import Prices
    from agora.rooms.judge.asking.estimate import Estimate
    from agora.rooms.judge.asking.judging import Docket, JudgingSettings, Means
    from agora.rooms.judge.asking.summary import Judging

Tasks = Annotated[Path, typer.Option("--tasks", metavar="FILE", help="The benchmark: task/1 records.")]
Answers = Annotated[
    list[Path], typer.Option("--answers", metavar="PATH", help="Answers: a file or folder; may be given again.")
]
Judges = Annotated[
    list[str],
    typer.Option("--judge", metavar="[NAME=]URI", help="An engine, microcosm:checker or replay:FILE; again: a panel."),
]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Run folder; the same command goes on.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print calls, tokens and cost, and stop.")]
MaxCost = Annotated[
    float | None, typer.Option("--max-cost", min=0, metavar="USD", help="Stop once the folder has cost so much.")
]
Price = Annotated[
    tuple[float, float] | None,
    typer.Option("--price", metavar="IN OUT", help="US dollars per million tokens, in and out."),
]
Cache = Annotated[
    Path | None, typer.Option("--cache", metavar="FILE", help="Replies to use and fill, shared between folders.")
]
Concurrency = Annotated[int, typer.Option("--concurrency", min=1, help="Servers: most calls in flight.")]
Partial = Annotated[bool, typer.Option("--allow-partial", help="Take models that did not answer every task.")]
SendPrivate = Annotated[
    bool, typer.Option("--send-private", help="Let private tasks go to a model on another machine.")
]
Seed = Annotated[int, typer.Option("--seed", help="Draws orders and the codes of the prompts.")]
MaxTokens = Annotated[int, typer.Option("--max-tokens", min=1, help="Longest reply of a judge.")]
Reasks = Annotated[int, typer.Option("--reasks", min=0, help="How often an unreadable reply is asked again.")]
Checklist = Annotated[
    bool, typer.Option("--checklist", help="Also settle each checklist question; it enters no score.")
]
Retry = Annotated[
    list[str] | None, typer.Option("--retry", metavar="STATUS", help="Ask again: unparsed or refused (missing always).")
]
Force = Annotated[bool, typer.Option("--force", help="Show figures although over 5 % of the items have no value.")]
BatchFile = Annotated[
    Path | None, typer.Option("--batch-out", metavar="FILE", help="Write the calls as an OpenAI batch file, and stop.")
]
BatchReplies = Annotated[
    list[Path] | None, typer.Option("--batch-in", metavar="FILE", help="Read a batch's replies; nothing is asked.")
]


def answer(
    tasks: Tasks,
    out: Out,
    model: Annotated[str | None, typer.Option("--model", metavar="URI", help="Who answers.")] = None,
    import_: Annotated[
        list[Path] | None, typer.Option("--import", metavar="PATH", help="Take over answers made elsewhere.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="What the model is called on leaderboards.")] = None,
    temperature: Annotated[float, typer.Option("--temperature", min=0, help="0 is greedy.")] = 0.0,
    top_p: Annotated[float, typer.Option("--top-p", min=0, max=1, help="Nucleus sampling.")] = 1.0,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Longest answer.")] = 4096,
    seed: Annotated[int, typer.Option("--seed", help="Each task's seed comes from this and its id.")] = 0,
    price: Price = None,
    max_cost: MaxCost = None,
    cache: Cache = None,
    concurrency: Concurrency = 32,
    allow_partial: Partial = False,
    send_private: SendPrivate = False,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Have a model answer the tasks, or take over answers that were made elsewhere."""
    from agora.core.errors import UsageError
    from agora.rooms.judge.asking.answering import AnswerSettings, answer_into, estimate_answers, import_into
    from agora.rooms.judge.types import TaskSet

    if (model is None) == (import_ is None):
        raise UsageError("give one of --model and --import", hint="a model answers, or answers are taken over")
    task_set = TaskSet.read(tasks)
    if import_ is not None:
        reports = import_into(
            out, task_set, import_, name=name, allow_partial=allow_partial, command=command_line("answer")
        )
    else:
        assert model is not None
        settings = AnswerSettings(temperature, top_p, max_tokens, seed)
        _say([estimate_answers(task_set, model, out, settings, _prices(price))], json, dry_run)
        if dry_run:
            return
        done = answer_into(
            out,
            task_set,
            model,
            name=name,
            settings=settings,
            command=command_line("answer"),
            send_private=send_private,
            max_cost=max_cost,
            prices=_prices(price),
            cache=cache,
            concurrency=concurrency,
        )
        reports = [done]
    if json:
        print_json({"models": [report.as_json() for report in reports]})
    for report in [] if json else reports:
        typer.echo(
            f"{report.model}: {report.written:,} answered, {report.there:,} were there, {len(report.failed):,} failed "
            f"of {report.num_tasks:,}; {report.empty:,} empty, {report.cut:,} cut by the limit"
        )
    if not json:
        typer.echo(f"Answers: {reports[0].answers}   (judge them: agora judge score --tasks {tasks} --answers {out})")
    if any(report.failed for report in reports) and import_ is None:
        raise typer.Exit(1)


def score(
    tasks: Tasks,
    answers: Answers,
    judge: Judges,
    out: Out,
    seed: Seed = 0,
    max_tokens: MaxTokens = 1024,
    reasks: Reasks = 2,
    checklist: Checklist = False,
    price: Price = None,
    max_cost: MaxCost = None,
    cache: Cache = None,
    concurrency: Concurrency = 64,
    allow_partial: Partial = False,
    send_private: SendPrivate = False,
    retry: Retry = None,
    force: Force = False,
    batch_out: BatchFile = None,
    batch_in: BatchReplies = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Grade answers from 1 to 10 (WB-Score), by one judge or a panel."""
    from agora.rooms.judge.asking.judging import JudgingSettings

    settings = JudgingSettings("score", tuple(judge), "hash", seed, max_tokens, reasks, checklist)
    means = judging_means(cache, max_cost, price, concurrency, send_private, retry)
    docket = _docket(tasks, answers, None, settings, allow_partial)
    _judge(out, docket, settings, means, batch_out, batch_in, force=force, dry_run=dry_run, json=json)


def pairwise(
    tasks: Tasks,
    answers: Answers,
    baselines: Annotated[
        list[str],
        typer.Option("--baselines", metavar="B", help="A model among the answers, or its file; may be given again."),
    ],
    judge: Judges,
    out: Out,
    order: Annotated[str, typer.Option("--order", help="hash, both, sample-both:p or legacy42.")] = "hash",
    seed: Seed = 0,
    max_tokens: MaxTokens = 1024,
    reasks: Reasks = 2,
    checklist: Checklist = False,
    price: Price = None,
    max_cost: MaxCost = None,
    cache: Cache = None,
    concurrency: Concurrency = 64,
    allow_partial: Partial = False,
    send_private: SendPrivate = False,
    retry: Retry = None,
    force: Force = False,
    batch_out: BatchFile = None,
    batch_in: BatchReplies = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Compare answers with those of baselines (WB-Reward), by one judge or a panel."""
    from agora.rooms.judge.asking.judging import JudgingSettings

    settings = JudgingSettings("pair", tuple(judge), order, seed, max_tokens, reasks, checklist)
    means = judging_means(cache, max_cost, price, concurrency, send_private, retry)
    docket = _docket(tasks, answers, baselines, settings, allow_partial)
    _judge(out, docket, settings, means, batch_out, batch_in, force=force, dry_run=dry_run, json=json)


def reparse(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Judging folders, or files of verdicts.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder for the verdicts as they read now.")
    ] = None,
    json: Json = False,
) -> None:
    """Read stored replies of judges again, without a call; says what the parser of today reads otherwise."""
    from agora.rooms.judge.asking.reparse import reparse_files

    report = reparse_files(paths, out, command=command_line("reparse"))
    if json:
        print_json(report.as_json())
        return
    typer.echo(
        f"{report.n:,} replies: {report.same:,} read as before, {report.gained:,} gained a value, {report.lost:,} lost "
        f"it, {report.moved:,} have another"
    )
    if report.no_code:
        typer.echo(f"{report.no_code:,} replies were stored without their prompt's code and are kept as they are")
    typer.echo(f"Verdicts: {out}/verdicts" if out else "Nothing was written (--out DIR keeps the new reading).")


def _docket(
    tasks: Path, answers: list[Path], baselines: list[str] | None, settings: JudgingSettings, allow_partial: bool
) -> Docket:
    from agora.rooms.judge.asking.answer_files import baseline_answers, read_answer_files
    from agora.rooms.judge.asking.judging import make_docket
    from agora.rooms.judge.types import TaskSet

    task_set = TaskSet.read(tasks)
    given = read_answer_files(answers, task_set)
    against = baseline_answers(baselines, given, task_set) if baselines else []
    return make_docket(task_set, given, settings, baseline_answers=against, allow_partial=allow_partial)


def _judge(
    out: Path,
    docket: Docket,
    settings: JudgingSettings,
    means: Means,
    batch_out: Path | None,
    batch_in: list[Path] | None,
    *,
    force: bool,
    dry_run: bool,
    json: bool,
) -> None:
    from agora.core.errors import UsageError
    from agora.rooms.judge.asking.batching import read_judge_batch, write_judge_batch
    from agora.rooms.judge.asking.judging import estimate_judging, judge_into

    command = command_line("score" if settings.kind == "score" else "pairwise")
    if batch_out is not None and batch_in is not None:
        raise UsageError("--batch-out writes calls and --batch-in reads replies", hint="give one of them")
    if batch_in is None:
        _say(estimate_judging(out, docket, settings, means), json, dry_run, half=batch_out is not None)
    if dry_run:
        return
    strangers = 0
    if batch_out is not None:
        written = write_judge_batch(out, docket, settings, batch_out, means, command=command)
        if json:
            print_json({"files": [str(path) for path in written.files], "calls": list(written.calls)})
        for path, n in [] if json else zip(written.files, written.calls, strict=True):
            typer.echo(f"{n:,} calls: {path}   (send it, then: --batch-in REPLIES in place of --batch-out)")
        return
    if batch_in is not None:
        judging, strangers = read_judge_batch(
            out, docket, settings, batch_in, means, command=command, force=force
        )  # fmt: skip
    else:
        judging = judge_into(out, docket, settings, means, command=command, force=force)
    if json:
        print_json(judging.as_json() | {"batch_lines_unused": strangers})
    else:
        _print_judging(judging)
        if strangers:
            typer.echo(f"note: {strangers:,} lines of the batch files belong to no open call", err=True)
    if judging.withheld:
        raise typer.Exit(1)


def judging_means(
    cache: Path | None,
    max_cost: float | None,
    price: tuple[float, float] | None,
    concurrency: int,
    send_private: bool = False,
    retry: Sequence[str] | None = None,
) -> Means:
    """What a judging may use, from a command's options."""
    from agora.core.errors import UsageError
    from agora.rooms.judge.asking.judging import Means
    from agora.rooms.judge.asking.score import RETRY

    unknown = set(retry or ()) - {"missing", "unparsed", "refused"}
    if unknown:
        raise UsageError(f"--retry takes unparsed or refused, got {', '.join(sorted(unknown))}")
    return Means(cache, max_cost, _prices(price), concurrency, send_private, RETRY | frozenset(retry or ()))


def _prices(price: tuple[float, float] | None) -> Prices | None:
    from agora.engines._wire import Prices

    return Prices(*price) if price else None


def _say(estimates: Sequence[Estimate], json: bool, dry_run: bool, half: bool = False) -> None:
    """What is about to be spent: the result of a dry run, else a line on stderr."""
    if dry_run and json:
        print_json({"dry_run": True, "estimates": [each.as_json() for each in estimates]})
        return
    for each in estimates:
        if dry_run or each.calls:
            typer.echo(f"{each.line}{' (live; a batch costs half)' if half else ''}", err=not dry_run)


def command_line(verb: str) -> str:
    """The command line that does the same again."""
    given = sys.argv[sys.argv.index(verb) + 1 :] if verb in sys.argv else []
    return shlex.join(["agora", "judge", verb, *given])


def print_json(value: Any) -> None:
    """One JSON object on stdout."""
    from agora.core.json_text import dumps

    typer.echo(dumps(value).decode())


def _print_judging(judging: Judging) -> None:
    from rich.console import Console

    from agora.rooms.judge.asking.show_judging import judging_lines, judging_tables

    console = Console(width=None if Console().is_terminal else 120)
    for table in judging_tables(judging):
        console.print(table)
    for line in judging_lines(judging):
        console.print(line, markup=False, highlight=False)
