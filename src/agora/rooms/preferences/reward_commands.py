"""``agora preferences reward-eval``, ``best-of-n`` and ``published``: parse, call one function, print."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from agora.core.stats import Interval
    from agora.rooms.preferences.best_of_n_run import BestOfNRun
    from agora.rooms.preferences.published import Figure
    from agora.rooms.preferences.reward_run import RewardEvalRun

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


def reward_eval(
    model: Annotated[
        str,
        typer.Option(help="reward:PATH, dpo:PATH|REFERENCE, judge:ENGINE, microcosm:checker or length:."),
    ],
    data: Annotated[Path, typer.Option(help="Preference pairs in any known format, RewardBench among them.")],
    format: Annotated[str, typer.Option(help="Format of --data; see `agora preferences data --help`.")] = "auto",
    out: Annotated[Path | None, typer.Option(help="Folder for scores and report; the same folder resumes.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="One setting, such as ties=half.")] = None,
    json: Json = False,
) -> None:
    """How often a reward ranks the chosen answer first, beside what length alone would get."""
    from agora.core.config import load_config
    from agora.rooms.preferences.reward_run import RewardEvalSettings, evaluate_reward_file

    settings = load_config(RewardEvalSettings, None, set_ or [])
    given = {"model": model, "data": data, "format": None if format == "auto" else format, "out": out}
    command = _command("reward-eval", given, set_ or [])
    done = evaluate_reward_file(model, data, settings, format=format, out=out, command=command)
    if json:
        _print_json(done.as_json())
        return
    _print_evaluation(done)
    if done.report:
        typer.echo(f"Report: {done.report}")


def best_of_n(
    model: Annotated[str, typer.Option(help="Model that answers (engine URI).")],
    reward: Annotated[str, typer.Option(help="What chooses: a scorer, as --model of reward-eval.")],
    truth: Annotated[str, typer.Option(help="What the chosen answer is worth: a scorer, such as microcosm:checker.")],
    data: Annotated[Path, typer.Option(help="Prompts: prompt items, tasks, samples, pairs or conversations.")],
    out: Annotated[Path | None, typer.Option(help="Folder for answers and report; the same folder resumes.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="One setting, such as n=32.")] = None,
    json: Json = False,
) -> None:
    """What choosing the best of n answers by a reward is worth, before paying for training on it."""
    from agora.core.config import load_config
    from agora.rooms.preferences.best_of_n_run import BestOfNSettings, evaluate_best_of_n

    settings = load_config(BestOfNSettings, None, set_ or [])
    given = {"model": model, "reward": reward, "truth": truth, "data": data, "out": out}
    command = _command("best-of-n", given, set_ or [])
    done = evaluate_best_of_n(model, reward, truth, data, settings, out=out, command=command)
    if json:
        _print_json(done.as_json())
        return
    _print_curve(done)
    if done.report:
        typer.echo(f"Report: {done.report}")


def published(
    folder: Annotated[Path, typer.Argument(help="Folder with llmbar/, tulu_human_eval/, alpaca_eval_v1/, tables/.")],
    json: Json = False,
) -> None:
    """Recompute published figures on preference data from the stored rows; exit 1 when one differs."""
    from agora.rooms.preferences.published import check_published

    figures = check_published(folder)
    if json:
        _print_json({"figures": [figure.as_json() for figure in figures]})
    else:
        _print_figures(figures)
    if not all(figure.equal for figure in figures):
        raise typer.Exit(1)


def _command(verb: str, options: Mapping[str, object], settings: Sequence[str]) -> str:
    """The command line that does the same again."""
    import shlex

    words = [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
    return shlex.join(["agora", "preferences", verb, *words, *(w for item in settings for w in ("--set", item))])


def _print_json(value: object) -> None:
    from agora.core.json_text import dumps

    typer.echo(dumps(value).decode())


def _print_evaluation(done: RewardEvalRun) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if Console().is_terminal else 120)
    found = done.evaluation
    subsets = found.by_subset if len(found.by_subset) > 1 else ()
    table = Table("pairs of", "n", "accuracy", "longer wins", "difference", "random", "ties", "no score")
    for groups in ((found.overall,), subsets, found.by_length, found.by_margin):
        for group in groups:
            shares = [_shown(x.rescaled(100), 1) for x in (group.accuracy, group.longer, group.over_longer)]
            table.add_row(group.name, f"{group.accuracy.n:,}", *shares, "50", str(group.ties), str(group.missing))
        table.add_section()
    console.print(table)
    if found.rewardbench:
        scores = Table("RewardBench", "score")
        for section in found.rewardbench.sections:
            scores.add_row(section.name, _shown(section.score.rescaled(100), 1) if section.score else "-")
        scores.add_section()
        for name in ("with_prior", "without_prior"):
            final = getattr(found.rewardbench, name)
            scores.add_row(f"final, {name.replace('_', ' ')} sets", _shown(final.rescaled(100), 1) if final else "-")
        console.print(scores)
    for line in _lines(done):
        console.print(line, markup=False, highlight=False)


def _lines(done: RewardEvalRun) -> Iterator[str]:
    found, scores = done.evaluation, done.evaluation.scores
    yield f"rewards: mean {scores.mean:.3f}, standard deviation {scores.std:.3f} over {scores.n:,} answers"
    if found.calibration:
        error, brier = found.calibration.error, _shown(found.calibration.brier, 3)
        yield f"calibration: expected error {error:.3f}, Brier score {brier} (a coin: 0.250)"
    over, within = _shown(found.length_correlation, 2), _shown(found.length_correlation_within, 2)
    yield f"rank correlation with length: over answers {over}, within pairs {within}"
    if done.rejected:
        yield "rows that gave no pair: " + ", ".join(f"{why} ({n:,})" for why, n in done.rejected.items())
    yield from (f"warning: {warning}" for warning in found.warnings)


def _shown(x: Interval, digits: int) -> str:
    """Estimate and bounds; a dash where nothing is known."""
    if math.isnan(x.estimate):
        return "-"
    bounds = "" if math.isnan(x.low) else f" [{x.low:.{digits}f}, {x.high:.{digits}f}]"
    return f"{x.estimate:.{digits}f}{bounds}"


def _print_curve(done: BestOfNRun) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("n", "true score", "gain over one", "reward", "perfect choice", "KL (nats)")
    for p in done.curve.points:
        shown = [_shown(x, 3) for x in (p.true, p.gain, p.reward)]
        table.add_row(str(p.n), *shown, f"{p.ceiling.estimate:.3f}", f"{p.kl_bound:.2f}")
    console = Console(width=None if Console().is_terminal else 120)
    console.print(table)
    left_out = f", {done.curve.dropped_prompts:,} left out" if done.curve.dropped_prompts else ""
    console.print(
        f"{done.curve.num_prompts:,} prompts{left_out}; {done.curve.missing_samples:,} samples without a score"
    )
    if done.curve.overoptimized:
        console.print(f"warning: the true score falls after n = {done.curve.peak} while the reward rises")


def _print_figures(figures: list[Figure]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("figures", "recomputed", "equal")
    for group in dict.fromkeys(figure.group for figure in figures):
        of_group = [figure for figure in figures if figure.group == group]
        table.add_row(group, f"{len(of_group):,}", f"{sum(f.equal for f in of_group):,}")
    console = Console(width=None if Console().is_terminal else 120)
    console.print(table)
    for figure in figures:
        if not figure.equal:
            console.print(f"differs: {figure.group}, {figure.name}: published {figure.published}, ours {figure.ours}")
