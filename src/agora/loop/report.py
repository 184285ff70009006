"""The report of a loop: one page that tells what was drawn, kept, learned and judged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agora.core.records import PreferencePair, Sample, Task
from agora.core.report import Example, Report
from agora.core.runs import RunDir
from agora.core.tables import read_json
from agora.curate.funnel import Funnel
from agora.loop.judging import Judged, ModelResult
from agora.loop.report_leaderboard import write_leaderboard
from agora.loop.report_training import write_training
from agora.loop.report_visitors import write_visitors
from agora.loop.settings import CHECKER, LoopConfig
from agora.loop.stored import read_stored

_ROLE = {
    "base": "the student before training",
    "sft": "after supervised fine-tuning on the curated samples",
    "dpo": "after DPO on its own judged answers",
    "ppo": "after PPO on its own answers to the same prompts",
    "chat": "the aligned model that was drawn from",
}


def write_report(
    run: RunDir,
    config: LoopConfig,
    judged: Judged,
    *,
    benchmark: Sequence[Task],
    mined: Sequence[Task],
    samples: Sequence[Sample],
    funnel: Funnel,
) -> Path:
    """Write ``report.html`` of the run folder. Everything in it is read from the run's files."""
    report = Report("One turn of the loop", _subtitle(judged, len(benchmark)))
    info = run.info
    report.highlights(_highlights(judged))
    report.command(str(info["command"]))
    report.facts(
        {
            "seed": config.seed,
            "drawn from": config.model,
            "trained": config.student,
            "judge": judged.judge,
            "held-out tasks": len(benchmark),
            "seconds": round(sum(run.seconds.values()), 1),
            "Agora": str(info["version"]),
            "created": str(info["created"]),
        }
    )
    write_visitors(report, run)
    _scores(report, judged, benchmark)
    write_leaderboard(report, run, config, judged, benchmark)
    _rewards(report, config, judged)
    _data(report, samples, funnel)
    write_training(report, run)
    if mined:
        _mined(report, run, config, mined, judged)
    _answers(report, judged, benchmark)
    _pairs(report, run)
    _time(report, run)
    return report.write(run.file("report.html"))


def _subtitle(judged: Judged, n: int) -> str:
    if judged.judge == CHECKER:
        return f"Models judged on {n} held-out tasks whose right answers are known."
    return f"Models judged by {judged.judge} on {n} tasks."


def _highlights(judged: Judged) -> dict[str, Any]:
    return {f"WB-Score of {m.name}": m.score.interval if m.score.n else None for m in judged.models}


def _scores(report: Report, judged: Judged, benchmark: Sequence[Task]) -> None:
    import altair as alt

    report.section("How good are the models?")
    report.text(
        "WB-Score grades each answer from 1 to 10 and shows the mean as (mean - 5) x 20: 0 is borderline acceptable, "
        "100 perfect, -80 the worst possible. Intervals are 95 % bootstrap intervals over tasks."
    )
    groups = sorted({name for model in judged.models for name in model.score.groups})
    report.table(
        ["model", "what it is", "tasks judged", "WB-Score", "correct", "mean characters"],
        [
            [
                m.name,
                _ROLE.get(m.name, ""),
                m.score.n,
                m.score.interval if m.score.n else None,
                m.correct,
                m.score.mean_chars,
            ]
            for m in judged.models
        ],
        caption="WB-Score by model (points)",
        formats={"correct": ".1%", "mean characters": ".0f"},
    )
    report.table(
        ["model", *groups, "macro"],
        [
            [m.name, *(m.score.groups[g].value if g in m.score.groups else None for g in groups), m.score.macro]
            for m in judged.models
        ],
        caption="WB-Score by group of tasks (points)",
        note="Macro weighs as WildBench: creative 0.5, planning 1.25, math 1, information 0.75, coding 1.25.",
    )
    rows = [
        {"model": m.name, "group": g, "score": m.score.groups[g].value}
        for m in judged.models
        for g in groups
        if g in m.score.groups and m.score.groups[g].value is not None
    ]
    if rows:
        chart = (
            alt.Chart(alt.InlineData(rows))
            .mark_point(filled=True, size=90)
            .encode(
                x=alt.X("score:Q", title="WB-Score"),
                y=alt.Y("group:N", title=None),
                color=alt.Color("model:N", sort=[m.name for m in judged.models], title="model"),
                shape=alt.Shape("model:N", sort=[m.name for m in judged.models], legend=None),
            )
            .properties(height=40 * max(1, len(groups)))
        )
        best = max(judged.models, key=lambda m: m.score.wb_score if m.score.wb_score is not None else -1e9)
        report.chart(
            chart, caption="WB-Score by group", alt=f"WB-Score of each model in each group; best: {best.name}."
        )
    report.table(
        ["comparison", "common tasks", "difference", "better on", "equal on", "worse on", "more than noise"],
        [
            [
                f"{d.first} - {d.second}",
                d.n_common,
                d.interval,
                d.wins,
                d.ties,
                d.losses,
                "yes" if d.separable else "no",
            ]
            for d in judged.differences
        ],
        caption="Paired differences on the same tasks (WB points)",
        note="A difference is more than noise when its 95 % interval over tasks leaves out zero.",
    )


