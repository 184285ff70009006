"""``agora loop``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def loop(
    out: Annotated[Path, typer.Option(help="Run folder; the same folder resumes.")] = Path("runs/loop"),
    conversations: Annotated[
        Path | None, typer.Option(help="Your own logs: OpenAI messages, ShareGPT, OpenAssistant, WildChat, LMSYS.")
    ] = None,
    format: Annotated[str, typer.Option(help="Format of --conversations.")] = "auto",
    model: Annotated[str | None, typer.Option(help="Aligned model to draw from (engine URI).")] = None,
    judge: Annotated[str | None, typer.Option(help="Judge: microcosm:checker or an engine URI.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the whole run.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="One setting, such as sft.epochs=2.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Close the loop: draw, curate, train SFT and DPO, judge, report. About five minutes on two cores."""
    from agora.core.config import load_config
    from agora.core.runs import RunDir
    from agora.loop.flow import close_loop
    from agora.loop.settings import LoopConfig

    given = {"model": model, "judge": judge, "seed": seed}
    overrides = [*(set_ or []), *(f"{key}={json.dumps(value)}" for key, value in given.items() if value is not None)]
    settings = load_config(LoopConfig, config, overrides)
    # Written as a user would type it, so that the report's command reproduces the run.
    command = " ".join(["agora loop", *(f"--set {item}" for item in overrides)])
    if conversations:
        command += f" --conversations {conversations}"
    with RunDir.open(
        out,
        command=command,
        config=settings.model_dump(mode="json"),
        seed=settings.seed,
        inputs={"conversations": conversations} if conversations else None,
        licences=["Apache-2.0 (microcosm)"],
    ) as run:
        result = close_loop(settings, run, conversations=conversations, format=format)
    if as_json:
        typer.echo(json.dumps(result.as_json()))
        return
    _print_summary(result)
    typer.echo(f"Report: {result.report}")


def _print_summary(result: object) -> None:
    from rich.console import Console
    from rich.table import Table

    from agora.loop.flow import LoopResult

    assert isinstance(result, LoopResult)
    table = Table("model", "n", "WB-Score", "WB-Reward mix", "correct", title=f"{result.seconds:.0f} s")
    for model in result.models:
        low, high = model.score.interval.low, model.score.interval.high
        score = "-" if model.score.wb_score is None else f"{model.score.wb_score:.1f} [{low:.1f}, {high:.1f}]"
        mix = "-" if model.reward.mix is None else f"{model.reward.mix:.1f}"
        correct = "-" if model.correct is None else f"{model.correct:.1%}"
        table.add_row(model.name, str(model.score.n), score, mix, correct)
    Console(stderr=True).print(table)
