"""The page of a comparison: which data made the better model, what is in each data set, and the decoding grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agora.core.records import Sample, Task
from agora.core.report import Example, Report
from agora.core.runs import RunDir
from agora.loop.compare.measure import DataFacts
from agora.loop.compare.results import Outcome
from agora.loop.compare.settings import CompareConfig, slug_of
from agora.loop.stored import read_stored

WHAT = {
    "magpie": "drawn from an empty user turn, cleaned, de-duplicated, answered by the same model",
    "people": "questions of the world with right answers",
    "log": "visitors' questions as typed, answered by the aligned model",
    "self-instruct": "tasks continued from a person's seeds, answered by the aligned model",
    "web": "visitors' questions with replies of which many are flawed or belong elsewhere",
    "magpie, no filter": "the same draws with all that cleaning and limits set aside",
    "magpie, no de-duplication": "the same draws with their repeats",
    "magpie, filtered by the truth": "the same draws, only rows that the checker knows to be right",
    "untrained": "the student before training",
}


def write_report(
    run: RunDir,
    config: CompareConfig,
    results: Sequence[Outcome],
    facts: Mapping[str, Sequence[DataFacts]],
    grid: Sequence[Mapping[str, Any]],
    tasks: Sequence[Task],
) -> Path:
    """Write ``report.html`` of the run folder."""
    rows = max(one.rows for found in facts.values() for one in found)
    report = Report(
        "Which data makes the better model?",
        f"{config.student}, trained alike on {len(facts)} data sets, judged on {len(tasks)} held-out tasks.",
    )
    best = max((r for r in results if r.name != "untrained"), key=lambda r: r.score.estimate)
    report.highlights({results[0].name: results[0].score, f"best: {best.name}": best.score})
    report.command(str(run.info["command"]))
    report.facts(
        {
            "student": config.student,
            "drawn from": config.model,
            "judge": config.judge,
            "rows of each data set": rows,
            "seeds": ", ".join(map(str, config.seeds)),
            "epochs": config.sft.train.epochs,
            "seconds": round(sum(run.seconds.values())),
            "Agora": str(run.info["version"]),
        }
    )
    _scores(report, results, config)
    _contents(report, facts)
    _grid(report, grid)
    _examples(report, run, config)
    return report.write(run.file("report.html"))


def _scores(report: Report, results: Sequence[Outcome], config: CompareConfig) -> None:
    import altair as alt

    report.section("Scores")
    report.text(
        "WB-Score is the mean grade from 1 to 10 as (mean - 5) x 20. A seed is another draw of the data and another "
        "training; the tasks stay the same. Grades are averaged over seeds by task first, and intervals are 95 % "
        "bootstrap intervals over tasks; differences are paired by task."
    )
    reference = results[0].name
    report.table(
        ["data set", "WB-Score", f"minus {reference}", "seeds ahead", "correct"],
        [
            [
                one.name,
                one.score,
                one.difference,
                None if one.seeds_better is None else f"{one.seeds_better} of {len(config.seeds)}",
                one.correct,
            ]
            for one in results
        ],
        caption="WB-Score by training data (points)",
        formats={"correct": ".1%"},
    )
    report.table(
        ["data set", "what it is", "each seed's score"],
        [
            [one.name, WHAT.get(one.name, "a file"), ", ".join(f"{value:.1f}" for value in one.by_seed)]
            for one in results
        ],
        caption="The data sets",
    )
    rows = [
        {"data set": one.name, "seed": str(seed), "score": value}
        for one in results
        for seed, value in zip(config.seeds, one.by_seed, strict=False)
        if one.name != "untrained"
    ]
    chart = (
        alt.Chart(alt.InlineData(rows))
        .mark_point(filled=True, size=90)
        .encode(
            x=alt.X("score:Q", title="WB-Score", scale=alt.Scale(zero=False)),
            y=alt.Y("data set:N", sort=[one.name for one in results], title=None),
            color=alt.Color("seed:N", title="seed"),
        )
        .properties(height=36 * max(1, len(results)))
    )
    first = max((r for r in results if r.name != "untrained"), key=lambda r: r.score.estimate)
    report.chart(
        chart, caption="Each seed's score", alt=f"WB-Score of each data set and seed; best mean: {first.name}."
    )


def _contents(report: Report, facts: Mapping[str, Sequence[DataFacts]]) -> None:
    report.section("What is in the data")

    def mean(name: str, field: str) -> float | None:
        values = [getattr(one, field) for one in facts[name]]
        return None if any(v is None for v in values) else sum(values) / len(values)

    columns = {
        "rows": "rows", "distinct": "distinct", "well-posed": "well_posed", "right answers": "right",
        "difficulty": "difficulty", "category bits": "categories", "nearest": "distance",
        "instruction characters": "mean_chars", "answer characters": "mean_answer_chars",
    }  # fmt: skip
    report.table(
        ["data set", *columns],
        [[name, *(mean(name, field) for field in columns.values())] for name in facts],
        caption="Means over seeds",
        note="Right answers: of the well-posed rows. Difficulty: easy 2, medium 3, hard 4. Category bits: entropy of "
        "the task categories. Nearest: mean squared distance of an instruction to its nearest other one.",
        formats={
            "rows": ".0f", "distinct": ".1%", "well-posed": ".1%", "right answers": ".1%", "difficulty": ".2f",
            "category bits": ".2f", "nearest": ".3f", "instruction characters": ".0f", "answer characters": ".0f",
        },
    )  # fmt: skip


def _grid(report: Report, grid: Sequence[Mapping[str, Any]]) -> None:
    if not grid:
        return
    report.section("What temperature and top-p do")
    report.table(
        ["temperature", "top-p", "drawn", "well-posed", "quality", "difficulty", "nearest"],
        [
            [c["temperature"], c["top_p"], c["drawn"], c["well_posed"], c["quality"], c["difficulty"], c["distance"]]
            for c in grid
        ],
        caption="Means of what each setting draws",
        note="The paper's Fig. 11 finds, from temperature 1.0 to 1.2, falling quality (3.2 to 2.9), rising difficulty "
        "(2.2 to 2.3) and rising nearest-neighbor distance (0.33 to 0.50).",
        formats={"temperature": ".2f", "top-p": ".3f", "well-posed": ".1%", "difficulty": ".2f", "nearest": ".3f"},
    )


def _examples(report: Report, run: RunDir, config: CompareConfig) -> None:
    report.section("Rows to read")
    seed = config.seeds[0]
    for name in config.names:
        rows = read_stored(run.file(f"data/seed{seed}/{slug_of(name)}.jsonl"), Sample)
        kept = [sample for sample in rows if sample.kept][:3]
        cards = [Example(f"row {i}", {m.role: m.content for m in sample.messages}) for i, sample in enumerate(kept, 1)]
        if cards:
            report.examples(cards, caption=f"{name}: {WHAT.get(name, 'a file')}")
