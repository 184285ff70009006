"""The page of a pairs run: what came of the prompts, how long the sides are, and pairs to read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from agora.core.records import PreferencePair
from agora.core.report import Example, Report
from agora.core.runs import RunDir
from agora.core.stats import wilson
from agora.core.tables import read_records

if TYPE_CHECKING:
    from agora.rooms.synthesize.pairs import PairsReport


def write_pairs_report(run: RunDir, found: PairsReport) -> Path:
    """Write ``report.html`` of the run."""
    made = found.n_pairs + found.n_test
    config = run.info["config"]
    report = Report("Preference pairs", f"{config['k']} answers a prompt by {config['model']}")
    longer = None
    if found.longer_chosen is not None:  # equal lengths count half
        longer = wilson(round(found.longer_chosen * made), made)
    report.highlights({"prompts": found.n_prompts, "pairs": made, "chosen is longer": longer},
                      formats={"chosen is longer": ".0%"})  # fmt: skip
    report.command(str(run.info["command"]))
    report.facts(
        {
            "scored by": config["scorer"],
            "pairs to train on": found.n_pairs,
            "pairs set apart": found.n_test,
            "mean margin": found.mean_margin,
            "decided by the seed among equal scores": found.tie_breaks,
            "answers without a score": found.unscored,
            "mean characters, chosen": found.mean_chosen,
            "mean characters, rejected": found.mean_rejected,
            "seconds": round(sum(run.seconds.values()), 1),
        }
    )
    report.funnel([("prompts", found.n_prompts, {}), ("pairs", made, dict(found.reasons))])
    if found.longer_chosen is not None and longer is not None and not longer.low <= 0.5 <= longer.high:
        which = "longer" if found.longer_chosen > 0.5 else "shorter"
        report.text(
            f"The chosen side is {which} in {max(found.longer_chosen, 1 - found.longer_chosen):.0%} of the pairs, so "
            "a model may learn length in place of quality. --length-ratio 1.5 makes pairs of like length.",
            tone="warning",
        )
    pairs = [pair for _, pair in zip(range(8), _pairs(found.pairs), strict=False)]
    if pairs:
        report.section("Pairs to read")
        report.examples([_card(pair) for pair in pairs])
    return report.write(run.file("report.html"))


def _pairs(path: Path) -> Any:
    return read_records(path, PreferencePair) if path.stat().st_size else ()


def _card(pair: PreferencePair) -> Example:
    return Example(
        pair.id,
        {
            "prompt": pair.prompt[-1].content,
            f"chosen ({pair.chosen_score:g})": pair.chosen[0].content,
            f"rejected ({pair.rejected_score:g})": pair.rejected[0].content,
        },
        badge="tie break" if pair.meta.get("tie_break") else "",
    )
