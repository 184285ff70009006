"""``agora curate toxicity``: train the built-in model, measure it, score a file by any provider."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agora.curate.curate_commands import File, FormatName, Json, Out, app, print_report

toxicity = typer.Typer(no_args_is_help=True, help="Say which messages are toxic: train, check, score.")
app.add_typer(toxicity, name="toxicity")

Labeled = Annotated[Path, typer.Argument(metavar="FILE", help="Labeled texts: text or prompt, and categories.")]


@toxicity.command("train")
def train_(
    file: Labeled,
    out: Annotated[Path, typer.Option(help="Model to write: .npz, plain arrays.")],
    seed: Annotated[int, typer.Option(help="Of the solver.")] = 0,
    json: Json = False,
) -> None:
    """Train the built-in linear model on labeled texts."""
    from agora.core.errors import UsageError
    from agora.curate.toxicity.labeled import read_labeled
    from agora.curate.toxicity.train import train

    if out.suffix != ".npz":
        raise UsageError("a model is one .npz file", where=str(out), hint=f"name it {out.stem}.npz")
    model = train(read_labeled(file), seed=seed)
    model.save(out)
    if json:
        from agora.core.json_text import dumps

        typer.echo(dumps({**model.facts, "version": model.version, "out": str(out)}).decode())
        return
    typer.echo(
        f"{model.facts['rows']:,} texts; " + ", ".join(f"{c} {n:,}" for c, n in model.facts["positives"].items())
    )
    typer.echo(f"written: {out} ({model.version}); use it: agora curate toxicity score CHATS --model {out} --out FILE")


@toxicity.command("check")
def check(
    file: Labeled,
    folds: Annotated[int, typer.Option(min=2, help="Folds of the cross-validation.")] = 3,
    seed: Annotated[int, typer.Option(help="Of the folds and the solver.")] = 0,
    json: Json = False,
) -> None:
    """Measure the built-in model by cross-validation on labeled texts: area under the ROC curve by category."""
    from agora.curate.toxicity.labeled import read_labeled
    from agora.curate.toxicity.train import cross_validate

    found = cross_validate(read_labeled(file), folds=folds, seed=seed)
    if json:
        from dataclasses import asdict

        from agora.core.json_text import dumps

        typer.echo(dumps([asdict(row) for row in found]).decode())
        return
    typer.echo(f"{'category':18} {'AUC':>6} {'positive':>9} {'of':>6}")
    for row in found:
        typer.echo(f"{row.category:18} {row.auc:>6.3f} {row.positives:>9,} {row.n:>6,}")


@toxicity.command("score")
def score(
    file: File,
    out: Out,
    model: Annotated[
        list[str],
        typer.Option(metavar="PROVIDER", help="model.npz, http://HOST/v1#MODEL or detoxify:FOLDER; repeatable."),
    ],
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Detoxify's toxicity above it is toxic.")] = 0.1,
    format: FormatName = "auto",
    json: Json = False,
) -> None:
    """Score every message of a file; rows get the tag toxic, and nothing is removed."""
    from agora.curate.toxicity.score_file import score_file

    report = score_file(file, out, model, threshold=threshold, format=format)
    if not json:
        facts = report.facts
        typer.echo(f"toxic: {facts['toxic']['messages']:,} of {facts['messages']:,} messages")
        typer.echo("highest score above " + ", ".join(f"{at}: {n:,}" for at, n in facts["above"].items()))
    print_report(report, json=json)
