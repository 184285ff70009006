"""``agora synthesize``: draw instruction data out of an aligned model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agora.rooms.synthesize.settings import SynthesizeConfig

app = typer.Typer(no_args_is_help=True, help="Draw instruction data out of an aligned model.")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
MODEL_HELP = "Engine URI: microcosm:chat, hf:NAME-OR-PATH, http://HOST:PORT/v1#NAME."
Model = Annotated[str, typer.Option(help=MODEL_HELP)]
Mode = Annotated[str, typer.Option(help="template, bare, system:TEXT or custom:STRING.")]
ChatTemplateFile = Annotated[
    Path | None, typer.Option(help="Jinja file used in place of the tokenizer's own template.")
]


@app.callback()
def synthesize() -> None:
    """Draw instruction data out of an aligned model."""


@app.command("prefix")
def prefix(
    source: Annotated[
        str,
        typer.Argument(metavar="TOKENIZER-OR-MODEL", help="Tokenizer folder, hf:NAME, microcosm:chat or .jinja file."),
    ],
    mode: Mode = "template",
    chat_template: ChatTemplateFile = None,
    clock: Annotated[str | None, typer.Option(help="Date that templates with a clock print, YYYY-MM-DD.")] = None,
    json: Json = False,
) -> None:
    """Show what a model sees before and after a user's text. No weights are loaded."""
    from agora.rooms.synthesize.prefix import derive_prefix
    from agora.rooms.synthesize.sources import read_template

    text = read_template(chat_template) if chat_template is not None else None
    template = derive_prefix(source, mode=mode, chat_template=text, clock=clock)
    if json:
        _print_json(template.to_json())
        return
    ids = "none (no tokenizer)" if template.prefix_ids is None else " ".join(map(str, template.prefix_ids))
    typer.echo(f"prefix      {template.prefix!r}")
    typer.echo(f"sent        {template.sent_text!r}")
    typer.echo(f"token ids   {ids}")
    typer.echo(f"post-query  {template.post_query!r}")
    typer.echo(f"stops       ids {list(template.stop_ids)}, strings {list(template.stop_strings)}")
    typer.echo(f"system      {template.supports_system}")
    typer.echo(f"later turns {'kept as they are' if template.prefix_preserving else 'rendered whole'}")
    for warning in template.warnings:
        typer.echo(f"warning: {warning}", err=True)


