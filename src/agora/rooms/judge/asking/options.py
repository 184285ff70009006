"""The options that the commands of asking share."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

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
Family = Annotated[
    list[str] | None,
    typer.Option("--family", metavar="JUDGE=MODEL,MODEL", help="A judge's own family, if names do not tell it."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print calls, tokens and cost, and stop.")]
MaxCost = Annotated[
    float | None, typer.Option("--max-cost", min=0, metavar="USD", help="Stop once the folder has cost so much.")
]
Price = Annotated[
    tuple[float, float] | None,
    typer.Option("--price", metavar="IN OUT", help="US dollars per million tokens, in and out."),
]
JudgePrices = Annotated[
    list[str] | None,
    typer.Option("--judge-price", metavar="NAME=IN,OUT", help="The same of one judge of a panel; may be given again."),
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
Format = Annotated[
    str | None,
    typer.Option(
        "--response-format",
        metavar="FORM",
        help="Servers: auto (a JSON schema, or what they take), json-object or none; auto, or as the folder was begun.",
    ),
]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeOptions:
    """What ``agora judge score`` and ``pairwise`` are told alike."""

    tasks: Tasks
    answers: Answers
    judge: Judges
    out: Out
    seed: Seed = 0
    max_tokens: MaxTokens = 1024
    reasks: Reasks = 2
    response_format: Format = None
    checklist: Checklist = False
    price: Price = None
    judge_price: JudgePrices = None
    max_cost: MaxCost = None
    cache: Cache = None
    concurrency: Concurrency = 64
    allow_partial: Partial = False
    send_private: SendPrivate = False
    retry: Retry = None
    force: Force = False
    batch_out: BatchFile = None
    batch_in: BatchReplies = None
    dry_run: DryRun = False
    json: Json = False


def with_judge_options(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameter ``options`` is spelled out as the fields of :class:`JudgeOptions`."""
    hints = typing.get_type_hints(JudgeOptions, include_extras=True)
    shared = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(JudgeOptions)
    ]
    own_hints = typing.get_type_hints(command, include_extras=True)
    own = [
        parameter.replace(annotation=own_hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(command).parameters.items()
        if name != "options"
    ]

    @wraps(command)
    def spelled_out(**given: Any) -> None:
        mine = {parameter.name: given.pop(parameter.name) for parameter in own}
        command(options=JudgeOptions(**given), **mine)

    spelled_out.__signature__ = inspect.Signature([*own, *shared])  # type: ignore[attr-defined]
    spelled_out.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *shared)}
    del spelled_out.__wrapped__
    return spelled_out
