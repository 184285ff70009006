"""``agora train sft|reward|dpo|ppo``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from agora.core.config import Config
    from agora.train.stages import StageResult

app = typer.Typer(help="Train models: SFT, reward models, DPO and its family, PPO and its neighbors.")

Model = Annotated[str, typer.Option(help="Start model: microcosm:base, hf:NAME-OR-PATH or a folder.")]
Data = Annotated[Path, typer.Option(help="Training data in any known format.")]
Out = Annotated[Path, typer.Option(help="Run folder; the same folder resumes.")]
ConfigFile = Annotated[Path | None, typer.Option(help="YAML file of settings.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="One setting, such as train.epochs=1.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on only if the folder exists already.")]
Format = Annotated[str, typer.Option(help="Format of --data; see `agora preferences data --help`.")]
_LAST_WORDS_S = 5.0  # a process that ends with an error takes the others with it
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def sft(
    model: Model,
    data: Data,
    out: Out,
    config: ConfigFile = None,
    set_: Set = None,
    resume: Resume = False,
    as_json: AsJson = False,
) -> None:
    """Supervised fine-tuning on conversations."""
    from agora.rooms.preferences.stages import train_sft
    from agora.train.settings import SftSettings

    settings = _load(SftSettings, config, set_)
    _run("sft", out, settings, {"data": data}, model, resume, as_json, lambda to: train_sft(model, data, to, settings))


@app.command()
def reward(
    model: Model,
    data: Data,
    out: Out,
    held_out: Annotated[Path | None, typer.Option(help="Pairs to measure on instead of a share of --data.")] = None,
    format: Format = "auto",
    config: ConfigFile = None,
    set_: Set = None,
    resume: Resume = False,
    as_json: AsJson = False,
) -> None:
    """A reward model on preference pairs, measured on prompts it has not seen."""
    from agora.rooms.preferences.stages import train_reward
    from agora.train.settings import RewardSettings

    settings = _load(RewardSettings, config, set_)
    inputs = {"data": data, **({"held_out": held_out} if held_out else {})}
    _run(
        "reward",
        out,
        settings,
        inputs,
        model,
        resume,
        as_json,
        lambda to: train_reward(model, data, to, settings, format=format, held_out=held_out),
    )


@app.command()
def dpo(
    model: Model,
    data: Data,
    out: Out,
    format: Format = "auto",
    config: ConfigFile = None,
    set_: Set = None,
    resume: Resume = False,
    as_json: AsJson = False,
) -> None:
    """DPO or another loss of its family (--set loss=NAME) on preference pairs."""
    from agora.rooms.preferences.stages import train_dpo
    from agora.train.settings import DpoSettings

    settings = _load(DpoSettings, config, set_)
    _run(
        "dpo",
        out,
        settings,
        {"data": data},
        model,
        resume,
        as_json,
        lambda to: train_dpo(model, data, to, settings, format=format),
    )


@app.command()
def ppo(
    model: Model,
    data: Annotated[Path, typer.Option(help="Prompts: prompt items, tasks, pairs or conversations.")],
    out: Out,
    reward: Annotated[
        list[str],
        typer.Option(
            help="What is maximized: reward:PATH, microcosm:checker, judge:ENGINE or length:, with a weight as in "
            "0.5*length:, normalized as in normalized:reward:PATH. Give it again for a sum."
        ),
    ],
    value_start: Annotated[str | None, typer.Option(help="Reward model that the value model starts from.")] = None,
    config: ConfigFile = None,
    set_: Set = None,
    resume: Resume = False,
    as_json: AsJson = False,
) -> None:
    """PPO (or --set algorithm=rloo|grpo) on the model's own answers."""
    from agora.rooms.preferences.stages import RewardTerm, train_ppo
    from agora.train.settings import PpoSettings

    settings = _load(PpoSettings, config, set_)
    terms = [RewardTerm.parse(text) for text in reward]
    _run(
        "ppo",
        out,
        settings,
        {"data": data},
        model,
        resume,
        as_json,
        lambda to: train_ppo(model, data, terms, to, settings, value_start=value_start),
        rewards=reward,
    )


def _load(settings_type: type[Any], config: Path | None, set_: list[str] | None) -> Any:
    from agora.core.config import load_config

    return load_config(settings_type, config, set_ or [])


def _run(
    kind: str,
    out: Path,
    settings: Config,
    inputs: dict[str, Path],
    model: str,
    resume: bool,
    as_json: bool,
    work: Callable[[Path], StageResult],
    **more: Any,
) -> None:
    from agora.train.distributed import from_first, join
    from agora.train.stage import CARD

    with join() as here:
        is_done = from_first((out / CARD).is_file())
        if not here.is_first:
            if not is_done:
                _help(work)
            return
        _own(kind, out, settings, inputs, model, resume, as_json, work, **more)


def _help(work: Callable[[Path], StageResult]) -> None:
    """What a process beside the first does: the same work, of which it keeps and says nothing."""
    import os
    import time
    from tempfile import TemporaryDirectory

    from agora.core.errors import DataError, MissingError, UsageError

    os.environ["AGORA_PROGRESS"] = "0"
    with TemporaryDirectory() as folder:
        try:
            work(Path(folder))
        except (DataError, UsageError, MissingError) as error:  # all processes meet it, the first one says it
            time.sleep(_LAST_WORDS_S)
            raise typer.Exit(error.exit_code) from error


def _own(
    kind: str,
    out: Path,
    settings: Config,
    inputs: dict[str, Path],
    model: str,
    resume: bool,
    as_json: bool,
    work: Callable[[Path], StageResult],
    **more: Any,
) -> None:
    """What the first or only process does: it owns the run folder and says what came out."""
    from agora.core.errors import MissingError
    from agora.core.runs import RunDir

    if resume and not (out / "run.json").is_file():
        raise MissingError("nothing to resume", where=str(out), hint="leave out --resume to start")
    resolved = settings.model_dump(mode="json")
    given = " ".join(f"--{name.replace('_', '-')} {path}" for name, path in inputs.items())
    command = f"agora train {kind} --model {model} {given} --out {out}"
    command += "".join(f" --reward '{term}'" for term in more.get("rewards", ()))
    # The model's weights and the data are what they are; settings decide the rest.
    config = {"model": model, **resolved, **more}
    with RunDir.open(out, command=command, config=config, seed=resolved["train"]["seed"], inputs=inputs) as run:
        result = work(out)
        for name, value in result.metrics.items():
            run.metric(name, value)
    if as_json:
        typer.echo(json.dumps(result.as_json()))
        return
    _print(result)


def _print(result: StageResult) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("measure", "value", title=f"{result.kind}: {result.steps} steps in {result.seconds:.0f} s")
    for name, value in {"rows": result.rows, "tokens": result.tokens, **result.metrics}.items():
        table.add_row(name, f"{value:.4g}" if isinstance(value, float) else str(value))
    for reason, count in result.dropped.items():
        table.add_row(f"dropped: {reason}", str(count))
    console = Console(stderr=True)
    console.print(table)
    for note in result.notes:
        console.print(f"note: {note}", markup=False)
    typer.echo(f"Model: {result.model}")