@app.command("run")
def run(
    context: typer.Context,
    out: Annotated[Path | None, typer.Option(help="Run folder, made or resumed.")] = None,
    model: Annotated[str | None, typer.Option(help=MODEL_HELP)] = None,
    n: Annotated[int | None, typer.Option("--n", min=1, help="Instructions to draw; scales a schedule.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file of settings, or a recipe such as air.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="One setting, such as draw.no_markdown=true.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and count; load and write nothing.")] = False,
    gpus: Annotated[str | None, typer.Option(help="With --dry-run: hours and cost on these, such as 4xA100.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the run.")] = None,
    temperature: Annotated[float | None, typer.Option(help="Above 0; one slice in place of a schedule.")] = None,
    top_p: Annotated[float | None, typer.Option(help="In (0, 1]; one slice in place of a schedule.")] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Longest instruction, in tokens.")] = None,
    mode: Annotated[str | None, typer.Option(help="template, bare, system:TEXT or custom:STRING.")] = None,
    tokenizer: Annotated[str | None, typer.Option(help="Tokenizer of a model that is served elsewhere.")] = None,
    chat_template: ChatTemplateFile = None,
    domain: Annotated[
        list[str] | None, typer.Option(help="Task category to draw, such as math=2, or all; may be given again.")
    ] = None,
    language: Annotated[str | None, typer.Option(help="Language to draw in, by its English name.")] = None,
    no_markdown: Annotated[bool, typer.Option("--no-markdown", help="Forbid a first token of only # * - `.")] = False,
    self_instruct: Annotated[
        Path | None, typer.Option(metavar="SEEDS", help="Write tasks from a person's instead (Self-Instruct).")
    ] = None,
    answers: Annotated[bool, typer.Option("--answers/--no-answers", help="Answer what was kept.")] = True,
    probe: Annotated[bool, typer.Option("--probe/--no-probe", help="See that raw prefixes reach the model.")] = True,
    json: Json = False,
) -> None:
    """Draw instructions and answer them; the same command on the same folder resumes."""
    from agora.core.errors import UsageError
    from agora.rooms.synthesize.options import as_typed, run_config
    from agora.rooms.synthesize.run import synthesize as draw_and_answer

    settings = run_config(
        config,
        set_ or [],
        {"model": model, "seed": seed, "mode": mode, "tokenizer": tokenizer, "max_tokens": max_tokens},
        n=n,
        temperature=temperature,
        top_p=top_p,
        chat_template=chat_template,
        domains=domain or [],
        language=language,
        no_markdown=no_markdown,
        self_instruct=self_instruct,
        answers=answers,
        probe=probe,
    )
    if dry_run:
        _print_plan(settings, gpus, json)
        return
    if out is None:
        raise UsageError("a run needs a folder", where="--out", hint="--out runs/mine, or --dry-run to count only")
    report = draw_and_answer(out, settings, command=as_typed("agora synthesize run", context))
    if json:
        _print_json(report.as_json())
        return
    _print_report(report.instructions, False)
    if report.answers is not None:
        _print_report(report.answers, False)
    typer.echo(f"report: {report.report}")


@app.command("slices")
def slices(
    samples: Annotated[
        Path, typer.Argument(metavar="SAMPLES", help="Samples, labeled or not, or the folder of a run.")
    ],
    json: Json = False,
) -> None:
    """What each slice of a schedule came to: kept, quality, difficulty, distance. Labels come from agora curate."""
    from dataclasses import asdict

    from agora.rooms.synthesize.slices import describe_file

    means, agreement = describe_file(samples)
    if json:
        _print_json({"slices": [one.as_json() for one in means], "categories": [asdict(one) for one in agreement]})
        return
    for one in means:
        facts = {"quality": one.quality, "difficulty": one.difficulty, "distance": one.distance}
        told = ", ".join(f"{name} {value:.2f}" for name, value in facts.items() if value is not None)
        typer.echo(f"{one.name:24} {one.kept:>8,} of {one.drawn:>8,} kept  {told}")
    for found in agreement:
        share = "nothing labeled" if found.share is None else f"{found.share:.1%} of {found.labeled} labeled are"
        typer.echo(f"{found.category:24} {share}")


@app.command("answer")
def answer(
    samples: Annotated[
        Path, typer.Argument(metavar="SAMPLES", help="Folder of a run, samples, prompts or a chat log.")
    ],
    model: Model,
    out: Annotated[Path, typer.Option(help="Run folder, made or resumed.")],
    seed: Annotated[int, typer.Option(help="Seed, at a temperature above 0.")] = 0,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 is greedy.")] = 0.0,
    top_p: Annotated[float, typer.Option(help="In (0, 1].")] = 1.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 4096,
    keep_truncated: Annotated[bool, typer.Option("--keep-truncated", help="Keep answers cut off by length.")] = False,
    json: Json = False,
) -> None:
    """Answer the kept instructions with the model's own chat template."""
    from agora.engines.types import Sampling
    from agora.rooms.synthesize.folder import answer_into

    sampling = Sampling(temperature=temperature, top_p=top_p, max_tokens=max_tokens, seed=seed)
    _print_report(answer_into(out, samples, model, sampling=sampling, keep_truncated=keep_truncated), json)


@app.command("turns")
def turns(
    context: typer.Context,
    conversations: Annotated[
        Path,
        typer.Argument(metavar="CONVERSATIONS", help="Samples, a chat log in any known format, or a run's folder."),
    ],
    model: Model,
    out: Annotated[Path, typer.Option(help="Run folder, made or resumed.")],
    turns: Annotated[int, typer.Option(min=1, help="User turns that a conversation should have.")] = 2,
    answer_model: Annotated[str | None, typer.Option(help="Who answers; the same model by default.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the run.")] = 0,
    temperature: Annotated[float, typer.Option(help="Of user turns, above 0.")] = 1.0,
    top_p: Annotated[float, typer.Option(help="In (0, 1].")] = 1.0,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest user turn, in tokens.")] = 2048,
    max_answer_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 4096,
    system: Annotated[str | None, typer.Option(help="What tells the model to go on as the user.")] = None,
    tokenizer: Annotated[str | None, typer.Option(help="Tokenizer of a model that is served elsewhere.")] = None,
    chat_template: ChatTemplateFile = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Conversations to take at most.")] = None,
    json: Json = False,
) -> None:
    """Extend conversations: the model plays the user, then answers."""
    from dataclasses import replace

    from agora.engines.types import Sampling
    from agora.rooms.synthesize.answer import GREEDY
    from agora.rooms.synthesize.options import as_typed
    from agora.rooms.synthesize.turns import TurnSettings
    from agora.rooms.synthesize.turns_run import turns_into

    report = turns_into(
        out,
        conversations,
        model,
        answer_model=answer_model,
        tokenizer=tokenizer,
        chat_template=chat_template,
        settings=TurnSettings(
            turns,
            Sampling(temperature, top_p, max_tokens, seed=seed),
            replace(GREEDY, max_tokens=max_answer_tokens, seed=seed),
            system,
        ),
        limit=limit,
        command=as_typed("agora synthesize turns", context),
    )
    if json:
        _print_json(report.as_json())
        return
    typer.echo(f"{report.extended} of {report.n} conversations extended, {report.complete} have {turns} turns")
    for reason, n in report.ended.items():
        typer.echo(f"  ended early {n}: {reason}")
    typer.echo(f"written: {report.file}; see it: {report.report}")


def _print_plan(settings: SynthesizeConfig, gpus: str | None, json: bool) -> None:
    from agora.rooms.synthesize.dry_run import count_run, works_of_run

    counts = count_run(settings)
    plans = []
    if gpus is not None:
        from agora.train.planning import Assumptions, estimate, parse_gpus

        cluster = parse_gpus(gpus)
        plans = [estimate(work, cluster, Assumptions()) for work in works_of_run(settings)]
    if json:
        _print_json({**counts.as_json(), "work": [plan.as_json() for plan in plans]})
        return
    for one in counts.slices:
        mixed = f", {len(one.systems)} system prompts" if len(one.systems) > 1 else ""
        typer.echo(f"{one.name:24} {one.count:>10,} samples at T {one.temperature:g}, top-p {one.top_p:g}{mixed}")
    typer.echo(f"{'in all':24} {counts.instructions:>10,} instructions from {counts.model}")
    if counts.answer_model is not None:
        typer.echo(f"{'':24} {counts.answers:>10,} answers by {counts.answer_model}")
    written = counts.instruction_tokens + counts.answer_tokens
    typer.echo(f"{'':24} {written:>10,.0f} tokens written, {counts.instruction_tokens / written:.1%} for instructions")
    for plan in plans:
        gpu_hours, fits = plan.hours * plan.cluster.count, "fits" if plan.fits else "does not fit"
        money = f"USD {plan.usd:,.0f}, {plan.peak_gib:.0f} GiB a GPU at most, {fits}"
        typer.echo(f"{plan.name:24} {plan.hours:>10,.1f} hours, {gpu_hours:,.0f} GPU hours, {money}")
    for note in counts.notes:
        typer.echo(f"note: {note}", err=True)


def _print_report(report: object, json: bool) -> None:
    from agora.rooms.synthesize.folder import FolderReport

    assert isinstance(report, FolderReport)
    if json:
        _print_json(report.as_json())
        return
    tally = report.tally
    typer.echo(f"{tally.kept} of {tally.n} kept in {report.seconds:.1f} s, {tally.completion_tokens} tokens written")
    for reason, n in tally.reasons.most_common():
        typer.echo(f"  set aside {n}: {reason}")
    typer.echo(f"written: {report.file}")


def _print_json(value: object) -> None:
    from json import dumps

    typer.echo(dumps(value, ensure_ascii=False))
