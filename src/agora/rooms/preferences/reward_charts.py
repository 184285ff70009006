"""What the pages of reward evaluation draw, and how they show texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agora.rooms.preferences.calibration import Calibration
from agora.rooms.preferences.pair_scores import ScoredPair

PREVIEW_CHARS = 400
_MAX_POINTS = 600  # answers drawn in the chart of reward and length


def preview(text: str, limit: int | None = PREVIEW_CHARS) -> str:
    """The beginning of a text and how many characters were cut; the whole text where `limit` is None."""
    if limit is None or len(text) <= limit:
        return text or "(empty)"
    return f"{text[:limit].rstrip()} … (+{len(text) - limit:,})"


def reliability_chart(found: Calibration) -> Any:
    """Claimed against observed confidence, with the diagonal of perfect calibration."""
    import altair as alt

    rows = [
        {
            "confidence": b.confidence,
            "accuracy": b.accuracy.estimate,
            "low": b.accuracy.low,
            "high": b.accuracy.high,
            "pairs": b.n,
        }
        for b in found.bins
        if b.n
    ]
    x = alt.X(
        "confidence:Q",
        title="claimed probability",
        scale=alt.Scale(domain=[0.5, 1]),
        axis=alt.Axis(format="%", values=[0.5, 0.6, 0.7, 0.8, 0.9, 1]),
    )
    points = alt.Chart(alt.InlineData(rows)).encode(x=x)
    diagonal = (
        alt.Chart(alt.InlineData([{"confidence": 0.5, "accuracy": 0.5}, {"confidence": 1.0, "accuracy": 1.0}]))
        .mark_line(strokeDash=[4, 4], opacity=0.6)
        .encode(x=x, y="accuracy:Q")
    )
    bounds = points.mark_rule().encode(
        y=alt.Y("low:Q", title="how often right", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%")),
        y2="high:Q",
    )
    dots = points.mark_circle(opacity=1).encode(
        y="accuracy:Q", size=alt.Size("pairs:Q", title="pairs", scale=alt.Scale(range=[40, 400]))
    )
    return (diagonal + bounds + dots).properties(height=260)


def length_points(scored: Sequence[ScoredPair]) -> list[dict[str, Any]]:
    """Characters and reward of both answers of at most 300 pairs, evenly drawn."""
    whole = [row for row in scored if row.chosen is not None and row.rejected is not None and not row.tie]
    step = max(1, -(-2 * len(whole) // _MAX_POINTS))
    return [
        {"characters": max(1, chars), "reward": reward, "answer": side}
        for row in whole[::step]
        for side, reward, chars in (
            ("chosen", row.chosen, row.chosen_chars),
            ("rejected", row.rejected, row.rejected_chars),
        )
    ]


def length_chart(points: list[dict[str, Any]]) -> Any:
    """Reward against length, one point an answer."""
    import altair as alt

    return (
        alt.Chart(alt.InlineData(points))
        .mark_point(filled=True, opacity=0.45, size=28)
        .encode(
            x=alt.X("characters:Q", title="characters of the answer", scale=alt.Scale(type="log", nice=False)),
            y=alt.Y("reward:Q", title="reward", scale=alt.Scale(zero=False)),
            color=alt.Color("answer:N", title=None, sort=["chosen", "rejected"]),
            shape=alt.Shape("answer:N", sort=["chosen", "rejected"], legend=None),
        )
        .properties(height=280)
    )
