"""``agora preferences data``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agora.curate.pairs.prepare import PrepareReport


def data(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Preference files, folders, hub:OWNER/NAME, or one mix as YAML."),
    ],
    out: Annotated[Path, typer.Option(help="File of pairs to write: .jsonl, .json, .parquet; also .gz, .zst.")],
    format: Annotated[str, typer.Option(help="Name of the format, openrlhf:prompt=COLUMN,..., or auto.")] = "auto",
    rule: Annotated[
        str | None, typer.Option(help="How pairs are made, such as best_vs_worst,score=mean,min_margin=1.")
    ] = None,
    cap: Annotated[int | None, typer.Option(min=1, help="Pairs of each FILE at most, drawn at random.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Rows of each FILE to read at most.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of draws, shuffle and split (42).")] = None,
    export: Annotated[str, typer.Option(help="Layout of the output: agora, trl, hh, sharegpt, alpaca, ...")] = "agora",
    max_prompt_chars: Annotated[int | None, typer.Option(min=1, help="Leave out longer prompts.")] = None,
    max_answer_chars: Annotated[int | None, typer.Option(min=1, help="Leave out pairs with a longer answer.")] = None,
    held_out: Annotated[float, typer.Option(min=0.0, max=0.9, help="Share of the prompts to hold out.")] = 0.0,
    decontaminate: Annotated[
        list[Path] | None, typer.Option(help="Leave out prompts that this test asks; may be repeated.")
    ] = None,
    trust_labels: Annotated[
        bool, typer.Option("--trust-labels", help="Accept chosen answers that score below the rejected.")
    ] = False,
    merge_turns: Annotated[bool, typer.Option("--merge-turns", help="Join two turns of one role in a row.")] = False,
    drop_opposite: Annotated[
        bool, typer.Option("--drop-opposite", help="Drop pairs that contradict each other.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Read preference data of any known format, check it, mix it, describe it, and write it to train on."""
    from agora.curate.pairs.prepare import PrepareSettings, prepare_pairs
    from agora.curate.pairs.rules import parse_rule

    settings = PrepareSettings(
        format=format,
        rule=parse_rule(rule) if rule else None,
        limit=limit,
        cap=cap,
        trust_labels=trust_labels,
        merge_turns=merge_turns,
        seed=seed,
        export=export,
        tests=tuple(str(test) for test in decontaminate or ()),
        max_prompt_chars=max_prompt_chars,
        max_answer_chars=max_answer_chars,
        opposite="drop" if drop_opposite else "keep",
        held_out=held_out,
    )
    command = shlex.join(["agora", *sys.argv[1:]])
    report = prepare_pairs([Path(file) for file in files], out, settings, command=command)
    if json:
        from agora.core.json_text import dumps

        typer.echo(dumps(report.to_json()).decode())
    else:
        _print(report)


def _print(report: PrepareReport) -> None:
    for part in report.mixed.parts:
        typer.echo(f"{part.name} ({part.read.format}): {part.read.rows:,} rows, {part.read.pairs:,} pairs")
        for verb, counts in (("faulty", part.read.dropped), ("no pair", part.read.set_aside), ("out", part.left_out)):
            for reason, n in counts.most_common():
                typer.echo(f"  {verb} {n:,}: {reason}")
        if part.final != part.read.pairs:
            typer.echo(f"  in the result: {part.final:,}")
    for reason, n in report.mixed.dropped.most_common():
        typer.echo(f"left out {n:,}: {reason}")
    for name, note in report.mixed.notes.items():
        typer.echo(f"note on {name}: {note}")
    card = report.card
    longer = card.longer_wins.interval
    typer.echo(
        f"{card.n:,} pairs over {card.prompts:,} prompts; the longer answer is chosen in "
        f"{longer.estimate:.1%} [{longer.low:.1%}, {longer.high:.1%}]; {card.ties:,} ties, "
        f"{card.repeated:,} repeated, {card.opposite:,} contradicted"
    )
    for what, written in (("written", report.export), ("held out", report.held_out)):
        if written is None:
            continue
        typer.echo(f"{what}: {written.path} ({written.written:,} pairs)")
        for reason, n in written.skipped.items():
            typer.echo(f"  the layout {written.format} cannot hold {n:,}: {reason}")
    if report.export.hint:
        typer.echo(f"use it: {report.export.hint}")
    if report.rejects_path:
        typer.echo(f"rows without a pair: {report.rejects_path}")
    typer.echo(f"data card: {report.card_path}; report: {report.report_path}")
    if report.export.format == "agora":
        typer.echo(f"train on it: agora train dpo --model URI --data {report.export.path} --out DIR")
