"""``agora judge mine|review|freeze|checklist|leak``: parse, call one function, print."""

from __future__ import annotations

import json as json_text
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agora.rooms.judge.asking.options import Cache, Concurrency, DryRun, MaxCost, Price, SendPrivate

if TYPE_CHECKING:
    from agora.rooms.judge.mining.outcome import Mined
    from agora.rooms.judge.mining.review import Verdict

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
ModelPrices = Annotated[
    list[str] | None,
    typer.Option("--model-price", metavar="URI=IN,OUT", help="The same of one of the models; may be given again."),
]


def mine(
    conversations: Annotated[
        Path, typer.Option(help="Chat log: OpenAI messages, ShareGPT, OpenAssistant, WildChat, LMSYS; also Parquet.")
    ],
    out: Annotated[Path, typer.Option(help="Run folder; the same folder resumes.")],
    format: Annotated[str, typer.Option(help="Format of --conversations, or auto.")] = "auto",
    rater: Annotated[
        list[str] | None,
        typer.Option("--rater", "--model", help="Chat model that rates difficulty and category; may be repeated."),
    ] = None,
    embedder: Annotated[
        str | None, typer.Option(help="Drops requests close in meaning: minilm, st:NAME or an engine's URI.")
    ] = None,
    benchmark: Annotated[str, typer.Option(help="Name of the benchmark.")] = "mined",
    benchmark_version: Annotated[str, typer.Option(help="Its version.")] = "1",
    config: Annotated[Path | None, typer.Option(help="YAML file of settings.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="One setting, such as max_tasks=500.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all draws.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that read; default one a CPU.")] = None,
    price: Price = None,
    model_price: ModelPrices = None,
    max_cost: MaxCost = None,
    cache: Cache = None,
    concurrency: Concurrency = 32,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Cut benchmark tasks from conversations: rules, duplicates, difficulty, mix; every dropped row keeps a reason.

    A dry run does all that asks no rater, so that it knows its figures; the same command without it goes on from there.
    """
    from agora.core.config import load_config
    from agora.core.errors import UsageError
    from agora.core.runs import RunDir
    from agora.curate.embeddings import find_embedder
    from agora.engines import find_engine
    from agora.rooms.judge.asking.commands import judging_means, prices_by_name, say_estimates
    from agora.rooms.judge.asking.estimate import is_server
    from agora.rooms.judge.asking.judges import judge_name
    from agora.rooms.judge.mining.mine import RATINGS, check_raters, draw_into, estimate_ratings, mine_tasks
    from agora.rooms.judge.mining.ratings import Rating
    from agora.rooms.judge.mining.settings import MineSettings
    from agora.rooms.judge.mining.spending import check_budget, opened, read_journal, secret_file, spent

    overrides = [*(set_ or []), *([f"seed={seed}"] if seed is not None else [])]
    settings = load_config(MineSettings, config, overrides)
    raters = rater or []
    prices = prices_by_name(raters, price, model_price, "--model-price")
    means = judging_means(cache, max_cost, prices, concurrency)
    check_raters([judge_name(uri) for uri in raters], settings)  # all of these before a folder is made
    check_budget(raters, means)
    for uri in raters:
        find_engine(uri)
    spec = find_embedder(embedder) if embedder else None
    if dry_run and embedder and is_server(embedder):
        hint = f"use a local embedder; raters are asked about {settings.pool_size:,} tasks at most"
        raise UsageError("a dry run asks no server, and the embedder is one", hint=hint)
    asked: dict[str, Any] = {"mine": settings.model_dump(mode="json"), "format": format, "raters": raters}
    asked |= {"embedder": embedder, "benchmark": benchmark, "version": benchmark_version}
    options: dict[str, list[Any]] = {
        "--conversations": [conversations],
        "--out": [out],
        "--rater": raters,
        "--set": overrides,
    }
    options |= {"--config": [config] if config else [], "--embedder": [embedder] if embedder else []}
    with RunDir.open(
        out,
        command=_command("agora judge mine", options),
        config=asked,
        seed=settings.seed,
        inputs={"conversations": conversations},
    ) as run:
        task: dict[str, Any] = {"format": format, "embedder": spec, "benchmark": benchmark}
        task |= {"version": benchmark_version, "workers": workers}
        if raters or dry_run:
            draw_into(conversations, run, settings, rated=bool(raters), **task)
            say_estimates(estimate_ratings(run, raters, means), json, dry_run)
        if dry_run:
            if not raters and not json:
                typer.echo("no rater is named: no model is asked")
            if not run.done("choose"):
                run.finish("interrupted")  # the same command without --dry-run goes on
            return
        paid = spent(read_journal(run.path / RATINGS, Rating))
        with opened(raters if not run.done("choose") else [], run, means, paid) as engines:
            secret = secret_file(run.path / "work", cache)
            mined = mine_tasks(conversations, run, settings, raters=engines, secret=secret, **task)
    _print_mined(mined, json)


def _command(verb: str, options: dict[str, list[Any]]) -> str:
    """The command line as a user types it."""
    import shlex

    return " ".join([verb, *(f"{name} {shlex.quote(str(v))}" for name, values in options.items() for v in values)])


def _print_mined(mined: Mined, json: bool) -> None:
    if json:
        typer.echo(json_text.dumps(mined.to_json()))
        return
    for step in mined.funnel.steps:
        typer.echo(f"{step.n_out:>9,}  {step.label}")
        for reason, n in step.reasons.items():
            typer.echo(f"{'':>11}- {n:,} {reason}")
    for cell in mined.mix:
        name = cell["name"] or "(not rated)"
        typer.echo(f"{cell['chosen']:>9,}  {name}: wanted {cell['share']:.1%}, {cell['available']:,} there")
    for note in mined.notes:
        typer.echo(f"note: {note}")
    typer.echo(f"tasks: {mined.tasks} ({mined.num_tasks:,}, of which {mined.num_private:,} private)")
    typer.echo(f"dropped rows, each with its reason: {mined.dropped}")
    typer.echo(f"report: {mined.folder / 'report.html'}; next: agora judge review {mined.folder} --out review.csv")


def checklist(
    tasks: Annotated[Path, typer.Option(help="A mining's folder, or a file of tasks.")],
    model: Annotated[list[str], typer.Option(help="Chat model that proposes questions; name two.")],
    out: Annotated[Path, typer.Option(help="Run folder; the same folder resumes.")],
    embedder: Annotated[
        str | None, typer.Option(help="Merges questions close in meaning: minilm, st:NAME or an engine's URI.")
    ] = None,
    redo: Annotated[bool, typer.Option("--redo", help="Also for tasks that have a checklist.")] = False,
    price: Price = None,
    model_price: ModelPrices = None,
    max_cost: MaxCost = None,
    cache: Cache = None,
    send_private: SendPrivate = False,
    concurrency: Concurrency = 32,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Write each task's checklist: 5 to 10 yes/no questions from two models, merged, each with its source."""
    from agora.core.records import Task
    from agora.core.runs import RunDir
    from agora.core.tables import read_records
    from agora.curate.embeddings import find_embedder
    from agora.engines import find_engine
    from agora.rooms.judge.asking.commands import judging_means, prices_by_name, say_estimates
    from agora.rooms.judge.asking.estimate import refuse_private
    from agora.rooms.judge.asking.judges import judge_name
    from agora.rooms.judge.mining.checklists import (
        FEW_QUESTIONS,
        PROPOSALS,
        Proposal,
        check_writers,
        estimate_checklists,
        write_checklists,
    )
    from agora.rooms.judge.mining.freeze import tasks_file
    from agora.rooms.judge.mining.spending import check_budget, opened, read_journal, secret_file, spent

    source = tasks_file(tasks)
    rows = list(read_records(source, Task))
    means = judging_means(cache, max_cost, prices_by_name(model, price, model_price, "--model-price"), concurrency)
    check_writers([judge_name(uri) for uri in model])
    say_estimates(estimate_checklists(rows, out, model, means, redo=redo), json, dry_run)
    if dry_run:
        return
    refuse_private(rows, model, send_private=send_private)
    check_budget(model, means)
    for uri in model:
        find_engine(uri)
    spec = find_embedder(embedder) if embedder else None
    asked = {"models": model, "embedder": embedder, "redo": redo}
    command = f"agora judge checklist --tasks {tasks}"
    paid = spent(read_journal(out / PROPOSALS, Proposal))
    with (
        RunDir.open(out, command=command, config=asked, seed=0, inputs={"tasks": source}) as run,
        opened(model, run, means, paid) as writers,
    ):
        embed = spec.open().embed if spec else None
        secret = secret_file(run.path, cache)
        written = write_checklists(rows, run, writers, embed=embed, redo=redo, secret=secret)
    if json:
        typer.echo(json_text.dumps(written.to_json()))
        return
    typer.echo(
        f"{written.written:,} checklists, {written.num_questions:,} questions, {written.merged:,} repeats merged"
    )
    for row in written.writers:
        told = ", ".join(f"{n} {status}" for status, n in row["status"].items())
        typer.echo(f"  {row['writer']}: {told}; {row['questions']:,} questions")
    if written.kept:
        typer.echo(f"{written.kept:,} tasks had a checklist and kept it")
    for ids, what in ((written.none, "no question"), (written.few, f"fewer than {FEW_QUESTIONS} questions")):
        if ids:
            typer.echo(f"warning: {len(ids):,} tasks have {what}: {', '.join(ids[:5])}{', ...' if ids[5:] else ''}")
    typer.echo(f"tasks: {written.tasks}; review them: agora judge review {written.folder} --out review.csv")


def review(
    tasks: Annotated[Path, typer.Argument(help="A mining's folder, or a file of tasks.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="Write a file to fill in: .csv for a spreadsheet, or .jsonl.")
    ] = None,
    filled: Annotated[
        list[Path] | None, typer.Option("--review", help="A file that was filled in; in the order of work.")
    ] = None,
    two_person: Annotated[bool, typer.Option("--two-person", help="A task needs two reviewers.")] = False,
    json: Json = False,
) -> None:
    """Write a review file for people, or say what the filled-in ones come to."""
    from agora.core.records import Task
    from agora.core.tables import read_records
    from agora.rooms.judge.mining.freeze import tasks_file
    from agora.rooms.judge.mining.review import agreement, apply_edits, decide
    from agora.rooms.judge.mining.review_file import read_review, write_review

    source = list(read_records(tasks_file(tasks), Task))
    rows = [read_review(path) for path in filled or []]
    if out is not None:
        n = write_review(apply_edits(source, rows), out)
        typer.echo(
            json_text.dumps({"out": str(out), "rows": n})
            if json
            else f"{n:,} rows to fill in: {out}; then: agora judge freeze --tasks {tasks} --review {out} --out DIR"
        )
        return
    verdicts = decide(source, rows, two_person=two_person)
    agreed = agreement(rows)
    if json:
        told: dict[str, Any] = {"tasks": {v.task.id: v.outcome for v in verdicts}, "agreement": agreed._asdict()}
        typer.echo(json_text.dumps(told))
        return
    _print_verdicts(verdicts)
    if agreed.share is not None:
        kappa = "not defined" if agreed.kappa is None else f"{agreed.kappa:.2f}"
        typer.echo(f"two reviewers agree on {agreed.share:.1%} of {agreed.n:,} tasks (kappa {kappa})")


def _print_verdicts(verdicts: list[Verdict]) -> None:
    from collections import Counter

    from agora.core.files import printable

    for outcome, n in Counter(v.outcome for v in verdicts).most_common():
        typer.echo(f"{n:>7,}  {outcome}")
    for verdict in verdicts:
        if verdict.outcome == "conflict":
            typer.echo(f"conflict on {verdict.task.id}: {printable(verdict.reason)[:200]}")


def freeze(
    tasks: Annotated[Path, typer.Option(help="A mining's folder, or a file of tasks.")],
    out: Annotated[Path, typer.Option(help="Folder of the task set; never changed afterwards.")],
    filled: Annotated[
        list[Path] | None, typer.Option("--review", help="A file that was filled in; in the order of work.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the benchmark.")] = "mined",
    version: Annotated[str, typer.Option(help="Its version.")] = "1",
    two_person: Annotated[bool, typer.Option("--two-person", help="A task needs two reviewers.")] = False,
    unreviewed: Annotated[
        bool, typer.Option("--unreviewed", help="Accept tasks nobody decided on; the manifest says so.")
    ] = False,
    json: Json = False,
) -> None:
    """Freeze the accepted tasks: a hash, a version, a public and a private part, a list reserved from training."""
    from agora.rooms.judge.mining.freeze import freeze as freeze_tasks

    frozen = freeze_tasks(
        tasks, filled or [], out, name=name, version=version, two_person=two_person, unreviewed=unreviewed
    )
    if json:
        typer.echo(json_text.dumps(frozen.to_json()))
        return
    again = "was frozen before, unchanged" if frozen.again else "frozen"
    typer.echo(f"{name} {version} {again}: {frozen.num_public:,} public and {frozen.num_private:,} private tasks")
    for outcome, n in frozen.left_out.items():
        typer.echo(f"  left out {n:,}: {outcome}")
    for note in frozen.notes:
        typer.echo(f"note: {note}")
    typer.echo(f"task set {frozen.sha}: {frozen.folder}")
    typer.echo(f"keep it out of training: export AGORA_RESERVED={frozen.folder.resolve()}")


def leak(
    files: Annotated[list[Path], typer.Argument(help="Training files of any format.", show_default=False)],
    tasks: Annotated[
        list[Path] | None,
        typer.Option(help="Frozen task set, file of tasks or reserved.jsonl; also those of AGORA_RESERVED."),
    ] = None,
    json: Json = False,
) -> None:
    """Look for benchmark tasks in training files: whole, by 13 shared words, nearly the same. Exit 1: one is there."""
    from agora.core.errors import UsageError
    from agora.curate.contamination import check_file, open_gate

    gate = open_gate(tasks or [])
    if gate is None:
        raise UsageError("no tasks to look for", hint="name them with --tasks, or in AGORA_RESERVED")
    leaks = [found for path in files for found in check_file(path, gate)]
    if json:
        typer.echo(json_text.dumps({"tasks": gate.num_tasks, "leaks": [found._asdict() for found in leaks]}))
    else:
        from agora.core.files import printable

        for found in leaks:
            alike = "" if found.similarity is None or found.kind == "exact" else f" {found.similarity:.2f}"
            where = f"{found.where}: {printable(found.field)}"
            typer.echo(f"{where}: {found.kind}{alike} of task {found.task}: {printable(found.shared)}")
        typer.echo(f"{len(leaks):,} texts meet {len({found.task for found in leaks}):,} of {gate.num_tasks:,} tasks")
    if leaks:
        raise typer.Exit(1)
