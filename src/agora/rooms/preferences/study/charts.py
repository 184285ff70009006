"""The pictures of a study's report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agora.rooms.preferences.study.advice import name_of, points
from agora.rooms.preferences.study.effects import AVERAGE
from agora.rooms.preferences.study.result import StudyResult


def main_effects(studies: Sequence[StudyResult], column: str = AVERAGE) -> tuple[Any, str]:
    """Every value's effect against its baseline with its interval, and each seed as a small mark.

    Returns:
        The chart, and the finding in words.
    """
    import altair as alt

    rows, seeds, order = _effect_rows(studies, column)
    if not rows:
        return None, ""
    y = alt.Y("value:N", sort=order, title=None, axis=alt.Axis(labelLimit=260))
    color = alt.Color("aspect:N", title="aspect", legend=alt.Legend(orient="top"))
    x = alt.X("effect:Q", title="points against the baseline")
    base = alt.Chart(alt.InlineData(rows))
    zero = alt.Chart(alt.InlineData([{"zero": 0}])).mark_rule(strokeDash=[4, 4]).encode(x="zero:Q")
    bars = base.mark_rule(strokeWidth=2.5).encode(x="low:Q", x2="high:Q", y=y, color=color)
    dots = base.mark_point(filled=True, size=110, opacity=1).encode(
        x=x, y=y, color=color, shape=alt.Shape("clear:N", title="clear of zero", legend=alt.Legend(orient="top"))
    )
    ticks = alt.Chart(alt.InlineData(seeds)).mark_tick(thickness=1.5, size=14, opacity=0.8).encode(x="effect:Q", y=y)
    chart = (zero + bars + ticks + dots).properties(height=34 * len(rows) + 20)
    best, worst = max(rows, key=lambda r: r["effect"]), min(rows, key=lambda r: r["effect"])
    found = f"Largest effect: {best['value']} {best['effect']:+.1f}; smallest: {worst['value']} {worst['effect']:+.1f}."
    return chart, found


def categories_heat(study: StudyResult, categories: Sequence[str]) -> tuple[Any, str]:
    """Each value's effect on each category, as colors with numbers."""
    import altair as alt

    rows: list[dict[str, Any]] = [
        {
            "value": arm.arm.value,
            "category": column,
            "effect": round(effect.difference.estimate, 2),
            "label": f"{effect.difference.estimate:+.1f}" + ("*" if effect.is_clear else ""),
        }
        for arm in study.arms[1:]
        for column in [*categories, AVERAGE]
        if (effect := arm.effect(column)) is not None
    ]
    largest = max((abs(row["effect"]) for row in rows), default=1.0) or 1.0
    base = alt.Chart(alt.InlineData(rows)).encode(
        x=alt.X("category:N", sort=[*categories, AVERAGE], title=None, axis=alt.Axis(labelAngle=0, labelLimit=110)),
        y=alt.Y("value:N", sort=[arm.arm.value for arm in study.arms[1:]], title=None, axis=alt.Axis(labelLimit=240)),
    )
    scale = alt.Scale(domain=[-largest, 0, largest], range=["#b2452f", "#f4f1ea", "#2f6db2"])
    cells = base.mark_rect().encode(color=alt.Color("effect:Q", scale=scale, title="points"))
    chart = (cells + base.mark_text(color="#1a1a1a").encode(text="label:N")).properties(
        height=36 * (len(study.arms) - 1) + 40
    )
    clear = [row for row in rows if str(row["label"]).endswith("*")]
    return chart, f"{len(clear)} of {len(rows)} effects of {study.name} are clear of zero."


def reward_against_truth(studies: Sequence[StudyResult]) -> tuple[Any, str]:
    """How far each policy moved (KL) and what it scores: over-optimization shows as falling to the right."""
    import altair as alt

    rows: dict[tuple[float, float], dict[str, Any]] = {}
    for study in studies:
        for arm in study.arms:
            for seed in arm.seeds:
                kl, figure = seed.sampled.get("kl1"), seed.figures.get(AVERAGE)
                if kl is not None and figure is not None:
                    algorithm = arm.arm.cell.algorithm.name
                    key = (round(kl, 6), round(figure, 6))
                    rows.setdefault(key, {"kl": kl, "average": figure, "algorithm": algorithm, "arm": arm.arm.label})
    if len(rows) < 2:
        return None, ""
    data = list(rows.values())
    chart = (
        alt.Chart(alt.InlineData(data))
        .mark_point(filled=True, size=80, opacity=0.85)
        .encode(
            x=alt.X("kl:Q", title="KL to the start model, nats an answer"),
            y=alt.Y("average:Q", title="average of the tests", scale=alt.Scale(zero=False)),
            color=alt.Color("algorithm:N", title="algorithm"),
            shape=alt.Shape("algorithm:N", legend=None),
            tooltip=["arm:N", "kl:Q", "average:Q"],
        )
        .properties(height=260)
    )
    far = max(data, key=lambda row: row["kl"])
    return chart, f"Farthest from the start model: {far['arm']} at {far['kl']:.1f} nats, average {far['average']:.1f}."


def _effect_rows(
    studies: Sequence[StudyResult], column: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[str]]:
    rows, seeds, order = [], [], []
    for study in studies:
        for arm in study.arms[1:]:
            effect = arm.effect(column)
            if effect is None:
                continue
            label = f"{study.name}: {arm.arm.value}"
            order.append(label)
            d = effect.difference
            rows.append(
                {"value": label, "aspect": name_of(study.vary), "effect": d.estimate, "low": d.low, "high": d.high,
                 "clear": "yes" if effect.is_clear else "no", "text": points(d)}
            )  # fmt: skip
            seeds += [{"value": label, "effect": one.estimate} for one in effect.by_seed.values()]
    return rows, seeds, order
