"""The page of a run of turns: how far conversations came, why some ended early, and some to read."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agora.core.report import Example, Report
from agora.core.runs import RunDir
from agora.core.tables import read_rows

if TYPE_CHECKING:
    from agora.rooms.synthesize.turns_run import TurnsReport

EXAMPLES = 6


def write_turns_report(run: RunDir, found: TurnsReport) -> Path:
    """Write ``report.html`` of the run."""
    config = run.info["config"]
    report = Report("Conversations with simulated users", f"User turns by {config['model']}")
    report.highlights({"conversations": found.n, "extended": found.extended, "with every turn": found.complete})
    report.command(str(run.info["command"]))
    report.facts(
        {
            "answers by": config["answer_model"] or config["model"],
            "turns asked for": config["turns"],
            "seconds": round(found.seconds, 1),
            "Agora": str(run.info["version"]),
        }
    )
    report.table(
        ["user turns", "conversations"],
        [[turns, n] for turns, n in found.user_turns.items()],
        caption="How long the conversations are",
    )
    if found.ended:
        report.table(
            ["reason", "conversations"],
            [[r, n] for r, n in found.ended.items()],
            caption="Why conversations ended early",
        )
    rows = read_rows(found.file) if found.n else iter(())
    cards = [_card(row.data) for row in islice(rows, EXAMPLES)]
    if cards:
        report.section("Conversations to read")
        report.examples(cards)
    return report.write(run.file("report.html"))


def _card(row: dict[str, Any]) -> Example:
    ended = ((row.get("tags") or {}).get("turns") or {}).get("ended")
    texts = {f"{i}. {m['role']}": m["content"] for i, m in enumerate(row["messages"], 1)}
    return Example(str(row["id"]), texts, badge=f"ended: {ended}" if ended else "")
