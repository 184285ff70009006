"""The data card as a page: numbers first, then where the pairs come from, how long they are, and some to read."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from agora.core.records import PreferencePair
from agora.core.report import Example, Report
from agora.core.report_assets.views import Cell
from agora.curate.pairs.card import DataCard
from agora.curate.pairs.mix import MixResult
from agora.curate.pairs.turns import Turns, num_chars

_PREVIEW_CHARS = 400
_EXAMPLES = 6
_CHART_ROWS = 2000


def card_report(
    card: DataCard,
    pairs: Sequence[PreferencePair],
    mixed: MixResult | None = None,
    *,
    held_out: int = 0,
    command: str = "",
    seed: int = 0,
) -> Report:
    """A report of a data card.

    Args:
        card: of these pairs.
        pairs: some are shown, cut short: public sets hold offensive text.
        mixed: adds what was read, left out and drawn.
        held_out: pairs that stand in a file of their own and are not described here.
        command: that made the data.
        seed: of the choice of examples.
    """
    report = Report("Preference data", f"{card.n:,} pairs over {card.prompts:,} prompts")
    report.highlights(
        {"pairs": card.n, "prompts": card.prompts, "longer answer chosen": card.longer_wins.interval},
        formats={"longer answer chosen": ".1%"},
    )
    if command:
        report.command(command)
    if held_out:
        report.text(f"{held_out:,} more pairs are held out, by prompt, in a file of their own.")
    _warnings(report, card)
    _sources(report, card)
    if mixed is not None:
        _reading(report, mixed)
    _lengths(report, card, pairs, seed)
    _labels(report, card)
    _examples(report, pairs, seed)
    return report


def _warnings(report: Report, card: DataCard) -> None:
    low, high = card.longer_wins.interval.low, card.longer_wins.interval.high
    if card.n and (low > 0.55 or high < 0.45):
        more = "longer" if low > 0.5 else "shorter"
        report.text(
            f"The {more} answer is the chosen one in most pairs. A reward model must beat "
            f"{max(card.longer_wins.interval.estimate, 1 - card.longer_wins.interval.estimate):.1%} "
            "to have learned more than length.",
            tone="warning",
        )
    for n, what in (
        (card.inverted, "pairs have a chosen score below the rejected one"),
        (card.opposite, "pairs are contradicted by another pair of the same prompt and sides"),
        (card.repeated, "pairs occur a second time"),
        (card.prompts_missing, "pairs come without their prompt: only the answers can be learned from"),
    ):
        if n:
            report.text(f"{n:,} {what}.", tone="warning")


def _sources(report: Report, card: DataCard) -> None:
    report.section("Where the pairs come from")
    rows: list[list[Cell]] = []
    for name, n in card.sources.items():
        longer = card.longer_wins_by_source.get(name)
        share = n / card.n if card.n else None
        rows.append([name, n, share, longer.interval if longer else None, longer.equal if longer else None])
    report.table(
        ["source", "pairs", "share", "longer answer chosen", "equal lengths"],
        rows,
        caption="Pairs by source",
        formats={"share": ".1%", "longer answer chosen": ".1%"},
    )
    for title, counts in (("who labelled", card.label_kinds), ("pair rule", card.rules), ("license", card.licences)):
        report.table([title, "pairs"], [[name, n] for name, n in counts.items()], caption=f"Pairs by {title}")


def _reading(report: Report, mixed: MixResult) -> None:
    report.section("What was read, left out and drawn")
    columns = ["source", "format", "rows read", "pairs made", "fitting", "drawn", "in the result"]
    rows: list[list[Cell]] = [
        [p.name, p.read.format, p.read.rows, p.read.pairs, p.available, p.drawn, p.final] for p in mixed.parts
    ]
    report.table(columns, rows, caption="From rows to pairs")
    for name, note in mixed.notes.items():
        report.text(f"{name}: {note}", tone="warning")
    losses: list[list[Cell]] = []
    for part in mixed.parts:
        for kind, counts in (
            ("faulty", part.read.dropped),
            ("no pair by the rule", part.read.set_aside),
            ("pair left out", part.left_out),
        ):
            losses += [[part.name, kind, reason, n] for reason, n in counts.most_common()]
    losses += [["all", "pair left out", reason, n] for reason, n in mixed.dropped.most_common()]
    if losses:
        report.table(["source", "kind", "reason", "count"], losses, caption="What was lost, and why")
    if mixed.hits:
        report.table(
            ["kind", "test", "shared text"],
            [[hit.kind, hit.test, hit.shared[:_PREVIEW_CHARS]] for hit in mixed.hits],
            caption="Prompts that a test asks: the first found",
        )


def _lengths(report: Report, card: DataCard, pairs: Sequence[PreferencePair], seed: int) -> None:
    report.section("How long they are")
    columns = ["part", "mean", "5 %", "median", "95 %", "longest"]
    rows: list[list[Cell]] = [[name, s.mean, s.p5, s.median, s.p95, s.high] for name, s in card.lengths.items()]
    report.table(columns, rows, caption=f"Lengths in {card.unit}", formats=dict.fromkeys(columns[1:], ",.0f"))
    messages = [[n, count] for n, count in card.prompt_messages.items()]
    report.table(["messages in the prompt", "pairs"], messages, caption="Turns")
    if len(pairs) > 1:
        chart, alt = _length_chart(pairs, seed)
        report.chart(chart, caption="Characters of the chosen and the rejected answer", alt=alt)


def _length_chart(pairs: Sequence[PreferencePair], seed: int) -> tuple[Any, str]:
    import altair

    shown = random.Random(seed).sample(list(pairs), min(len(pairs), _CHART_ROWS))
    rows = [{"chosen": max(num_chars(p.chosen), 1), "rejected": max(num_chars(p.rejected), 1)} for p in shown]
    scale = altair.Scale(type="log")
    points = (
        altair.Chart(altair.InlineData(rows))
        .mark_circle(size=14, opacity=0.35)
        .encode(
            x=altair.X("rejected:Q", scale=scale, title="rejected, characters"),
            y=altair.Y("chosen:Q", scale=scale, title="chosen, characters"),
        )
        .properties(height=320)
    )
    longer = sum(row["chosen"] > row["rejected"] for row in rows)
    return points, f"Of {len(rows):,} pairs shown, the chosen answer is the longer one in {longer:,}."


def _labels(report: Report, card: DataCard) -> None:
    report.section("Labels")
    report.facts(
        {
            "ties": f"{card.ties:,}",
            "pairs without a margin": f"{card.no_margin:,}",
            "chosen score below rejected": f"{card.inverted:,}",
            "pairs that occur again": f"{card.repeated:,}",
            "pairs contradicted by another": f"{card.opposite:,}",
            "answers of several messages": f"{card.long_answers:,}",
        }
    )
    if card.margins:
        m = card.margins
        report.table(
            ["pairs", "mean", "5 %", "median", "95 %", "smallest", "largest"],
            [[m.n, m.mean, m.p5, m.median, m.p95, m.low, m.high]],
            caption="Margins: score of the chosen minus score of the rejected answer",
        )


def _examples(report: Report, pairs: Sequence[PreferencePair], seed: int) -> None:
    if not pairs:
        return
    report.section("Some pairs")
    shown = random.Random(seed).sample(list(pairs), min(len(pairs), _EXAMPLES))
    report.examples(
        [
            Example(
                p.provenance.source if p.provenance else "pair",
                {"prompt": _short(p.prompt), "chosen": _short(p.chosen), "rejected": _short(p.rejected)},
                badge=p.id,
            )
            for p in shown
        ],
        caption=f"Texts are cut after {_PREVIEW_CHARS} characters: public sets hold offensive text.",
    )


def _short(turns: Turns) -> str:
    text = turns[0].content if len(turns) == 1 else "\n\n".join(f"{m.role}: {m.content}" for m in turns)
    return text if len(text) <= _PREVIEW_CHARS else text[:_PREVIEW_CHARS].rstrip() + " ..."
