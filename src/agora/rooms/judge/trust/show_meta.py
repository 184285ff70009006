"""What is known of a benchmark and of its judges, as text tables and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agora.core.files import printable
from agora.core.stats import Interval
from agora.rooms.judge.trust.meta import MetaReport

if TYPE_CHECKING:
    from rich.console import Console


def meta_json(report: MetaReport) -> dict[str, Any]:
    """What ``agora judge correlate --json`` prints."""
    return {
        "human": report.human,
        "metrics": [
            {
                "metric": row.metric,
                "n": row.n,
                "pearson": interval_json(row.pearson),
                "spearman": interval_json(row.spearman),
                "kendall": interval_json(row.kendall),
                "separability": row.confidence.separability,
                "agreement_with_confidence": row.confidence.agreement,
                "strict_agreement": row.confidence.strict,
                "pair_rank_brier": row.confidence.brier,
                "pairs": row.confidence.num_pairs,
                "pairs_people_separate": row.confidence.num_human,
            }
            for row in report.correlations
        ],
        "gaps": [
            {
                "first": gap.first,
                "second": gap.second,
                "pearson_difference": interval_json(gap.difference),
                "separable": gap.separable,
            }
            for gap in report.gaps
        ],
        "unmatched": list(report.unmatched),
    }


def print_meta(report: MetaReport, console: Console) -> None:
    """The correlations as a table, the separable gaps as lines."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"Correlation with {escape(printable(report.human))}", title_justify="left")
    table.add_column("metric", overflow="fold")
    for heading in ("n", "Pearson", "Spearman", "Kendall", "separable %", "agreement", "Brier"):
        table.add_column(heading, justify="right")
    for row in report.correlations:
        found = row.confidence
        table.add_row(
            escape(printable(row.metric)),
            str(row.n),
            shown(row.pearson),
            shown(row.spearman),
            shown(row.kendall),
            "" if found.separability is None else f"{100 * found.separability:.1f}",
            "" if found.agreement is None else f"{found.agreement:.3f}",
            "" if found.brier is None else f"{found.brier:.4f}",
        )
    console.print(table)
    apart = [gap for gap in report.gaps if gap.separable]
    console.print(
        f"{len(apart)} of {len(report.gaps)} pairs of metrics differ in Pearson's r by more than chance (Zou, 95 %)",
        markup=False,
        highlight=False,
    )
    for gap in apart[:20]:
        line = f"  {printable(gap.first)} over {printable(gap.second)}: {shown(gap.difference)}, n = {gap.difference.n}"
        console.print(line, markup=False, highlight=False)
    if report.unmatched:
        names = ", ".join(map(printable, report.unmatched[:10]))
        more = f" and {len(report.unmatched) - 10} more" if len(report.unmatched) > 10 else ""
        console.print(f"note: no human rating of {names}{more}", markup=False, highlight=False)


def shown(value: Interval, digits: int = 3) -> str:
    """An estimate with its bounds."""
    if value.estimate != value.estimate:
        return "unknown"
    bounds = "" if value.low != value.low else f" [{value.low:.{digits}f}, {value.high:.{digits}f}]"
    return f"{value.estimate:.{digits}f}{bounds}"


def interval_json(value: Interval | None) -> dict[str, Any] | None:
    """An interval as JSON; what is unknown is null."""
    if value is None:
        return None
    return {
        "value": _number(value.estimate),
        "ci": [_number(value.low), _number(value.high)],
        "n": value.n,
        "method": value.method,
    }


def _number(value: float) -> float | None:
    return None if value != value else value
