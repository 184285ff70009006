"""``agora judge answer``, ``score``, ``pairwise`` and ``reparse``: parse, call one function, print."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from agora.rooms.judge.asking.options import (
    Cache,
    Concurrency,
    DryRun,
    Json,
    JudgeOptions,
    MaxCost,
    Out,
    Partial,
    Price,
    SendPrivate,
    Tasks,
    with_judge_options,
)

if TYPE_CHECKING:
    from agora.engines._wire import Prices
    from agora.rooms.judge.asking.estimate import Estimate
    from agora.rooms.judge.asking.judging import Docket, JudgingSettings, Means
    from agora.rooms.judge.asking.reply_forms import ResponseFormat
    from agora.rooms.judge.asking.summary import Judging


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
        say_estimates([estimate_answers(task_set, model, out, settings, prices_of(price), cache)], json, dry_run)
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
            prices=prices_of(price),
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


@with_judge_options
def score(options: JudgeOptions) -> None:
    """Grade answers from 1 to 10 (WB-Score), by one judge or a panel."""
    _judge(options, _settings(options, "score", "hash"), None)


@with_judge_options
def pairwise(
    options: JudgeOptions,
    baselines: Annotated[
        list[str],
        typer.Option("--baselines", metavar="B", help="A model among the answers, or its file; may be given again."),
    ],
    order: Annotated[
        str | None,
        typer.Option(
            "--order",
            help="balanced, hash, both, sample-both:p or legacy42; balanced, or as the folder was begun, if not given.",
        ),
    ] = None,
) -> None:
    """Compare answers with those of baselines (WB-Reward), by one judge or a panel."""
    _judge(options, _settings(options, "pair", order or _begun(options.out, "order", new="balanced")), baselines)


def _begun(out: Path, setting: str, *, new: str, old: str | None = None) -> str:
    """The value that a folder was begun with; ``new`` that of a new one, ``old`` of one that does not say."""
    from agora.core.run_list import RUN_FILE
    from agora.core.tables import read_json

    if not (out / RUN_FILE).exists():
        return new
    begun = read_json(out / RUN_FILE)
    value = begun.get("config", {}).get(setting) if isinstance(begun, dict) else None
    return value if isinstance(value, str) else old or new


def format_of(given: str | None, out: Path) -> ResponseFormat:
    """The form of reply that was asked for; without one ``auto``, or what a judging's folder was begun with."""
    from agora.rooms.judge.asking.reply_forms import check_format

    return check_format(given or _begun(out, "response_format", new="auto", old="none"))


def _settings(options: JudgeOptions, kind: Literal["score", "pair"], order: str) -> JudgingSettings:
    from agora.rooms.judge.asking.judging import JudgingSettings

    return JudgingSettings(
        kind,
        tuple(options.judge),
        order,
        options.seed,
        options.max_tokens,
        options.reasks,
        options.checklist,
        format_of(options.response_format, options.out),
    )


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


def _docket(options: JudgeOptions, settings: JudgingSettings, baselines: list[str] | None) -> Docket:
    from agora.rooms.judge.asking.answer_files import baseline_answers, read_answer_files
    from agora.rooms.judge.asking.judging import make_docket
    from agora.rooms.judge.types import TaskSet

    task_set = TaskSet.read(options.tasks)
    given = read_answer_files(options.answers, task_set)
    against = baseline_answers(baselines, given, task_set) if baselines else []
    partial, out = options.allow_partial, options.out
    return make_docket(task_set, given, settings, baseline_answers=against, allow_partial=partial, out=out)


def _judge(options: JudgeOptions, settings: JudgingSettings, baselines: list[str] | None) -> None:
    from agora.core.errors import UsageError
    from agora.rooms.judge.asking.batching import read_judge_batch, write_judge_batch
    from agora.rooms.judge.asking.judging import estimate_judging, judge_into

    out, json, batch_out, batch_in = options.out, options.json, options.batch_out, options.batch_in
    charged = prices_by_name(options.judge, options.price, options.judge_price, "--judge-price")
    means = judging_means(
        options.cache, options.max_cost, charged, options.concurrency, options.send_private, options.retry
    )
    docket = _docket(options, settings, baselines)
    command = command_line("score" if settings.kind == "score" else "pairwise")
    if batch_out is not None and batch_in is not None:
        raise UsageError("--batch-out writes calls and --batch-in reads replies", hint="give one of them")
    if batch_in is None:
        say_estimates(estimate_judging(out, docket, settings, means), json, options.dry_run, half=batch_out is not None)
    if options.dry_run:
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
            out, docket, settings, batch_in, means, command=command, force=options.force
        )  # fmt: skip
    else:
        judging = judge_into(out, docket, settings, means, command=command, force=options.force)
    if json:
        print_json(judging.as_json() | {"batch_lines_unused": strangers})
    else:
        _print_judging(judging)
        if strangers:
            typer.echo(f"note: {strangers:,} lines of the batch files belong to no open call", err=True)
    if judging.withheld:
        raise typer.Exit(1)


def prices_by_name(
    uris: Sequence[str], price: tuple[float, float] | None, own_prices: Sequence[str] | None, option: str
) -> tuple[Prices | None, ...]:
    """What each of several models charges.

    Args:
        uris: of the models, each as ``NAME=URI`` if it has a name.
        price: of those without one of their own.
        own_prices: as ``NAME=IN,OUT``.
        option: what the user calls ``own_prices``.

    Raises:
        UsageError: a name that none of the models has, or no price.
    """
    from agora.core.errors import UsageError
    from agora.engines._wire import Prices
    from agora.rooms.judge.asking.judges import judge_name

    own: dict[str, Prices] = {}
    names = [judge_name(uri) for uri in uris]
    for text in own_prices or ():
        name, _, said = text.rpartition("=")
        numbers = re.fullmatch(r"(\d+(?:\.\d*)?),(\d+(?:\.\d*)?)", said)
        if name not in names or numbers is None:
            wrong = f"{name!r} is no model's name" if numbers else f"{said!r} is no price"
            raise UsageError(wrong, where=option, hint=f"NAME=IN,OUT with one of {', '.join(names)}")
        own[name] = Prices(float(numbers[1]), float(numbers[2]))
    return tuple(own.get(name, prices_of(price)) for name in names)


def judging_means(
    cache: Path | None,
    max_cost: float | None,
    prices: tuple[Prices | None, ...],
    concurrency: int,
    send_private: bool = False,
    retry: Sequence[str] | None = None,
) -> Means:
    """What a judging may use, from a command's options; ``prices`` as :class:`Means` has them."""
    from agora.core.errors import UsageError
    from agora.rooms.judge.asking.judging import Means
    from agora.rooms.judge.asking.score import RETRY

    unknown = set(retry or ()) - {"missing", "unparsed", "refused"}
    if unknown:
        raise UsageError(f"--retry takes unparsed or refused, got {', '.join(sorted(unknown))}")
    return Means(cache, max_cost, prices, concurrency, send_private, RETRY | frozenset(retry or ()))


def prices_of(price: tuple[float, float] | None) -> Prices | None:
    """A price as it was given, US dollars per million tokens in and out."""
    from agora.engines._wire import Prices

    return Prices(*price) if price else None


def say_estimates(estimates: Sequence[Estimate], json: bool, dry_run: bool, half: bool = False) -> None:
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
