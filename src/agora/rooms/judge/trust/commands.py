"""Commands that say how far a ranking can be trusted: parse, call one function, print."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from agora.rooms.judge.ranking.commands import Baseline, Files, Json, JudgeName, Seed, console, print_json


def correlate(
    board: Annotated[
        Path,
        typer.Argument(
            metavar="LEADERBOARD", help="Output of leaderboard --json, or a published table (JSON, JSONL, CSV)."
        ),
    ],
    human: Annotated[Path, typer.Argument(metavar="HUMAN.csv", help="Models and their ratings by people.")],
    column: Annotated[str | None, typer.Option("--column", help="The column of ratings in HUMAN.csv.")] = None,
    metric: Annotated[list[str] | None, typer.Option("--metric", help="Only this metric; may be repeated.")] = None,
    names: Annotated[
        Path | None, typer.Option("--names", help="JSON object: leaderboard's name of a model to HUMAN.csv's.")
    ] = None,
    top: Annotated[int | None, typer.Option("--top", min=2, help="Only the models that people rate highest.")] = None,
    json: Json = False,
) -> None:
    """How well a leaderboard ranks models as people do, with intervals that respect the number of models."""
    from agora.core.tables import read_json
    from agora.rooms.judge.trust import show_meta
    from agora.rooms.judge.trust.meta import correlate as compare
    from agora.rooms.judge.trust.meta_files import ratings_of, read_human, read_metrics

    metrics = ratings_of(read_metrics(board, names=read_json(names) if names else None), metric or [])
    report = compare(metrics, read_human(human, column), name=column or human.name, top=top)
    if json:
        print_json(show_meta.meta_json(report))
    else:
        show_meta.print_meta(report, console())


def agree(
    files: Files,
    judge: JudgeName = None,
    baseline: Baseline = None,
    family: Annotated[
        list[str] | None,
        typer.Option("--family", metavar="JUDGE=MODEL,MODEL", help="Models of a judge's own family; may be repeated."),
    ] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Agreement of judges on the same answers, and whether a judge prefers its own family."""
    from agora.rooms.judge.trust import show_trust
    from agora.rooms.judge.trust.judge_agreement import read_families
    from agora.rooms.judge.trust.trust import agreement_of_files

    report = agreement_of_files(files, judge=judge, baseline=baseline, families=read_families(family or []), seed=seed)
    if json:
        print_json(show_trust.agreement_json(report))
    else:
        show_trust.print_agreement(report, console())


def power(
    files: Files,
    judge: JudgeName = None,
    baseline: Baseline = None,
    gap: Annotated[
        float | None, typer.Option("--gap", help="A true difference to find, in points of the table.")
    ] = None,
    wanted: Annotated[float, typer.Option("--power", help="Probability to find it.")] = 0.8,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """How many tasks it takes to tell models apart, and how stable the ranking is on fewer."""
    from agora.rooms.judge.trust import show_trust
    from agora.rooms.judge.trust.trust import power_of_files

    report = power_of_files(files, judge=judge, baseline=baseline, gap=gap, power=wanted, seed=seed)
    if json:
        print_json(show_trust.power_json(report))
    else:
        show_trust.print_power(report, console())


def correct(
    files: Files,
    labels: Annotated[
        Path, typer.Option("--labels", help="CSV of model, task_id and value by people, on the verdicts' scale.")
    ],
    judge: JudgeName = None,
    baseline: Baseline = None,
    json: Json = False,
) -> None:
    """Correct a judge's means by a few labels that people gave (prediction-powered)."""
    from agora.rooms.judge.trust import show_trust
    from agora.rooms.judge.trust.trust import correct_files

    report = correct_files(files, labels, judge=judge, baseline=baseline)
    if json:
        print_json(show_trust.corrected_json(report))
    else:
        show_trust.print_corrected(report, console())


def published(
    folder: Annotated[Path, typer.Argument(help="Folder of score.json, pairwise-*.json and all_stat.json.")],
    margin: Annotated[
        int | None, typer.Option("--margin", metavar="K", help="The pair files' K; default none.")
    ] = None,
    legacy: Annotated[
        bool, typer.Option("--legacy", help="As published: what was not compared is 0, what was skipped is a tie.")
    ] = False,
    json: Json = False,
) -> None:
    """Rebuild WildBench's published leaderboard from its files, right or as published."""
    from agora.rooms.judge.scoring.legacy import PublishedBoard
    from agora.rooms.judge.trust import show_trust

    board = PublishedBoard.read(folder, margin)
    table = board.table(legacy=legacy)
    if json:
        print_json(table)
    else:
        show_trust.print_published(table, board.margin, console(), legacy=legacy)
