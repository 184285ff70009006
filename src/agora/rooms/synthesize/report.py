"""The page of a synthesis run: what each slice brought, what was set aside and why, and texts to read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from agora.core.records import Sample
from agora.core.report import Example, Report
from agora.core.runs import RunDir
from agora.core.tables import read_records, write_json
from agora.rooms.synthesize.distances import Distances, nearest_distances
from agora.rooms.synthesize.folder import FolderReport
from agora.rooms.synthesize.settings import SynthesizeConfig
from agora.rooms.synthesize.slices import MAX_FITTED, Agreement, SliceMeans, category_agreement, slice_means

EXAMPLES = 4  # of each reason


def write_report(
    run: RunDir, config: SynthesizeConfig, drawn: FolderReport, answers: FolderReport | None, *, licence: str
) -> Path:
    """Write ``report.html`` and ``slices.json``; a finished page is only found again."""
    page = run.file("report.html")
    if run.done("report"):
        return page
    with run.stage("report"):
        world = config.model.startswith("microcosm:")
        means = slice_means(read_records(drawn.file, Sample), world=world, distances=_distances(drawn.file))
        wanted = {key: prompt.category for key, prompt in config.systems.items()}
        agreement = category_agreement(read_records(drawn.file, Sample), wanted, world=world)
        write_json(run.file("slices.json"), [one.as_json() for one in means])
        final = answers or drawn
        report = Report(*_title(config))
        _head(report, run, config, drawn, answers, licence)
        _funnel(report, drawn, answers)
        _slices(report, means, world)
        _agreement(report, agreement)
        _examples(report, list(read_records(final.file, Sample)))
        return report.write(page)


def _title(config: SynthesizeConfig) -> tuple[str, str]:
    if config.self_instruct is not None:
        return "Instructions written from a person's tasks", f"Self-Instruct with {config.model}"
    return "Instructions drawn from an empty user turn", f"Drawn from {config.model}"


def _distances(file: Path) -> Distances | None:
    texts = (sample.instruction for sample in read_records(file, Sample) if sample.kept)
    return nearest_distances(list(islice(texts, MAX_FITTED)))


def _head(
    report: Report,
    run: RunDir,
    config: SynthesizeConfig,
    drawn: FolderReport,
    answers: FolderReport | None,
    licence: str,
) -> None:
    kept = (answers or drawn).tally.kept
    tokens = drawn.tally.completion_tokens + (answers.tally.completion_tokens if answers else 0)
    seconds = drawn.seconds + (answers.seconds if answers else 0.0)
    report.highlights({"drawn": drawn.tally.n, "kept": kept, "share kept": kept / max(1, drawn.tally.n)},
                      formats={"share kept": ".1%"})  # fmt: skip
    report.command(str(run.info["command"]))
    report.facts(
        {
            "model": config.model,
            "its license": licence,
            "answers by": (config.answers.model or config.model) if config.answers else "nobody",
            "mode": config.mode,
            "seed": config.seed,
            "near-duplicates at Jaccard": config.deduplicate,
            "tokens written": tokens,
            "of them for instructions": drawn.tally.completion_tokens,
            "seconds": round(seconds, 1),
            "tokens per second": round(tokens / seconds) if seconds else None,
            "rows kept per hour": round(kept / seconds * 3600) if seconds else None,
            "Agora": str(run.info["version"]),
        }
    )


def _funnel(report: Report, drawn: FolderReport, answers: FolderReport | None) -> None:
    lost = drawn.tally.reasons
    left = drawn.tally.n
    steps: list[tuple[str, int, dict[str, int]]] = [("drawn", left, {})]
    for label, belongs in (
        ("complete", lambda reason: reason in ("error", "empty", "length")),
        ("clean", lambda reason: reason.startswith("flag:")),
        ("not seen before", lambda reason: reason == "duplicate"),
        ("as the filter asks", lambda reason: reason.startswith("filter:")),
    ):
        reasons = {reason: n for reason, n in lost.items() if belongs(reason)}
        left -= sum(reasons.values())
        steps.append((label, left, reasons))
    if answers is not None:
        reasons = {reason: n for reason, n in answers.tally.reasons.items() if reason.startswith("answer")}
        steps.append(("answered in full", left - sum(reasons.values()), reasons))
    report.funnel(steps)


def _slices(report: Report, means: Sequence[SliceMeans], world: bool) -> None:
    report.section("What each decoding setting brought")
    rows = [
        {
            "slice": one.name,
            "drawn": one.drawn,
            "kept": one.kept / one.drawn if one.drawn else None,
            "repeats": one.outcomes.get("duplicate", 0) / one.drawn if one.drawn else None,
            "tokens": one.mean_tokens,
            **({"well-posed": one.well_posed} if world else {}),
            "quality": one.quality,
            "difficulty": one.difficulty,
            "distance": one.distance,
        }
        for one in means
    ]
    report.table(
        list(rows[0]) if rows else ["slice"],
        rows,
        caption="Slices of the schedule",
        note="Quality and difficulty are means of labels from 1 to 5, over complete instructions that carry one. In "
        "the microcosm the world tells what is well-posed and how hard it is. Distance is the mean squared "
        "distance (2 - 2 cos of character n-grams) of an instruction to its nearest neighbor in the slice.",
        formats={"kept": ".1%", "repeats": ".1%", "well-posed": ".1%", "tokens": ".1f"} if world else
        {"kept": ".1%", "repeats": ".1%", "tokens": ".1f"},
    )  # fmt: skip


def _agreement(report: Report, agreement: Sequence[Agreement]) -> None:
    if not agreement:
        return
    report.section("Did the system prompts bring what they ask for?")
    report.table(
        ["requested", "kept samples", "with a category", "share equal"],
        [[one.category, one.drawn, one.labeled, one.share] for one in agreement],
        caption="Requested category against the one found",
        formats={"share equal": ".1%"},
    )


def _examples(report: Report, samples: Sequence[Sample]) -> None:
    report.section("Samples to read")
    kept = [sample for sample in samples if sample.kept]
    report.examples([_card(sample, "kept", "good") for sample in _spread(kept, 8)], caption="Kept")
    by_reason: dict[str, list[Sample]] = {}
    for sample in samples:
        if not sample.kept:
            by_reason.setdefault(sample.reason or "unknown", []).append(sample)
    cards = [_card(s, reason, "warning") for reason, lost in by_reason.items() for s in _spread(lost, EXAMPLES)]
    if cards:
        report.examples(cards, caption="Set aside, with the reason")


def _spread(samples: Sequence[Sample], n: int) -> list[Sample]:
    """At most ``n`` of them, evenly from first to last."""
    step = max(1, len(samples) // n)
    return list(samples[::step][:n])


def _card(sample: Sample, badge: str, tone: Any) -> Example:
    texts = {m.role if m.role != "user" or i == 0 else "user again": m.content for i, m in enumerate(sample.messages)}
    if sample.raw_text != sample.instruction:
        texts["as the model wrote it"] = sample.raw_text
    return Example(f"{sample.slice} #{sample.index}", texts, badge=badge, tone=tone)
