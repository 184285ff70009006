"""Agreement, power, corrected means and the published board as text tables and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agora.core.files import printable
from agora.rooms.judge.trust.show_meta import interval_json, shown
from agora.rooms.judge.trust.trust import AgreementReport, CorrectedTable, TablePower

if TYPE_CHECKING:
    from rich.console import Console

_HARDEST = 12


def agreement_json(report: AgreementReport) -> dict[str, Any]:
    """What ``agora judge agree --json`` prints."""
    return {
        "pairs": [
            {
                "first": pair.first,
                "second": pair.second,
                "kind": pair.kind,
                "n": pair.n,
                "mean_first": pair.mean_first,
                "mean_second": pair.mean_second,
                "shift": interval_json(pair.shift),
                "pearson": interval_json(pair.pearson),
                "spearman": interval_json(pair.spearman),
                "equal": pair.equal,
                "within_one": pair.within_one,
                "quadratic_kappa": interval_json(pair.kappa),
                "alpha": _number(pair.alpha),
            }
            for pair in report.pairs
        ],
        "alpha": _number(report.alpha),
        "self_preference": [
            {
                "judge": one.judge,
                "family": list(one.family),
                "own": interval_json(one.own),
                "others": interval_json(one.others),
                "preference": interval_json(one.preference),
            }
            for one in report.preferences
        ],
        "biases": {
            name: {
                "order_difference": None if order is None else interval_json(order.difference),
                "first_wins": None if order is None else interval_json(order.first_wins),
                "score_length_spearman": interval_json(length.scores),
                "longer_wins": interval_json(length.longer_wins),
            }
            for name, (order, length) in report.biases.items()
        },
    }


def print_agreement(report: AgreementReport, console: Console) -> None:
    """One row a pair of judges, then what moves each judge."""
    table = _table("Judges on the same answers", ["judges"], _AGREEMENT)
    for pair in report.pairs:
        table.add_row(
            printable(f"{pair.first} | {pair.second} ({pair.kind})"),
            f"{pair.n:,}",
            f"{pair.mean_first:.4f}",
            f"{pair.mean_second:.4f}",
            shown(pair.shift.rescaled(pair.scale_hint), 1),
            shown(pair.pearson),
            shown(pair.spearman),
            f"{100 * pair.equal:.1f}",
            f"{100 * pair.within_one:.1f}",
            shown(pair.kappa),
            f"{pair.alpha:.3f}",
        )
    console.print(table)
    lines = []
    if report.alpha is not None:
        lines.append(f"Krippendorff's alpha of all judges: {report.alpha:.3f}")
    for one in report.preferences:
        verdict = "favors" if one.preference.low > 0 else "does not visibly favor"
        lines.append(f"{one.judge} {verdict} its family: {shown(one.preference)} on the verdicts' scale")
    for name, (order, length) in report.biases.items():
        if order is not None:
            lines.append(f"{name}: shown first {shown(order.difference, 1)}, first wins {shown(order.first_wins)}")
        if length.scores is not None:
            lines.append(f"{name}: Spearman of score and length {shown(length.scores)}")
        if length.longer_wins is not None:
            lines.append(f"{name}: the longer answer wins {shown(length.longer_wins)}")
    for line in lines:
        console.print(printable(line), markup=False, highlight=False)


_AGREEMENT = (
    "n",
    "mean",
    "mean",
    "shift (points)",
    "Pearson",
    "Spearman",
    "equal %",
    "within 1 step %",
    "kappa",
    "alpha",
)


def power_json(tables: Sequence[TablePower]) -> list[dict[str, Any]]:
    """What ``agora judge power --json`` prints."""
    return [
        {
            "judge": one.source.judge,
            "version": one.source.version,
            "kind": one.source.kind,
            "num_tasks": one.report.num_tasks,
            "power": one.report.power,
            "spread": one.report.spread,
            "detectable": one.report.detectable,
            "gap": one.gap,
            "tasks_needed": one.needed,
            "pairs": [need._asdict() for need in one.report.needs],
            "stability": [row._asdict() for row in one.stability],
        }
        for one in tables
    ]


def print_power(tables: Sequence[TablePower], console: Console) -> None:
    """Per table: what its tasks can tell, the pairs that need more, and the stability on fewer tasks."""
    for one in tables:
        report, percent = one.report, f"{100 * one.report.power:g} %"
        lines = [
            f"{one.source}, {one.source.kind} verdicts: {report.num_tasks:,} tasks",
            f"  a task's difference varies by {report.spread:.1f} points (median over pairs)",
            f"  true gaps of {report.detectable:.2f} points are found with a power of {percent}",
        ]
        if one.needed is not None and one.gap is not None:
            lines.append(f"  a gap of {one.gap:g} points needs {one.needed:,} tasks")
        for line in lines:
            console.print(printable(line), markup=False, highlight=False)
        table = _table("  The hardest pairs", ["pair"], ("gap", "tasks needed", "separable"))
        for need in report.needs[:_HARDEST]:
            needed = "never" if need.needed is None else f"{need.needed:,}"
            pair = printable(f"{need.first} | {need.second}")
            table.add_row(pair, f"{need.gap:+.2f}", needed, "yes" if need.found else "no")
        console.print(table)
        for row in one.stability:
            line = f"  on {row.num_tasks:,} tasks the ranking keeps Spearman {row.mean:.3f} +- {row.sd:.3f}"
            console.print(line, markup=False, highlight=False)


def corrected_json(tables: Sequence[CorrectedTable]) -> list[dict[str, Any]]:
    """What ``agora judge correct --json`` prints."""
    return [
        {
            "judge": table.source.judge,
            "version": table.source.version,
            "kind": table.source.kind,
            "models": {
                model: {
                    "corrected": interval_json(found.corrected),
                    "human": interval_json(found.human),
                    "judge": interval_json(found.judge),
                    "bias": interval_json(found.bias),
                    "weight": found.weight,
                    "effective_n": found.effective_n,
                }
                for model, found in table.models.items()
            },
        }
        for table in tables
    ]


def print_corrected(tables: Sequence[CorrectedTable], console: Console) -> None:
    """One row a model."""
    for table in tables:
        out = _table(f"Judge: {table.source} ({table.source.kind})", ["model"], _CORRECTED)
        ordered = sorted(table.models.items(), key=lambda item: -item[1].corrected.estimate)
        for model, found in ordered:
            out.add_row(
                printable(model),
                shown(found.corrected, 2),
                shown(found.human, 2),
                shown(found.judge, 2),
                shown(found.bias, 2),
                f"{found.weight:.2f}",
                f"{found.human.n:,} -> {found.effective_n:,.0f}",
            )
        console.print(out)


_CORRECTED = ("corrected", "people alone", "judge alone", "judge minus people", "weight", "labels -> worth")


def print_published(table: Mapping[str, Mapping[str, Any]], margin: int, console: Console, *, legacy: bool) -> None:
    """The merged table's main columns, in its order."""
    how = "as published, faults included" if legacy else "missing stays missing, rewards over counted comparisons"
    columns = (
        "WB_score",
        "WB_score.task_macro",
        f"mixture_of_rewards.K={margin}",
        f"task_macro_reward.K={margin}",
        *(f"{name}_reward.K={margin}" for name in ("gpt4t", "haiku", "llama")),
        "WB_Elo",
        "Length",
    )
    out = _table(f"Published leaderboard ({how})", ["model"], columns)
    for model, row in table.items():
        cells = ("missing" if row[c] is None else row[c] if row[c] == "-" else f"{row[c]:.2f}" for c in columns)
        out.add_row(printable(model), *cells)
    console.print(out)
    console.print("WB_Elo starts from the human ratings that it is compared with: circular", markup=False)


def _table(title: str, left: Sequence[str], right: Sequence[str]) -> Any:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(printable(title)), title_justify="left")
    for heading in left:
        table.add_column(heading, overflow="fold")
    for heading in right:
        table.add_column(heading, justify="right")
    return table


def _number(value: float | None) -> float | None:
    return None if value is None or value != value else value
