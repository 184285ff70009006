"""``agora engines check`` and ``agora generate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(name="engines", help="See what a model or server can do.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.callback()
def _group() -> None:
    """See what a model or server can do."""


@app.command("check")
def check(
    uri: Annotated[
        str, typer.Argument(metavar="URI", help="microcosm:chat, hf:NAME-OR-PATH, openai:MODEL, http://…#MODEL")
    ],
    prefix: Annotated[
        str | None, typer.Option(help="Opening of a user turn: probe whether it reaches the model raw.")
    ] = None,
    json: Json = False,
) -> None:
    """Open an engine, find out what it can do and measure it with a dozen short calls."""
    from dataclasses import asdict

    from agora.engines.probe import check_engine

    report = check_engine(uri, prefix=prefix)
    if json:
        _print_json(asdict(report) | {"ok": report.ok})
    else:
        for name, value in _facts(report):
            typer.echo(f"{name:14} {value}")
    if not report.ok:
        raise typer.Exit(1)


def _facts(report: Any) -> list[tuple[str, str]]:
    def number(value: float | None, form: str) -> str:
        return "unknown" if value is None else form.format(value)

    raw = report.raw_access
    return [
        ("engine", report.uri),
        ("can", ", ".join(report.capabilities) or "nothing"),
        ("latency", number(report.latency_s, "{:.3f} s for one token")),
        ("speed", number(report.tokens_per_s, "{:,.0f} tokens/s over 8 answers at once")),
        ("context", number(report.context, "{:,} tokens")),
        ("stop strings", report.stop),
        ("other seeds", {True: "other texts", False: "the same text", None: "unknown"}[report.samples]),
        ("same seed", {True: "same text", False: "another text", None: "unknown"}[report.repeatable]),
        *([("raw prefix", f"{'ok' if raw.ok else 'FAILED'}: {raw.reason}")] if raw else []),
        *(("problem", problem) for problem in report.problems),
    ]


def generate(
    model: Annotated[str, typer.Option("--model", metavar="URI", help="Who answers.")],
    in_file: Annotated[Path, typer.Option("--in", metavar="FILE", help="Rows with messages, prompt or instruction.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="JSON Lines; a rerun goes on where it stopped.")],
    temperature: Annotated[float, typer.Option(min=0, help="0 is greedy.")] = 0.0,
    top_p: Annotated[float, typer.Option(min=0, max=1, help="Nucleus sampling.")] = 1.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Most new tokens per row.")] = 256,
    stop: Annotated[list[str] | None, typer.Option(help="A stop string; may be given again.")] = None,
    seed: Annotated[int, typer.Option(help="Each row's seed comes from this and its id.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many rows.")] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="Continue prompts as they stand, without a chat template.")
    ] = False,
    cache: Annotated[Path | None, typer.Option(help="A SQLite file of answers to use and fill.")] = None,
    max_total_tokens: Annotated[int | None, typer.Option(min=1, help="Stop once so many tokens are spent.")] = None,
    max_cost: Annotated[float | None, typer.Option(min=0, help="Stop once so many US dollars are spent.")] = None,
    price: Annotated[
        tuple[float, float] | None, typer.Option(metavar="IN OUT", help="US dollars per million tokens, in and out.")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Servers: most requests in flight.")] = 32,
    json: Json = False,
) -> None:
    """Answer a file of prompts with a model."""
    from dataclasses import asdict

    from agora.engines._wire import Prices
    from agora.engines.budget import Budget
    from agora.engines.generate import generate_file
    from agora.engines.registry import open_engine
    from agora.engines.types import Sampling

    limited = max_total_tokens is not None or max_cost is not None
    engine = open_engine(
        model,
        cache=cache,
        budget=Budget(max_total_tokens, max_cost) if limited else None,
        concurrency=concurrency,
        prices=Prices(*price) if price else None,
    )
    try:
        sampling = Sampling(temperature, top_p, max_tokens, tuple(stop or ()), seed=seed)
        report = generate_file(engine, in_file, out, sampling=sampling, raw=raw, limit=limit)
    finally:
        engine.close()
    if json:
        _print_json(asdict(report))
    else:
        typer.echo(
            f"{report.written} answered, {report.skipped} were there, {report.failed + report.malformed} rejected"
        )
        tokens = report.prompt_tokens + report.completion_tokens
        typer.echo(f"{tokens:,} tokens, ${report.cost_usd:.4f}, {report.seconds:.1f} s", err=True)
        if report.rejects:
            typer.echo(f"rejected rows: {report.rejects}", err=True)
        typer.echo(f"answers: {report.out}   (see them: head -1 {report.out})")
    if report.failed:
        raise typer.Exit(1)


def _print_json(value: dict[str, Any]) -> None:
    from json import dumps

    typer.echo(dumps(value, default=str, ensure_ascii=False))
