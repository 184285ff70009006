"""``agora curate label``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from agora.curate.curate_commands import File, FormatName, Json, On, Out, Workers, app, print_report

if TYPE_CHECKING:
    from agora.core.records import JsonMap


@app.command("label")
def label(
    file: File,
    out: Out,
    labels: Annotated[
        str, typer.Option(help="Comma-separated: quality, difficulty, category, safety, language, reward.")
    ] = "quality,difficulty,category,language",
    engine: Annotated[
        str,
        typer.Option(metavar="URI", help="Who labels: openai:MODEL, http://HOST/v1#MODEL, hf:NAME, microcosm:world."),
    ] = "",
    reward: Annotated[str, typer.Option(metavar="URI", help="Who scores answers: reward:PATH, judge:ENGINE.")] = "",
    check: Annotated[str, typer.Option(metavar="URI", help="A second labeler for a sample; kappa is reported.")] = "",
    check_rows: Annotated[int, typer.Option(min=2, help="Rows of that sample.")] = 500,
    seed: Annotated[int, typer.Option(help="Of the prompts' codes and the sample.")] = 0,
    max_tokens: Annotated[int, typer.Option(min=16, help="Longest reply, in tokens.")] = 512,
    concurrency: Annotated[int, typer.Option(min=1, help="Servers: most requests in flight.")] = 32,
    max_total_tokens: Annotated[int | None, typer.Option(min=1, help="Stop once so many tokens are spent.")] = None,
    max_cost: Annotated[float | None, typer.Option(min=0, help="Stop once so many US dollars are spent.")] = None,
    price: Annotated[
        tuple[float, float] | None, typer.Option(metavar="IN OUT", help="US dollars per million tokens, in and out.")
    ] = None,
    format: FormatName = "auto",
    on: On = "local",
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Label rows by any model; the same command goes on after a kill and pays no reply twice."""
    from agora.curate.labels import LabelSettings, label_file
    from agora.engines._wire import Prices
    from agora.engines.budget import Budget

    limited = max_total_tokens is not None or max_cost is not None
    options = {
        "concurrency": concurrency,
        "budget": Budget(max_total_tokens, max_cost) if limited else None,
        "prices": Prices(*price) if price else None,
    }
    names = tuple(dict.fromkeys(name.strip() for name in labels.split(",") if name.strip()))
    settings = LabelSettings(
        labels=names,
        engine=engine,
        reward=reward,
        check=check,
        check_rows=check_rows,
        seed=seed,
        max_tokens=max_tokens,
        engine_options=options,
    )
    report = label_file(file, out, settings, format=format, on=on, workers=workers)
    if not json:
        _print_facts(report.facts)
    print_report(report, json=json, then=f"agora curate filter {out} --out kept.jsonl --where 'quality >= good'")


def _print_facts(facts: JsonMap) -> None:
    for name, counts in facts["labels"].items():
        typer.echo(f"{name}: " + (", ".join(f"{value} {n:,}" for value, n in counts.items()) or "none"))
    if "mean_reward" in facts:
        typer.echo(f"reward: mean {facts['mean_reward']:.3f}")
    for found in facts.get("agreement", []):
        kappa = "–" if found["kappa"] is None else f"{found['kappa']:.2f}"
        low, high = found["kappa_low"], found["kappa_high"]
        bounds = "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"
        means = "" if found["means"][0] is None else f", means {found['means'][0]:.2f} and {found['means'][1]:.2f}"
        typer.echo(f"agreement on {found['label']}: kappa {kappa}{bounds} over {found['n']} rows{means}")
    spent = facts.get("spent")
    if spent:
        tokens = spent["prompt_tokens"] + spent["completion_tokens"]
        typer.echo(
            f"{spent['calls']:,} calls ({spent['cached']:,} cached), {tokens:,} tokens, ${spent['cost_usd']:.4f}"
        )
    for warning in facts.get("warnings", []):
        typer.echo(f"warning: {warning}", err=True)
