"""The training section of a loop's report."""

from __future__ import annotations

from typing import Any

from agora.core.report import Report
from agora.core.runs import RunDir
from agora.core.stats import Interval
from agora.loop.models import TRAINED, read_training

_CURVES = {
    "sft": ("loss", "loss"),
    "reward": ("rewards/accuracies", "share of pairs ranked right"),
    "dpo": ("rewards/accuracies", "share of pairs ranked right"),
    "ppo": ("score", "mean score of sampled answers"),
}


def write_training(report: Report, run: RunDir) -> None:
    """What each training saw, how it went, and whatever it warned about."""
    trainings = {name: read_training(run, name) for name in TRAINED}
    last = trainings["ppo"][1][-1]
    paid_by = ", ".join(key.removeprefix("reward/") for key in last if key.startswith("reward/"))
    report.section("Training")
    report.text(
        "DPO and the reward model learn from the same pairs. PPO samples its own answers to their prompts and is paid "
        f"by {paid_by}, less a penalty for moving away from the supervised model."
    )
    report.table(
        ["training", "rows", "left out", "steps", "tokens", "seconds"],
        [
            [name, stage.rows, sum(stage.dropped.values()), stage.steps, stage.tokens, run.seconds.get(name)]
            for name, (stage, _) in trainings.items()
        ],
        caption="What each training saw",
        note="Rows of PPO are the answers it sampled.",
        formats={"tokens": ",.0f", "seconds": ".1f"},
    )
    _reward_model(report, trainings["reward"][0].metrics)
    for name, (_, log) in trainings.items():
        _curve(report, name, log)
    for name, (stage, _) in trainings.items():
        for note in stage.notes:
            report.text(f"{name}: {note}", tone="warning")
    report.facts(
        {
            "KL of PPO to the supervised model (nats an answer)": round(last["kl/k1"], 2),
            "answers of PPO that ended by themselves": last["eos_rate"],
            "updates of PPO that were clipped": last["policy/clip_fraction"],
        }
    )


def _reward_model(report: Report, metrics: dict[str, float]) -> None:
    if "held_out/accuracy" not in metrics:
        return
    n = int(metrics["held_out/pairs"])
    interval = Interval(
        metrics["held_out/accuracy"], metrics["held_out/accuracy_low"], metrics["held_out/accuracy_high"], n, "Wilson"
    )
    report.table(
        ["held-out pairs", "reward model ranks right", "the longer answer is the better one"],
        [[n, interval, metrics["held_out/longer_wins"]]],
        caption="The reward model on prompts it has not seen",
        formats={"reward model ranks right": ".1%", "the longer answer is the better one": ".1%"},
    )


def _curve(report: Report, name: str, log: list[dict[str, Any]]) -> None:
    import altair as alt

    key, title = _CURVES[name]
    values = [{"step": row["step"], "value": row[key]} for row in log]
    chart = (
        alt.Chart(alt.InlineData(values))
        .mark_line()
        .encode(
            x=alt.X("step:Q", title="step", axis=alt.Axis(tickMinStep=1, format="d")),
            y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=False)),
        )
        .properties(height=160)
    )
    first, last = values[0]["value"], values[-1]["value"]
    report.chart(chart, caption=f"{name}: {title}", alt=f"{title} of {name} goes from {first:.2f} to {last:.2f}.")
