"""The report of a study: what each aspect is worth, with intervals, costs and warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from agora.core.report import Report
from agora.core.stats import Interval
from agora.rooms.preferences.study import charts
from agora.rooms.preferences.study.advice import best_arm, name_of, title_of, upper_first
from agora.rooms.preferences.study.effects import AVERAGE, N_BOOT, Effect
from agora.rooms.preferences.study.recipe import Recipe
from agora.rooms.preferences.study.result import ArmResult, CostRow, SeedRow, StudyReport, StudyResult

_CLEAR = "clear: the 95 % interval leaves out zero and every seed agrees in sign"


def write_report(found: StudyReport, recipe: Recipe, *, command: str, facts: Mapping[str, Any], path: Path) -> Path:
    """Write the page.

    Args:
        found: what the study came to.
        recipe: what was asked.
        command: the exact command line.
        facts: of the run, for the head of the page.
        path: of the HTML file.
    """
    title = f"{found.title} (confounded)" if found.confounded else found.title
    report = Report(title, recipe.about)
    if found.confounded:
        report.text(
            "Confounded: in at least one study more than the varied aspect differs; see the proofs.", tone="bad"
        )
    report.highlights(_highlights(found))
    report.command(command).facts(dict(facts))
    report.text("\n\n".join(found.recommendation), tone="good")
    _overview(report, found)
    for study in found.studies:
        _study(report, study, found)
    if found.across:
        _across(report, found)
    if found.rewards:
        _reward_models(report, found)
    _behavior(report, found)
    _proofs(report, found)
    _cost(report, found)
    return report.write(path)


def _highlights(found: StudyReport) -> dict[str, Interval | None]:
    shown: dict[str, Interval | None] = {}
    for study in found.studies:
        arm = best_arm(study) or max(study.arms[1:], key=lambda a: e.difference.estimate if (e := a.effect()) else 0.0)
        effect = arm.effect()
        shown[f"{name_of(study.vary)}: {arm.arm.value}"] = effect.difference if effect else None
    return shown


def _overview(report: Report, found: StudyReport) -> None:
    report.section("What each aspect is worth")
    chart, words = charts.main_effects(found.studies)
    if chart is not None:
        report.chart(
            chart,
            caption="Main effects on the average of the categories (points; 95 % intervals; ticks are single seeds)",
            alt=words,
        )
    rows = [
        [
            study.name,
            arm.arm.value,
            arm.mean(),
            e.difference,
            _seeds(e),
            e.over_seeds,
            e.p,
            e.p_holm,
            "yes" if e.is_clear else "no",
        ]
        for study in found.studies
        for arm in study.arms[1:]
        if (e := arm.effect()) is not None
    ]
    report.table(
        ["study", "value", "average", "against the baseline", "seed by seed", "over seeds", "p", "p (Holm)", "clear"],
        rows,
        caption="Effects on the average (points of 100)",
        note=f"{_CLEAR}. Against the baseline: paired bootstrap over examples, {N_BOOT:,} resamples, all seeds of an "
        "example together. Over seeds: Student's t over the seeds' differences, which includes what a training's own "
        "randomness does and is wide for few seeds. p: paired t test over examples; Holm's correction is over all "
        "values and categories of a study.",
        formats={"average": ".1f", "p": ".3f", "p (Holm)": ".3f"},
        bars=["against the baseline"],
    )


def _study(report: Report, study: StudyResult, found: StudyReport) -> None:
    report.section(upper_first(title_of(study)))
    if study.question:
        report.text(study.question)
    columns = [*found.categories, AVERAGE]
    body: list[list[Any]] = [["start model", None, *(found.start.mean(c) for c in columns), None]]
    for arm in study.arms:
        effect = arm.effect()
        pairs = round(sum(row.rows for row in arm.seeds) / len(arm.seeds))
        body.append([arm.arm.value, pairs, *(arm.mean(c) for c in columns), effect.difference if effect else None])
    report.table(
        ["value", "pairs", *columns, "against the baseline"],
        body,
        caption=f"Scores by category, mean over {len(study.baseline.seeds)} seeds (0 to 100)",
        note=f'"{study.baseline.arm.value}" is the baseline. A category is the mean of its tests, the average '
        "that of the categories.",
        formats={**dict.fromkeys(columns, ".1f"), "pairs": ",.0f"},
    )
    if len(found.categories) > 1:
        chart, words = charts.categories_heat(study, found.categories)
        report.chart(chart, caption="Effects by category (points; * clear of zero)", alt=words)
    report.table(
        ["value", "column", "against the baseline", "seed by seed", "p", "p (Holm)"],
        [
            [arm.arm.value, e.column, e.difference, _seeds(e), e.p, e.p_holm]
            for arm in study.arms[1:]
            for e in arm.effects
            if e.column in columns
        ],
        caption="Paired differences (points)",
        formats={"p": ".3f", "p (Holm)": ".3f"},
    )
    report.table(
        ["value", "seed", *columns, "KL", "tokens an answer"],
        [
            [arm.arm.value, row.seed, *(row.figures.get(c) for c in columns), row.sampled.get("kl1"),
             row.sampled.get("tokens_an_answer")]
            for arm in study.arms
            for row in arm.seeds
        ],
        caption="Every seed",
        formats={**dict.fromkeys(columns, ".1f"), "KL": ".2f", "tokens an answer": ".1f"},
    )  # fmt: skip


def _across(report: Report, found: StudyReport) -> None:
    report.section("The same choice in several surroundings")
    for name, tests in found.across.items():
        n = tests[0].difference.n
        report.table(
            ["column", "mean difference", "t", "p", "p (Holm)", "p of the sign test"],
            [[t.name, t.difference, t.t, t.p, t.p_holm, t.p_sign] for t in tests],
            caption=f"{name}, over {n} studies (points)",
            note=f"The {n} studies are the units. With so few, a t test leans on normality and misses small effects.",
            formats=dict.fromkeys(("p", "p (Holm)", "p of the sign test"), ".3f"),
        )


def _reward_models(report: Report, found: StudyReport) -> None:
    report.section("Reward models")
    report.table(
        ["reward model", "accuracy", "longer wins", "own held-out pairs", "best of N", "policy's average"],
        [[r.label, r.accuracy, r.longer, r.own_accuracy, r.best_of, r.policy] for r in found.rewards],
        caption="Accuracy, best-of-N and the policy trained on it, side by side",
        note="Accuracy: ordering the truly best and worst of the start model's answers to each held-out prompt; longer "
        "wins: what length alone reaches on them. Best of N: gain in truth over one sample, "
        f"N = {max((r.best_of_n for r in found.rewards), default=0)}. A better accuracy need not give a better policy.",
        formats={"longer wins": ".1%", "own held-out pairs": ".1%", "policy's average": ".1f"},
    )


def _behavior(report: Report, found: StudyReport) -> None:
    report.section("What training did to the answers")
    alarms = [alarm for study in found.studies for arm in study.arms for alarm in arm.alarms]
    for alarm in alarms:
        report.text(
            f"Over-optimization in {alarm.arm}: the reward rose by {_span(alarm.reward_rise)} while {alarm.test} "
            f"fell by {_span(alarm.test_fall)} points against the start model.",
            tone="bad",
        )
    if not alarms:
        report.text("No over-optimization: no judge-free test fell, beyond its interval, where the reward rose.")
    chart, words = charts.reward_against_truth(found.studies)
    if chart is not None:
        report.chart(chart, caption="Distance from the start model and score, every arm and seed", alt=words)
    rows: list[list[Any]] = [["start model", *_sampled(found.start), None]]
    seen: set[str] = set()
    for arm in (arm for study in found.studies for arm in study.arms):
        if arm.arm.label not in seen:
            seen.add(arm.arm.label)
            rows.append([arm.arm.label, *_sampled(arm), arm.reward_rise])
    report.table(
        ["arm", "tokens", "characters", "ended by itself", "KL (k1)", "KL (k3)", "truth", "reward's rise"],
        rows,
        caption="Sampled at temperature 1 on held-out prompts (mean an answer)",
        note="KL to the start model in nats an answer, by two estimates on the same samples; a clearly negative k1 "
        "would be a fault. Reward's rise: the maximized reward over that of the start model's answers.",
        formats={"tokens": ".1f", "characters": ".0f", "ended by itself": ".1%", "KL (k1)": ".2f", "KL (k3)": ".2f",
                 "truth": ".2f"},
    )  # fmt: skip
    notes = {(arm.arm.label, n) for s in found.studies for arm in s.arms for row in arm.seeds for n in row.notes}
    if notes:
        report.table(["arm", "warning"], [list(pair) for pair in sorted(notes)], caption="Warnings of the trainings")


def _proofs(report: Report, found: StudyReport) -> None:
    report.section("Proof of what differs")
    report.text(
        "Compared are the fully resolved settings, key by key, against the study's baseline; seeds are the same on "
        "both sides. Every stage's record was checked against these settings, its fingerprint and its files' digests."
    )
    rows = []
    for study in found.studies:
        base = study.baseline.seeds[0]
        for proof, arm in zip(study.proofs, study.arms[1:], strict=False):
            keys = [f"{key}: {_plain(old)} -> {_plain(new)}" for key, (old, new) in proof.varied.items()]
            rows.append(
                [f"{study.name}: {proof.value}", proof.vary, "\n".join(keys),
                 ", ".join(proof.outside) or "nothing", _derived(base, arm.seeds[0])]
            )  # fmt: skip
    report.table(
        ["value", "varied block", "what differs in it", "what differs elsewhere", "what follows from it"],
        rows,
        caption="Differences from the baseline",
        note="What follows: numbers of rows and steps that the settings lead to; equal ones are not listed.",
    )


def _plain(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:24]}...{text[-33:]}"


def _derived(base: SeedRow, row: SeedRow) -> str:
    found = [] if base.rows == row.rows else [f"pairs {base.rows:,} -> {row.rows:,}"]
    for role in ("reward", "policy"):
        old, new = base.budgets.get(role), row.budgets.get(role)
        if old is not None and new is not None and old.updates != new.updates:
            found.append(f"updates of the {role} {old.updates:,} -> {new.updates:,}")
    return ", ".join(found) or "the same sizes"


def _cost(report: Report, found: StudyReport) -> None:
    report.section("Cost")
    cost = found.cost
    rows = [_cost_row(row.kind, [row]) for row in cost.rows] + [_cost_row("total", cost.rows)]
    report.table(
        ["kind of stage", "stages", "computed now", "seconds", "CPU seconds", "tokens", "peak memory (MB)"],
        rows,
        caption="What the stages took, each counted once however many arms share it",
        note=f"By the clock of the whole: {cost.total_seconds:,.1f} s in up to {cost.jobs} processes at a time; "
        f"stages took {cost.stage_seconds:,.1f} s of the processes' time, finding, fingerprinting and recording them "
        f"{cost.overhead_seconds:,.1f} s.",
        formats={"seconds": ",.1f", "CPU seconds": ",.1f", "tokens": ",.0f", "peak memory (MB)": ",.0f"},
    )
    seen: dict[str, ArmResult] = {}
    for study in found.studies:
        for arm in study.arms:
            seen.setdefault(arm.arm.label, arm)
    report.table(
        ["arm", "seconds", "tokens", "updates of the policy", "rows", "peak memory (MB)"],
        [
            [label, arm.seconds, sum(r.tokens for r in arm.seeds) / len(arm.seeds), _updates(arm.seeds[0]),
             arm.seeds[0].rows, _megabytes(max((r.peak_bytes or 0 for r in arm.seeds), default=0))]
            for label, arm in seen.items()
        ],
        caption="What one seed of an arm takes with all that it builds on, as if nothing were shared",
        formats={"seconds": ",.1f", "tokens": ",.0f", "updates of the policy": ",.0f", "rows": ",.0f",
                 "peak memory (MB)": ",.0f"},
    )  # fmt: skip


def _cost_row(name: str, rows: Sequence[CostRow]) -> list[Any]:
    return [
        name,
        sum(row.stages for row in rows),
        sum(row.computed for row in rows),
        sum(row.seconds for row in rows),
        sum(row.cpu_seconds for row in rows),
        sum(row.tokens or 0 for row in rows) or None,
        _megabytes(max((row.peak_bytes or 0 for row in rows), default=0)),
    ]


def _sampled(arm: ArmResult) -> list[float | None]:
    return [arm.sampled(n) for n in ("tokens_an_answer", "chars_an_answer", "eos_rate", "kl1", "kl3", "truth")]


def _updates(row: SeedRow) -> int | None:
    budget = row.budgets.get("policy")
    return budget.updates if budget else None


def _seeds(effect: Effect) -> str:
    return ", ".join(f"{one.estimate:+.1f}" for one in effect.by_seed.values())


def _span(interval: Interval) -> str:
    return f"{interval.estimate:+.2f} [{interval.low:.2f}, {interval.high:.2f}]"


def _megabytes(size: int | None) -> float | None:
    return size / 1e6 if size else None


def categories_table(found: StudyReport) -> list[list[Any]]:
    """The rows of the category table, for terminals: study, value, categories, average, difference."""
    columns: Sequence[str] = [*found.categories, AVERAGE]
    rows: list[list[Any]] = [["", "start model", *(found.start.mean(c) for c in columns), None]]
    for study in found.studies:
        for arm in study.arms:
            effect = arm.effect()
            rows.append([study.name, arm.arm.value, *(arm.mean(c) for c in columns), effect and effect.difference])
    return rows
