"""A judging as text: a table a judge, the panel's, and what to beware of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from agora.core.files import printable
from agora.rooms.judge.asking.summary import JudgeSummary, Judging

if TYPE_CHECKING:
    from rich.table import Table

    from agora.core.stats import Interval


def judging_tables(judging: Judging) -> Iterator[Table]:
    """One rich table a judge, and one of the panel."""
    for summary in judging.judges:
        yield _judge_table(summary, judging.kind)
    if judging.panel is not None:
        yield _panel_table(judging)


def _judge_table(summary: JudgeSummary, kind: str) -> Table:
    from rich.markup import escape
    from rich.table import Table

    title = f"Judge: {printable(summary.judge)}"
    figure = "WB-Score" if kind == "score" else "Reward mix"
    checked = any(model.checklist is not None for model in summary.models)
    baselines = list(dict.fromkeys(name for model in summary.models for name in model.rewards))
    out = Table(title=escape(title), title_justify="left")
    out.add_column("model", overflow="fold")
    versus = [f"vs {escape(printable(name))}" for name in baselines]
    for column in (figure, "95 % interval", *versus, "n", "coverage", *(["checklist"] if checked else []), "no value"):
        out.add_column(column, justify="right")
    for model in sorted(summary.models, key=lambda m: -math.inf if m.value is None else m.value, reverse=True):
        lost = {name: n for name, n in model.fates.items() if name != "ok" and not name.startswith("skipped")}
        cells = [
            escape(printable(model.model)),
            "withheld" if model.withheld else _figure(model.value),
            "" if model.value is None else _range(model.interval),
            *(_figure(model.rewards.get(name)) for name in baselines),
            f"{model.n:,}",
            f"{100 * model.coverage:.1f} %",
        ]
        if checked:
            cells.append("" if model.checklist is None else f"{100 * model.checklist:.1f} %")
        out.add_row(*cells, ", ".join(f"{n} {name}" for name, n in lost.items()) or "-")
    return out


def _panel_table(judging: Judging) -> Table:
    from rich.markup import escape
    from rich.table import Table

    panel = judging.panel
    assert panel is not None
    out = Table(title=f"Panel of {len(panel.judges)} judges", title_justify="left")
    out.add_column("model", overflow="fold")
    versus = any(model.baseline for model in panel.models)
    names = [escape(printable(judge)) for judge in panel.judges]
    for column in (*(["against"] if versus else []), "value", "95 % interval", *names, "spread", "n"):
        out.add_column(column, justify="right")
    for model in panel.models:
        cells = [escape(printable(model.model)), *([escape(printable(model.baseline or ""))] if versus else [])]
        cells += [_figure(model.value), _range(model.interval)]
        cells += [_figure(model.by_judge.get(judge)) for judge in panel.judges]
        out.add_row(*cells, _figure(model.spread), f"{model.n:,}")
    return out


def judging_lines(judging: Judging) -> Iterator[str]:
    """What stands below the tables."""
    for summary in judging.judges:
        yield from _bias_lines(summary)
        yield from (f"note: {note}" for note in summary.notes)
        settled = {name: n for name, n in summary.fates.items() if name.startswith("skipped")}
        if settled:
            listed = ", ".join(f"{n:,} {name.removeprefix('skipped_')}" for name, n in settled.items())
            yield f"{summary.judge}: settled without a call: {listed}"
        used = summary.usage
        if used.get("prompt_tokens"):
            tokens = f"{used['prompt_tokens']:,} tokens in, {used.get('completion_tokens', 0):,} out"
            yield f"{summary.judge}: {tokens}, ${used.get('cost_usd', 0.0):.4f}"
    if judging.panel is not None:
        panel = judging.panel
        yield (
            f"agreement: Krippendorff's alpha {_figure(panel.alpha)}, {panel.n_common:,} of {panel.n_items:,} items "
            f"judged by all"
        )
        for pair in panel.pairs:
            winner = "" if pair.same_winner is None else f", same winner {100 * pair.same_winner:.1f} %"
            yield (
                f"  {pair.first} and {pair.second}: Pearson {_figure(pair.pearson)}, kappa {_figure(pair.kappa)}, "
                f"equal {100 * pair.equal:.1f} %, within one {100 * pair.within_one:.1f} %{winner}, "
                f"gap {_figure(pair.gap)} points"
            )
    yield f"Verdicts: {judging.out}/verdicts   (leaderboard: agora judge leaderboard {judging.out})"


def _bias_lines(summary: JudgeSummary) -> Iterator[str]:
    if summary.order is not None and not math.isnan(summary.order.first_wins.estimate):
        first = summary.order.first_wins
        both = f", {summary.order.conflicts} conflicts in {summary.order.n_both}" if summary.order.n_both else ""
        yield f"{summary.judge}: whoever is shown first wins {100 * first.estimate:.1f} % {_share(first)}{both}"
    if summary.length is not None and summary.length.longer_wins is not None:
        longer = summary.length.longer_wins
        if not math.isnan(longer.estimate):
            yield f"{summary.judge}: the longer answer wins {100 * longer.estimate:.1f} % {_share(longer)}"


def _share(interval: Interval) -> str:
    return f"[{100 * interval.low:.1f}, {100 * interval.high:.1f}] of {interval.n:,} decisive comparisons"


def _figure(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.2f}"


def _range(interval: Interval | None) -> str:
    return "" if interval is None or math.isnan(interval.low) else f"{interval.low:.1f} to {interval.high:.1f}"
