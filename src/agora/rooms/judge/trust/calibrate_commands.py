"""``agora judge calibrate``: parse, call one function, print."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agora.rooms.judge.asking.commands import command_line, format_of, judging_means, prices_of, print_json
from agora.rooms.judge.asking.options import Cache, Concurrency, Format, Json, MaxCost, MaxTokens, Price, Seed

if TYPE_CHECKING:
    from agora.core.stats import Interval
    from agora.rooms.judge.trust.calibrate import Calibration
    from agora.rooms.judge.trust.coverage import CoverageStudy


def calibrate(
    judge: Annotated[
        str,
        typer.Option("--judge", metavar="URI", help="Any judge; microcosm:checker?noise=0.2 errs by a known amount."),
    ],
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder; the same command goes on.")] = None,
    n: Annotated[int, typer.Option("--n", min=10, help="Exercises; six calls each.")] = 100,
    studies: Annotated[
        int | None,
        typer.Option("--studies", min=10, help="Instead: so many simulated judgings by a judge with dials."),
    ] = None,
    order: Annotated[str, typer.Option("--order", help="With --studies: an order policy, or first.")] = "hash",
    seed: Seed = 0,
    max_tokens: MaxTokens = 1024,
    response_format: Format = None,
    price: Price = None,
    max_cost: MaxCost = None,
    cache: Cache = None,
    concurrency: Concurrency = 64,
    json: Json = False,
) -> None:
    """Does this judge see the difference that is there? Measured on the microcosm, where the truth is known."""
    from agora.core.errors import UsageError
    from agora.rooms.judge.trust.calibrate import calibrate as measure

    if studies is not None:
        _studies(judge, studies, order, n, seed, json)
        return
    if out is None:
        raise UsageError("say where verdicts go", hint="use --out DIR")
    means = judging_means(cache, max_cost, (prices_of(price),), concurrency)
    found = measure(
        judge,
        out,
        num_tasks=n,
        seed=seed,
        max_tokens=max_tokens,
        response_format=format_of(response_format, out / "scores"),
        means=means,
        command=command_line("calibrate"),
    )
    if json:
        print_json(found.as_json())
    else:
        for line in _lines(found):
            typer.echo(line)
        typer.echo(f"Verdicts: {out}/scores and {out}/pairs; figures: {out}/calibration.json")
    if not found.sees:
        raise typer.Exit(1)


def _studies(judge: str, studies: int, order: str, n: int, seed: int, json: bool) -> None:
    from agora.core.errors import UsageError
    from agora.rooms.judge.asking.dials import Dials
    from agora.rooms.judge.asking.judges import CHECKER
    from agora.rooms.judge.trust.coverage import coverage_study

    if not judge.startswith(CHECKER):
        raise UsageError(
            "studies need a judge whose error is known", hint=f"use {CHECKER}?noise=0.2, length or position"
        )
    found = coverage_study(Dials.parse(judge), order=order, num_studies=studies, num_tasks=n, seed=seed)
    if json:
        print_json(found.as_json())
        return
    for line in _study_lines(found):
        typer.echo(line)


def _study_lines(study: CoverageStudy) -> list[str]:
    lines = [f"{study.num_studies} judgings of {study.num_tasks} tasks by {study.judge}, order {study.order}"]
    for name, one in (("WB-Score difference", study.score_difference), ("WB-Reward", study.reward)):
        lines.append(
            f"{name}: truth {one.truth:.1f}, mean estimate {one.mean:.1f}, mean width {one.width:.1f}; "
            f"the 95 % interval held the truth in {_percent(one.held)}"
        )
    return lines


def _lines(found: Calibration) -> list[str]:
    order = found.order
    constant = "-" if found.constant_score is None else f"{found.constant_score:.1f}"
    return [
        f"{found.judge} on {found.num_tasks} exercises: "
        + ("it sees" if found.sees else "it does NOT see the difference"),
        f"comparisons won by the better answer   {_percent(found.pair_accuracy)}",
        f"  where the better one is longer       {_percent(found.better_longer)}",
        f"  where the better one is shorter      {_percent(found.better_shorter)}",
        f"right answer scored above flawed (AUC) {_percent(found.auc)}",
        f"rank correlation with the true scores  {_number(found.correlation)}",
        f"judged gap as a share of the true one  {_number(found.gap_seen)}",
        f"decisive comparisons won by the first  {_percent(order.first_wins)}, {order.conflicts} of {order.n_both} "
        "pairs turned with the order",
        f"points that words to the judge earn    {_number(found.attack_gain)}",
        f"score of nothing but such words        {constant}",
        f"calls without a value                  {100 * found.unscored:.1f} %",
    ]


def _percent(interval: Interval) -> str:
    if math.isnan(interval.estimate) or not interval.n:
        return "-"
    return f"{100 * interval.estimate:.1f} % [{100 * interval.low:.1f}, {100 * interval.high:.1f}] (n = {interval.n})"


def _number(interval: Interval) -> str:
    if math.isnan(interval.estimate) or not interval.n:
        return "-"
    return f"{interval.estimate:.2f} [{interval.low:.2f}, {interval.high:.2f}]"
