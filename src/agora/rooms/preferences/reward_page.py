"""The page of a reward evaluation: is it right, more than length is, and does it mean what it says?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agora.core.records import PreferencePair
from agora.core.report import Example, Report
from agora.core.runs import RunDir
from agora.rooms.preferences.calibration import BRIER_OF_CHANCE, LOG_LOSS_OF_CHANCE, Calibration
from agora.rooms.preferences.pair_accuracy import RANDOM, Accuracy
from agora.rooms.preferences.pair_scores import ScoredPair
from agora.rooms.preferences.reward_charts import PREVIEW_CHARS, length_chart, length_points, preview, reliability_chart
from agora.rooms.preferences.reward_eval import RewardEvaluation, most_confident_errors
from agora.rooms.preferences.rewardbench import RewardBench

if TYPE_CHECKING:
    from agora.rooms.preferences.reward_run import RewardEvalRun

_TIES = {"wrong": "wrong", "half": "half right", "drop": "not counted"}


def write_reward_page(
    run: RunDir,
    pairs: Sequence[PreferencePair],
    scored: Sequence[ScoredPair],
    done: RewardEvalRun,
    *,
    command: str,
    errors: int = 8,
    full_text: bool = False,
) -> Path:
    """Write ``report.html`` of the run folder.

    Args:
        pairs, scored: the same pairs in the same order.
        done: the evaluation and what it is about.
        command: what reproduces the page.
        errors: how many confident errors to show.
        full_text: show whole texts and not their beginnings.
    """
    evaluation = done.evaluation
    report = Report("Reward evaluation", f"{done.scorer.uri} on {done.data.name}")
    report.highlights(_highlights(evaluation), formats={"Brier score": ".3f"})
    report.command(command)
    report.facts(_facts(run, done))
    for warning in evaluation.warnings:
        report.text(f"{warning[0].upper()}{warning[1:]}.", tone="warning")
    _accuracy(report, evaluation)
    if evaluation.rewardbench:
        _rewardbench(report, evaluation.rewardbench)
    if evaluation.calibration:
        _calibration(report, evaluation.calibration)
    _length(report, evaluation, scored)
    _errors(report, pairs, scored, errors, full_text)
    return report.write(run.file("report.html"))


def _highlights(evaluation: RewardEvaluation) -> dict[str, Any]:
    overall = evaluation.overall
    shown: dict[str, Any] = {
        "accuracy (%)": overall.accuracy.rescaled(100),
        "longer wins (%)": overall.longer.rescaled(100),
        "over longer (points)": overall.over_longer.rescaled(100),
    }
    if evaluation.calibration:
        shown["Brier score"] = evaluation.calibration.brier
    return shown


def _facts(run: RunDir, done: RewardEvalRun) -> dict[str, Any]:
    evaluation, info = done.evaluation, run.info
    facts: dict[str, Any] = {
        "scorer": done.scorer.uri,
        "data": done.data,
        "pairs": evaluation.overall.accuracy.n + evaluation.overall.missing,
        "without a score": evaluation.overall.missing,
        "equal rewards": f"{evaluation.overall.ties} ({_TIES[evaluation.ties]})",
        "label ties left out": evaluation.label_ties,
        "rows that gave no pair": ", ".join(f"{why}: {n}" for why, n in done.rejected.items()) or "none",
        "mean reward": evaluation.scores.mean,
        "standard deviation": evaluation.scores.std,
        "seed": info["seed"],
        "Agora": str(info["version"]),
        "created": str(info["created"]),
    }
    return facts


def _accuracy(report: Report, evaluation: RewardEvaluation) -> None:
    report.section("How often is the chosen answer ahead?")
    report.text(
        "Accuracy is the share of pairs whose chosen answer has the higher reward. Read it beside what the longer "
        "answer alone would get on the same pairs: 70 % is nothing where length gives 68 %. A coin gets 50 %."
    )
    groups = [("All pairs and subsets", [evaluation.overall, *_several(evaluation.by_subset)])]
    groups.append(("By which answer is longer", list(evaluation.by_length)))
    if evaluation.by_margin:
        groups.append(("By quartile of the label's margin", list(evaluation.by_margin)))
    for caption, rows in groups:
        _accuracy_table(report, caption, rows)
    if evaluation.by_prompt:
        report.table(
            ["resampled", "accuracy (%)"],
            [
                ["pairs", evaluation.overall.accuracy.rescaled(100)],
                ["prompts", evaluation.by_prompt.rescaled(100)],
            ],
            caption="Several pairs share a prompt: the interval over prompts is the one to trust",
            formats={"accuracy (%)": ".1f"},
        )


def _several(groups: Sequence[Accuracy]) -> Sequence[Accuracy]:
    return groups if len(groups) > 1 else ()


def _accuracy_table(report: Report, caption: str, groups: Sequence[Accuracy]) -> None:
    shares = ["accuracy", "longer wins", "difference"]
    counts = {"ties": [group.ties for group in groups], "no score": [group.missing for group in groups]}
    told = {name: column for name, column in counts.items() if any(column)}
    report.table(
        ["pairs of", "n", *shares, "random", *told],
        [
            [
                group.name or "(no name)",
                group.accuracy.n,
                *(x.rescaled(100) if x.n else None for x in (group.accuracy, group.longer, group.over_longer)),
                100 * RANDOM,
                *(column[i] for column in told.values()),
            ]
            for i, group in enumerate(groups)
        ],
        caption=f"{caption} (%)",
        note="" if told else "No ties and no missing scores.",
        formats={**dict.fromkeys(shares, ".1f"), "random": ".0f"},
        bars=[],
    )


def _rewardbench(report: Report, found: RewardBench) -> None:
    report.section("RewardBench")
    report.text(
        "A section is the mean of its subsets' accuracies, weighted by RewardBench's counts (math-prm: 984). The first "
        "final score counts the prior sets half; later leaderboards leave them out, so the two do not compare."
    )
    rows: list[list[Any]] = [
        [s.name, s.score.rescaled(100) if s.score else None, len(s.present), ", ".join(s.absent) or "none"]
        for s in found.sections
    ]
    finals = {"final, with prior sets": found.with_prior, "final, without prior sets": found.without_prior}
    rows += [[name, x.rescaled(100) if x else None, None, ""] for name, x in finals.items()]
    report.table(
        ["section", "score", "subsets", "subsets missing"],
        rows,
        caption="RewardBench sections (%)",
        note=" ".join(f"{note}." for note in found.notes),
        formats={"score": ".1f"},
    )


def _calibration(report: Report, found: Calibration) -> None:
    report.section("Does the difference mean what it says?")
    verdict = "" if found.temperature is None else f" Dividing rewards by {found.temperature:.2f} would fit best: the "
    if found.temperature is not None:
        verdict += "scorer is overconfident." if found.temperature > 1 else "scorer could be more confident."
    report.text(
        "A reward difference d claims that the favored answer is better with probability sigma(d). Points below the "
        f"diagonal are right less often than they claim.{verdict}"
    )
    report.chart(
        reliability_chart(found),
        caption="Reliability: claimed against observed, with 95 % Wilson intervals",
        alt=f"Reliability diagram of {found.n} pairs; expected calibration error {found.error:.3f}.",
    )
    report.table(
        ["measure", "value", "of a coin"],
        [
            ["expected calibration error", found.error, None],
            ["Brier score", found.brier, BRIER_OF_CHANCE],
            ["log loss (nats)", found.log_loss, LOG_LOSS_OF_CHANCE],
            ["best temperature", found.temperature, None],
        ],
        caption="Calibration",
        note=f"{found.n:,} pairs in {len(found.bins)} bins. Lower is better in the first three rows.",
        formats={"value": ".3f", "of a coin": ".3f"},
        bars=[],
    )


def _length(report: Report, evaluation: RewardEvaluation, scored: Sequence[ScoredPair]) -> None:
    report.section("Does it pay for length?")
    rows: list[list[Any]] = [
        ["answers", evaluation.length_correlation],
        ["differences within a pair", evaluation.length_correlation_within],
    ]
    report.table(
        ["between", "Spearman's rho"],
        rows,
        caption="Rank correlation of reward and number of characters",
        note="Within a pair the prompt cannot explain the correlation.",
        formats={"Spearman's rho": ".2f"},
    )
    points = length_points(scored)
    if points:
        within = evaluation.length_correlation_within
        report.chart(
            length_chart(points),
            caption="Reward and length of answers"
            + (f" ({len(points)} drawn evenly)" if len(points) < 2 * len(scored) else ""),
            alt=f"Reward against characters; rank correlation within pairs {within.estimate:.2f}.",
        )


def _errors(
    report: Report, pairs: Sequence[PreferencePair], scored: Sequence[ScoredPair], num: int, full_text: bool
) -> None:
    places = most_confident_errors(scored, num)
    if not places:
        return
    report.section("Most confident errors")
    if not full_text:
        report.text(
            f"Texts are cut after {PREVIEW_CHARS} characters, since public sets hold offensive ones; "
            "--set full_text=true shows them whole.",
        )
    limit = None if full_text else PREVIEW_CHARS
    cards = []
    for i in places:
        pair, row = pairs[i], scored[i]
        assert row.chosen is not None and row.rejected is not None
        fields = {
            pair.prompt[-1].role: preview(pair.prompt[-1].content, limit),
            "chosen": preview("\n\n".join(m.content for m in pair.chosen), limit),
            "rejected": preview("\n\n".join(m.content for m in pair.rejected), limit),
            "rewards": f"chosen {row.chosen:.3f} ({row.chosen_chars:,} characters), "
            f"rejected {row.rejected:.3f} ({row.rejected_chars:,} characters)",
        }
        gap = row.rejected - row.chosen
        cards.append(Example(f"pair {pair.id}", fields, badge=f"wrong by {gap:.2f}", tone="bad"))
    report.examples(cards, caption="Pairs whose rejected answer is ahead by the most")
