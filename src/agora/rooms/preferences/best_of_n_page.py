"""The page of a best-of-N curve: what choosing by the reward is worth, and where it stops being worth more."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from agora.core.report import Example, Report
from agora.core.runs import RunDir
from agora.rooms.preferences.reward_charts import preview

if TYPE_CHECKING:
    from agora.rooms.preferences.best_of_n_run import BestOfNRun, ChosenFrom

_EXAMPLES = 6


def write_best_of_n_page(run: RunDir, done: BestOfNRun, *, command: str) -> Path:
    """Write ``report.html`` of the run folder."""
    config, curve = run.info["config"], done.curve
    last = curve.points[-1]
    report = Report(f"Best of {last.n}", f"{config['reward']} chooses among answers of {config['model']}")
    report.highlights(
        {
            "true score of one answer": curve.points[0].true,
            f"of the best of {last.n}": last.true,
            "gain": last.gain,
            "gain of a perfect choice": last.ceiling.estimate - curve.points[0].true.estimate,
        }
    )
    report.command(command)
    finishes = Counter(sample.finish_reason for sample in done.samples)
    report.facts(
        {
            "model": config["model"],
            "reward": config["reward"],
            "true score": config["truth"],
            "prompts": curve.num_prompts,
            "prompts left out": curve.dropped_prompts,
            "samples without a score": curve.missing_samples,
            "temperature": config["temperature"],
            "answers cut at the limit": finishes["length"],
            "seed": config["seed"],
            "Agora": str(run.info["version"]),
        }
    )
    if curve.overoptimized:
        report.text(
            f"Over-optimization: the true score is highest at n = {curve.peak} and falls after it by "
            f"{-curve.fall.estimate:.2f} [{-curve.fall.high:.2f}, {-curve.fall.low:.2f}], while the reward keeps "
            "rising. Expect the same of training against this reward.",
            tone="warning",
        )
    _curve(report, done)
    _examples(report, done)
    return report.write(run.file("report.html"))


def _curve(report: Report, done: BestOfNRun) -> None:
    import altair as alt

    report.section("The curve")
    report.text(
        "Every point is the exact mean over all subsets of n of the sampled answers. KL is the most that choosing can "
        "move the distribution away from the model's own, log n - (n - 1) / n nats: what a PPO run of that KL could be "
        "compared with."
    )
    points = done.curve.points
    report.table(
        ["n", "true score", "gain over one", "reward", "perfect choice", "KL (nats)"],
        [[p.n, p.true, p.gain, p.reward, p.ceiling.estimate, p.kl_bound] for p in points],
        caption="Best of n",
        note="Gains are paired by prompt.",
        formats={"KL (nats)": ".2f"},
        bars=["gain over one"],
    )
    rows = [
        {"n": p.n, "chosen by": who, "score": x.estimate, "low": x.low, "high": x.high}
        for p in points
        for who, x in (("reward", p.true), ("true score", p.ceiling))
    ]
    base = alt.Chart(alt.InlineData(rows)).encode(
        x=alt.X("n:Q", title="answers to choose from", scale=alt.Scale(type="log", base=2)),
        color=alt.Color("chosen by:N", sort=["reward", "true score"]),
    )
    band = base.mark_area(opacity=0.18).encode(
        y=alt.Y("low:Q", title="true score", scale=alt.Scale(zero=False)), y2="high:Q"
    )
    line = base.mark_line(point=True).encode(y="score:Q")
    first, last = points[0].true.estimate, points[-1].true.estimate
    report.chart(
        (band + line).properties(height=260),
        caption="True score of the chosen answer, with 95 % intervals over prompts",
        alt=f"Choosing by the reward moves the true score from {first:.3g} for one answer to {last:.3g}.",
    )


def _examples(report: Report, done: BestOfNRun) -> None:
    by_prompt: dict[str, list[ChosenFrom]] = {}
    for sample in done.samples:
        if sample.reward is not None and sample.true is not None:
            by_prompt.setdefault(sample.prompt_id, []).append(sample)
    regrets = []
    for samples in by_prompt.values():
        picked = max(samples, key=lambda s: (s.reward or 0.0, -s.sample_no))
        best = max(samples, key=lambda s: (s.true or 0.0, -s.sample_no))
        regrets.append((float(best.true or 0) - float(picked.true or 0), picked, best))
    worst = sorted((r for r in regrets if r[0] > 0), key=lambda r: -r[0])[:_EXAMPLES]
    if not worst:
        return
    report.section("Where the choice was poor")
    report.examples(
        [
            Example(
                f"prompt {picked.prompt_id}",
                {
                    picked.prompt[-1].role: preview(picked.prompt[-1].content),
                    f"chosen by the reward (reward {picked.reward:.2f}, true {picked.true:g})": preview(
                        picked.text or ""
                    ),
                    f"best sample (reward {best.reward:.2f}, true {best.true:g})": preview(best.text or ""),
                },
                badge=f"lost {regret:g}",
                tone="bad",
            )
            for regret, picked, best in worst
        ],
        caption="Prompts with the largest loss against the best sample",
    )
