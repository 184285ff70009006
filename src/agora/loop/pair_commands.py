"""``agora synthesize pairs``: the answers of one room, scored by another's scorers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def pairs(
    context: typer.Context,
    prompts: Annotated[Path, typer.Argument(metavar="PROMPTS", help="Samples, prompts, conversations, or a run.")],
    model: Annotated[str, typer.Option(help="Who answers (engine URI).")],
    scorer: Annotated[str, typer.Option(help="reward:PATH, judge:ENGINE, microcosm:checker or length:.")],
    out: Annotated[Path, typer.Option(help="Run folder, made or resumed.")],
    k: Annotated[int, typer.Option("--k", min=2, help="Answers of each prompt.")] = 5,
    temperature: Annotated[float, typer.Option(help="Of the answers, above 0.")] = 0.8,
    top_p: Annotated[float, typer.Option(help="In (0, 1].")] = 1.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 4096,
    min_margin: Annotated[float, typer.Option(min=0, help="Least gap of scores; equal ones never make a pair.")] = 0.0,
    length_ratio: Annotated[
        float | None, typer.Option(min=1, help="The longer side is at most so many times as long.")
    ] = None,
    test_share: Annotated[float, typer.Option(min=0, max=1, help="Share of prompts set apart.")] = 0.02,
    seed: Annotated[int, typer.Option(help="Of the answers, the ties and the split.")] = 0,
    limit: Annotated[int | None, typer.Option(min=1, help="Prompts to take at most.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Preference pairs: k answers a prompt, scored; the best against the worst."""
    from agora.engines.types import Sampling
    from agora.rooms.preferences.scorers import open_scorer, parse_scorer
    from agora.rooms.synthesize.choose import ChoiceRules
    from agora.rooms.synthesize.options import as_typed
    from agora.rooms.synthesize.pairs import PairSettings, pairs_into

    parse_scorer(scorer)  # a wrong name is told before anything is paid for
    settings = PairSettings(
        k,
        Sampling(temperature, top_p, max_tokens, seed=seed),
        ChoiceRules(min_margin=min_margin, length_ratio=length_ratio, seed=seed),
        test_share,
    )
    found = pairs_into(
        out,
        prompts,
        model,
        lambda: open_scorer(scorer),
        scorer_name=scorer,
        settings=settings,
        limit=limit,
        command=as_typed("agora synthesize pairs", context),
    )
    if as_json:
        typer.echo(json.dumps(found.as_json()))
        return
    typer.echo(f"{found.n_pairs + found.n_test} pairs from {found.n_prompts} prompts, {found.n_test} of them set apart")
    for reason, n in found.reasons.items():
        typer.echo(f"  no pair from {n}: {reason}")
    if found.longer_chosen is not None:
        typer.echo(
            f"chosen is longer in {found.longer_chosen:.0%} "
            f"({found.mean_chosen:.0f} against {found.mean_rejected:.0f} characters)"
        )
    typer.echo(f"written: {found.pairs}; see it: {found.report}")
