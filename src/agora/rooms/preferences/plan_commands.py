"""``agora plan``: parse, call one function, print."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from agora.train.planning import Assumptions, Cluster, Estimate, Remedy, Work

#: Recipes that other rooms have: name -> (overrides, only) -> pieces of work in order, and notes on what they rest on.
RECIPES: dict[str, Callable[[Sequence[str], Sequence[str]], tuple[list[Work], list[str]]]] = {}


def plan(
    recipe: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE",
            help="A study's YAML file or name, a data set of the Magpie paper (air, pro), or one of sft, reward, dpo, "
            "ppo and sampling (N calls of a model).",
        ),
    ],
    gpus: Annotated[str, typer.Option(help="Such as 8xH100; an unknown name is told the known ones.")] = "1xH100",
    model: Annotated[
        str | None, typer.Option(help="Of one training: a folder, microcosm:NAME, hf:NAME, or a size such as 13B.")
    ] = None,
    reward: Annotated[str | None, typer.Option(help="PPO: the reward model, named like --model.")] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Conversations, pairs, prompts or calls.")] = None,
    data: Annotated[Path | None, typer.Option(help="Instead of --rows: the training's file, which is counted.")] = None,
    prompt_tokens: Annotated[float | None, typer.Option(min=1, help="Mean tokens a prompt, where none count.")] = None,
    answer_tokens: Annotated[float | None, typer.Option(min=1, help="Mean tokens an answer.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings of one training.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="One setting, such as train.bf16=true.")] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="Of a study: these values and baselines; of a data set: these stages."),
    ] = None,
    utilization: Annotated[
        float, typer.Option(min=0.01, max=1, help="Share of the peak that training reaches.")
    ] = 0.35,
    price: Annotated[float | None, typer.Option(min=0, help="USD a GPU hour; default: the table's assumption.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """What a recipe needs on paper: memory by part, operations, tokens, hours, cost, and what to change."""
    from agora.train.planning import Assumptions, estimate, parse_gpus, remedies

    cluster = parse_gpus(gpus)
    assumptions = Assumptions(utilization=utilization, usd=price)
    works, notes = _works(recipe, model, reward, rows, data, prompt_tokens, answer_tokens, config, set_, only)
    plans = [estimate(work, cluster, assumptions) for work in works]
    changes = _changes(works, plans, remedies)
    notes += dict.fromkeys(note for found in plans for note in found.notes)
    if json:
        _print_json(plans, changes, notes, cluster, assumptions)
    else:
        from agora.rooms.preferences.plan_page import print_plan

        print_plan(plans, changes, notes, cluster, assumptions)
    if not all(p.fits for p in plans):
        raise typer.Exit(1)


def _works(
    recipe: str,
    model: str | None,
    reward: str | None,
    rows: int | None,
    data: Path | None,
    prompt_tokens: float | None,
    answer_tokens: float | None,
    config: Path | None,
    set_: list[str] | None,
    only: list[str] | None,
) -> tuple[list[Work], list[str]]:
    from agora.core.errors import UsageError
    from agora.rooms.preferences.plan_recipe import Lengths, works_of
    from agora.rooms.preferences.plan_training import KINDS, training_work
    from agora.rooms.preferences.study.recipe import load_recipe

    usual = Lengths()
    lengths = None
    if prompt_tokens or answer_tokens:
        lengths = Lengths(prompt_tokens or usual.prompt, answer_tokens or usual.answer)
    if recipe in KINDS:
        if model is None:
            raise UsageError(f"agora plan {recipe} needs --model", hint="a folder, or a size such as 13B")
        work, notes = training_work(
            recipe, model, rows=rows, data=data, lengths=lengths, reward=reward, config=config, overrides=set_ or []
        )
        return [work], notes
    for name, value in {"--model": model, "--reward": reward, "--rows": rows, "--data": data}.items():
        if value is not None:
            raise UsageError(f"{name} belongs to one training, not to {recipe}", hint=f"one of {', '.join(KINDS)}")
    if recipe in RECIPES:
        if lengths is not None:
            raise UsageError(f"{recipe} says how long its texts are", hint="leave the numbers of tokens out")
        return RECIPES[recipe](set_ or [], only or [])
    return works_of(load_recipe(recipe, set_ or []), only=only or [], lengths=lengths)


def _changes(works: list[Work], plans: list[Estimate], remedies: Any) -> dict[str, list[Remedy]]:
    """Of each kind of work the one that needs most, where it does not fit."""
    worst: dict[str, tuple[Work, Estimate]] = {}
    for work, found in zip(works, plans, strict=True):
        if not found.fits and (found.kind not in worst or found.peak_gib > worst[found.kind][1].peak_gib):
            worst[found.kind] = (work, found)
    return {found.name: remedies(work, found) for work, found in worst.values()}


def _print_json(
    plans: list[Estimate],
    changes: dict[str, list[Remedy]],
    notes: list[str],
    cluster: Cluster,
    assumptions: Assumptions,
) -> None:
    from dataclasses import asdict

    from agora.core.json_text import dumps

    told = {
        "gpus": {"count": cluster.count, **asdict(cluster.gpu)},
        "assumptions": {**asdict(assumptions), "usd": assumptions.price(cluster.gpu)},
        "fits": all(found.fits for found in plans),
        "hours": sum(found.hours for found in plans),
        "gpu_hours": sum(found.hours for found in plans) * cluster.count,
        "usd": sum(found.usd for found in plans),
        "flops": sum(found.flops for found in plans),
        "work": [found.as_json() for found in plans],
        "changes": {
            name: [{"change": r.change, "peak_gib": r.plan.peak_gib, "hours": r.plan.hours} for r in found]
            for name, found in changes.items()
        },
        "notes": notes,
    }
    typer.echo(dumps(told).decode())
