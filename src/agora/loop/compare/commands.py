"""``agora synthesize compare``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def compare(
    out: Annotated[Path, typer.Option(help="Run folder; the same folder resumes.")],
    data: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FILE", help="A data set of your own; may be given again.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Aligned model that is drawn from (engine URI).")] = None,
    student: Annotated[str | None, typer.Option(help="Model that is trained: microcosm:base, hf:NAME-OR-PATH.")] = None,
    judge: Annotated[str | None, typer.Option(help="microcosm:checker or an engine URI.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="One setting, such as rows=300.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train one student on several data sets of equal size and judge it on held-out tasks."""
    from agora.core.config import load_config
    from agora.core.errors import UsageError
    from agora.core.runs import RunDir
    from agora.loop.compare.flow import compare_data
    from agora.loop.compare.settings import CompareConfig

    given = {"model": model, "student": student, "judge": judge}
    overrides = [*(set_ or []), *(f"{key}={json.dumps(value)}" for key, value in given.items() if value is not None)]
    files = {}
    for item in data or []:
        name, sign, file = item.partition("=")
        if not sign or not name or not file:
            raise UsageError(f"expected NAME=FILE, got {item!r}", where="--data", hint="--data mine=chats.jsonl")
        files[name] = file
    overrides += [f"files={json.dumps(files)}"] if files else []
    settings = load_config(CompareConfig, config, overrides)
    inputs = {**{f"data {name}": Path(file) for name, file in settings.files.items()}}
    if settings.tasks_file is not None:
        inputs["tasks"] = Path(settings.tasks_file)
    command = " ".join(["agora synthesize compare", *(f"--set {item}" for item in overrides)])
    with RunDir.open(
        out, command=command, config=settings.model_dump(mode="json"), seed=settings.seeds[0], inputs=inputs
    ) as run:
        result = compare_data(settings, run)
    if as_json:
        typer.echo(json.dumps(result.as_json()))
        return
    for one in result.outcomes:
        gap = "" if one.difference is None else (
            f"   difference {one.difference.estimate:+.1f} [{one.difference.low:.1f}, {one.difference.high:.1f}]"
        )  # fmt: skip
        typer.echo(f"{one.name:32} {one.score.estimate:7.1f} [{one.score.low:.1f}, {one.score.high:.1f}]{gap}")
    typer.echo(f"report: {result.report}")