def _rewards(report: Report, config: LoopConfig, judged: Judged) -> None:
    report.section("Which answer is better?")
    margin = "no length margin" if config.margin is None else f"length margin K = {config.margin} characters"
    report.text(
        "WB-Reward compares two answers to the same task: much better +100, slightly better +50, tie 0, and the same "
        f"downward. Mix is the mean over {len(config.baselines)} baselines; a baseline against itself is 0 by "
        f"definition; {margin}."
    )
    report.table(
        ["model", "Mix", *(f"against {b}" for b in config.baselines), "Mix without itself"],
        [
            [
                m.name,
                m.reward.mix_interval if m.reward.mix_interval else m.reward.mix,
                *(_reward_cell(m, b) for b in config.baselines),
                m.reward.mix_without_self,
            ]
            for m in judged.models
        ],
        caption="WB-Reward (times 100)",
    )


def _reward_cell(model: ModelResult, baseline: str) -> Any:
    reward = model.reward.baselines[baseline]
    return "itself" if reward.is_self else reward.reward


def _data(report: Report, samples: Sequence[Sample], funnel: Funnel) -> None:
    report.section("Where the data came from")
    report.text(
        "Instructions were drawn with nothing but the opening of a user turn (Magpie). Nothing is thrown away: removed "
        "rows stay in samples.jsonl with their reason."
    )
    report.funnel(funnel.rows())
    report.examples(
        [
            Example(f"sample {s.id}", {"user": s.instruction, "assistant": s.answer or ""}, badge=s.slice)
            for s in samples[:: max(1, len(samples) // 8)][:8]
        ],
        caption="Samples that were trained on",
    )


def _mined(report: Report, run: RunDir, config: LoopConfig, mined: Sequence[Task], judged: Judged) -> None:
    stored = read_json(run.file("mining.json"))
    visited = run.done("visitors")
    report.section("The visitors' conversations" if visited else "Your conversations")
    report.facts(
        {
            "conversations imported": stored["conversations"],
            "rows rejected": stored["rejected"],
            "reject file": run.file("conversations.rejects.jsonl"),
            "tasks mined": len(mined),
        }
    )
    report.funnel(Funnel.from_json(stored["funnel"]).rows(), caption="From rows of the file to benchmark tasks")
    if config.judge == CHECKER:
        report.text(
            "The microcosm's checker knows the truth of its own world only, so these tasks have answers below but no "
            "scores. Give --judge a model to have them judged.",
            tone="warning",
        )
    report.examples(
        [
            Example(
                f"mined task {task.id}",
                {
                    **{f"{m.role} ({i})": m.content for i, m in enumerate(task.messages)},
                    **{
                        name: judged.answers[name][task.id].output
                        for name in judged.answers
                        if task.id in judged.answers[name]
                    },
                },
                badge=task.provenance.source if task.provenance else "",
            )
            for task in mined[:8]
        ],
        caption=f"Tasks cut from {'their' if visited else 'your'} conversations, with the models' answers",
    )


def _answers(report: Report, judged: Judged, benchmark: Sequence[Task]) -> None:
    report.section("Answers side by side")
    chosen = list(benchmark)[:: max(1, len(benchmark) // 10)][:10]
    cards = []
    for task in chosen:
        fields: dict[str, Any] = {"user": task.messages[-1].content}
        for model in judged.models:
            verdict = judged.scores.get(model.name, {}).get(task.id)
            answer = judged.answers[model.name].get(task.id)
            score = f"{verdict.value:g}/10" if verdict is not None and verdict.value is not None else "not judged"
            fields[f"{model.name} ({score})"] = answer.output if answer else "no answer"
        if task.checklist:
            fields["checklist"] = "\n".join(f"- {question}" for question in task.checklist)
        cards.append(Example(f"{task.primary_tag}, {task.difficulty or 'unrated'}", fields, badge=task.id))
    report.examples(cards, caption="The same tasks, answered by every model")


def _pairs(report: Report, run: RunDir) -> None:
    pairs = read_stored(run.file("pairs.jsonl"), PreferencePair)
    longer = sum(len(p.chosen[0].content) > len(p.rejected[0].content) for p in pairs)
    report.section("Preference pairs")
    report.facts({"pairs": len(pairs), "chosen is the longer one": longer / len(pairs) if pairs else None})
    report.examples(
        [
            Example(
                f"pair {p.id}",
                {
                    "user": p.prompt[-1].content,
                    f"chosen ({p.chosen_score:g})": p.chosen[0].content,
                    f"rejected ({p.rejected_score:g})": p.rejected[0].content,
                },
            )
            for p in pairs[:: max(1, len(pairs) // 6)][:6]
        ],
        caption="What preference training learned from",
    )


def _time(report: Report, run: RunDir) -> None:
    report.section("Time")
    report.table(
        ["stage", "seconds"], list(run.seconds.items()), caption="Wall time by stage", formats={"seconds": ".1f"}
    )
