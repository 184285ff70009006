"""Charts of the dataset page: histograms and shares of one data set, or of two side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_BINS = 30


def histogram(series: Mapping[str, Sequence[float]], title: str, *, log: bool = False) -> Any:
    """Shares of rows by value, one line of bars a data set; None when there is nothing to show.

    Args:
        series: data set -> values.
        title: of the axis, with the unit.
        log: bins of equal ratio, for lengths.
    """
    import altair as alt
    import numpy as np

    arrays = {name: np.asarray(values, dtype=float) for name, values in series.items() if len(values)}
    if not arrays:
        return None
    low = min(float(a.min()) for a in arrays.values())
    high = max(float(a.max()) for a in arrays.values())
    edges = _edges(max(low, 1.0) if log else low, high, log)
    rows: list[dict[str, Any]] = []
    for name, values in arrays.items():
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), bins=edges)
        for left, right, n in zip(edges[:-1], edges[1:], counts, strict=True):
            rows.append(
                {"data set": name, "from": float(left), "to": float(right), "share": n / len(values), "rows": int(n)}
            )
    scale = alt.Scale(type="log") if log else alt.Scale(zero=False)
    chart = alt.Chart(alt.InlineData(values=rows)).mark_bar(opacity=0.65 if len(arrays) > 1 else 1.0)
    return chart.encode(
        x=alt.X("from:Q", title=title, scale=scale, bin="binned"),
        x2="to:Q",
        y=alt.Y("share:Q", title="share of rows", axis=alt.Axis(format="%"), stack=None),
        color=_color(arrays),
        tooltip=["data set:N", "from:Q", "to:Q", "rows:Q"],
    ).properties(height=180)


def _edges(low: float, high: float, log: bool) -> Any:
    import numpy as np

    if high <= low:
        low, high = low - 0.5 if not log else low * 0.9, high + 0.5
    return np.geomspace(low, high, _BINS + 1) if log else np.linspace(low, high, _BINS + 1)


def shares(counts: Mapping[str, Mapping[str, int]], order: Sequence[str], title: str) -> Any:
    """Shares of labels, a bar a value and data set."""
    import altair as alt

    rows = [
        {"data set": name, "value": value, "share": n / total, "rows": n}
        for name, found in counts.items()
        if (total := sum(found.values()))
        for value in order
        if (n := found.get(value, 0)) or len(order) <= 12
    ]
    if not rows:
        return None
    several = len(counts) > 1
    chart = alt.Chart(alt.InlineData(values=rows)).mark_bar()
    encoded = chart.encode(
        x=alt.X("share:Q", title="share of labeled rows", axis=alt.Axis(format="%")),
        y=alt.Y("value:N", title=title, sort=list(order), axis=alt.Axis(labelLimit=180)),
        color=_color(counts),
        tooltip=["data set:N", "value:N", "rows:Q", alt.Tooltip("share:Q", format=".1%")],
    )
    if several:
        encoded = encoded.encode(yOffset=alt.YOffset("data set:N", sort=list(counts)))
    return encoded.properties(height=max(60, len({row["value"] for row in rows}) * (26 if several else 20)))


def _color(series: Mapping[str, Any]) -> Any:
    import altair as alt

    if len(series) < 2:
        return alt.Undefined
    return alt.Color("data set:N", sort=list(series), legend=alt.Legend(orient="top", title=None))


def topic_map(points: Sequence[Mapping[str, Any]], color: str) -> Any:
    """A map of instructions: places, a label, the data set, the text to read on hovering; regions by their words."""
    import altair as alt

    several = len({p["data set"] for p in points}) > 1
    chart = alt.Chart(alt.InlineData(values=list(points))).mark_point(filled=True, opacity=0.55, size=22)
    chart = chart.encode(
        x=alt.X("x:Q", axis=None),
        y=alt.Y("y:Q", axis=None),
        color=alt.Color(
            f"{color}:N",
            scale=alt.Scale(scheme="tableau20"),
            legend=alt.Legend(orient="bottom", title=None, columns=3, labelLimit=160),
        ),
        shape=alt.Shape("data set:N", legend=alt.Legend(orient="top", title=None)) if several else alt.Undefined,
        tooltip=["text:N", "topic:N", *([f"{color}:N"] if color != "topic" else []), "data set:N"],
    )
    places = _topic_places(points)
    if not places:  # an empty layer has no extent, which the browser would complain of
        return chart.properties(height=480)
    names = alt.Chart(alt.InlineData(values=places)).encode(x="x:Q", y="y:Q", text="topic:N")
    halo = names.mark_text(fontSize=12, fontWeight="bold", stroke="white", strokeWidth=4, strokeJoin="round")
    return (chart + halo + names.mark_text(fontSize=12, fontWeight="bold", color="#222")).properties(height=480)


def _topic_places(points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The middle of each topic, by medians: a few points far away must not move a name."""
    from statistics import median

    by_topic: dict[str, list[Mapping[str, Any]]] = {}
    for point in points:
        by_topic.setdefault(point["topic"], []).append(point)
    return [
        {"topic": name, "x": median(p["x"] for p in some), "y": median(p["y"] for p in some)}
        for name, some in by_topic.items()
        if len(by_topic) > 1
    ]
