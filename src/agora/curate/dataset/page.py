"""The dataset page (spec of the data: Magpie, section 3.13): one data set, or two side by side."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agora.core.records import JsonMap
from agora.core.report import Example, Report
from agora.core.report_assets.views import Cell
from agora.core.stats import Interval, wilson
from agora.curate.dataset import charts
from agora.curate.dataset.coverage import Coverage
from agora.curate.dataset.facts import LABELS, Dataset, Removed
from agora.curate.rows import answer_of, instruction_of, tag_of
from agora.curate.scales import SCALES

_SHOWN_CHARS = 1500
_MOST_VALUES = 15
_MOST_EXAMPLES = 24
_NUMBER_TITLES = {
    "reward": "reward",
    "reward_diff": "reward minus that of a base model's answer",
    "dup.distance": "distance to the nearest neighbor",
}
Points = Sequence[Mapping[str, Any]]


def dataset_report(
    data: Dataset,
    other: Dataset | None = None,
    *,
    covered: Coverage | None = None,
    points: Points = (),
    command: str = "",
) -> Report:
    """A report of one data set, or of two beside each other.

    Args:
        data: the data set.
        other: another one to compare with.
        covered: how far each covers the other.
        points: of the topic map.
        command: that makes the page.
    """
    sets = [data] if other is None else [data, other]
    title = f"Data set {data.name}" if other is None else f"{data.name} and {other.name}"
    report = Report(title, "What is in it, how it came about, what was left out")
    _head(report, sets)
    if command:
        report.command(command)
    _warnings(report, sets)
    _came_about(report, sets)
    _sizes(report, sets)
    _labels(report, sets)
    _numbers(report, sets)
    _verbs(report, sets)
    _map(report, sets, covered, points)
    _cost(report, sets)
    _examples(report, data)
    _removed(report, data)
    return report


def _head(report: Report, sets: list[Dataset]) -> None:
    for data in sets:
        suffix = f" of {data.name}" if len(sets) > 1 else ""
        numbers: dict[str, Cell] = {f"rows{suffix}": data.n}
        if data.funnel is not None and data.funnel.n_in:
            numbers[f"of rows at the start{suffix}"] = data.n / data.funnel.n_in
        numbers[f"turns{suffix}"] = _mean(list(data.turns.elements()))
        numbers[f"{data.unit} a message{suffix}"] = _mean(data.sizes)
        report.highlights(numbers, formats={f"of rows at the start{suffix}": ".1%", f"turns{suffix}": ".2f"})


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if len(values) else None


def _spread(values: Sequence[float]) -> float | None:
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))


def _warnings(report: Report, sets: list[Dataset]) -> None:
    for data in sets:
        told = [
            (data.repetitive, "answers go in circles: half or more of their runs of ten words are repeats"),
            (data.unanswered, "rows have no answer"),
            (data.marked, "rows in the file are marked as not to be used; they are not described here"),
            (data.unreadable, "rows could not be read"),
        ]
        for n, what in told:
            if n:
                report.text(f"{data.name}: {n:,} {what}.", tone="warning")
        for step in data.steps:
            for warning in step.facts.get("warnings", []):
                report.text(f"{data.name}: {warning}.", tone="warning")


def _came_about(report: Report, sets: list[Dataset]) -> None:
    if any(data.funnel for data in sets):
        report.section("How it came about")
    for data in sets:
        if data.funnel is not None:
            name = f"{data.name}: " if len(sets) > 1 else ""
            report.funnel(data.funnel.rows(), caption=f"{name}what was kept, and why the rest was not")
    report.section("Where the rows come from")
    for title, of in (("source", _sources), ("license", _licences), ("written by", _models)):
        _counted_table(report, sets, title, of)


def _sources(data: Dataset) -> Mapping[str, int]:
    return data.sources


def _licences(data: Dataset) -> Mapping[str, int]:
    return data.licences


def _models(data: Dataset) -> Mapping[str, int]:
    return data.models


def _counted_table(report: Report, sets: list[Dataset], title: str, of: Callable[[Dataset], Mapping[str, int]]) -> None:
    values = list(dict.fromkeys(v for data in sets for v in sorted(of(data), key=lambda v: -of(data)[v])))
    if not values:
        return
    columns = [title]
    for data in sets:
        columns += _pair_of_columns(data, sets)
    rows: list[list[Cell]] = []
    for value in values[:_MOST_VALUES]:
        row: list[Cell] = [value]
        for data in sets:
            n = of(data).get(value, 0)
            row += [n, n / data.n if data.n else None]
        rows.append(row)
    formats = {name: ".1%" for name in columns if name.startswith("share")}
    report.table(columns, rows, caption=f"Rows by {title}", formats=formats)


def _pair_of_columns(data: Dataset, sets: list[Dataset]) -> list[str]:
    return ["rows", "share"] if len(sets) == 1 else [f"rows of {data.name}", f"share of {data.name}"]


def _sizes(report: Report, sets: list[Dataset]) -> None:
    report.section("Turns and lengths")
    columns = ["", *(data.name for data in sets)]
    rows: list[list[Cell]] = [["rows", *(data.n for data in sets)]]
    rows.append(["user turns, mean", *(_mean(list(data.turns.elements())) for data in sets)])
    unit = sets[0].unit
    rows.append([f"{unit} a message, mean", *(_mean(data.sizes) for data in sets)])
    rows.append([f"{unit} a message, standard deviation", *(_spread(data.sizes) for data in sets)])
    rows.append([f"{unit} in all", *(int(sum(data.sizes)) for data in sets)])
    rows.append(["characters an instruction, mean", *(_mean(data.instruction_chars) for data in sets)])
    rows.append(["characters an answer, mean", *(_mean(data.answer_chars) for data in sets)])
    report.table(columns, rows, caption=f"Sizes; {unit} are counted over user and assistant messages")
    for title, of in (("instruction", _instruction_chars), ("answer", _answer_chars)):
        found = charts.histogram({d.name: of(d) for d in sets}, f"characters of the {title} (log scale)", log=True)
        if found is not None:
            middle = ", ".join(f"{d.name}: median {_median(of(d)):,.0f}" for d in sets if len(of(d)))
            report.chart(found, caption=f"Length of the {title}", alt=f"Lengths of the {title}: {middle} characters.")


def _instruction_chars(data: Dataset) -> Sequence[float]:
    return data.instruction_chars


def _answer_chars(data: Dataset) -> Sequence[float]:
    return data.answer_chars


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if ordered else math.nan


def _labels(report: Report, sets: list[Dataset]) -> None:
    names = [name for name in LABELS if any(data.labels.get(name) for data in sets)]
    if names:
        report.section("Labels")
    for name in names:
        scale = SCALES.get(name)
        counts: dict[str, Mapping[str, int]] = {data.name: data.labels.get(name, {}) for data in sets}
        if scale is not None:
            order: Sequence[str] = scale.values
        else:
            order = sorted(
                {v for c in counts.values() for v in c}, key=lambda v: -max(c.get(v, 0) for c in counts.values())
            )
        chart = charts.shares(counts, order[:_MOST_VALUES], name)
        if chart is not None:
            top = "; ".join(f"{n}: most often {max(c, key=lambda v: c[v])}" for n, c in counts.items() if c)
            report.chart(chart, caption=f"{name.capitalize()}", alt=f"Shares of {name}. {top}.")
        _label_table(report, sets, name, order)


def _label_table(report: Report, sets: list[Dataset], name: str, order: Sequence[str]) -> None:
    columns = [name, *(column for data in sets for column in _pair_of_columns(data, sets))]
    rows: list[list[Cell]] = []
    for value in order[:_MOST_VALUES]:
        row: list[Cell] = [value]
        for data in sets:
            counts = data.labels.get(name)
            n, total = (counts[value], counts.total()) if counts else (0, 0)
            share: Interval | None = wilson(n, total) if total else None
            row += [n, share]
        rows.append(row)
    unlabeled: list[Cell] = [
        "not labeled",
        *(x for d in sets for x in (d.n - (d.labels[name].total() if name in d.labels else 0), None)),
    ]
    rows.append(unlabeled)
    formats = {column: ".1%" for column in columns if column.startswith("share")}
    note = "Shares are of the labeled rows."
    scale = SCALES.get(name)
    if scale is not None and scale.ordered:
        means = [f"{d.name} {m:.2f}" for d in sets if (m := _mean_rank(d, name)) is not None]
        note += f" Mean on the scale 1 to {len(scale.values)}: {', '.join(means)}."
    bars: list[str] | None = None if len(sets) == 1 else []  # two columns of bars are wider than the page
    report.table(columns, rows, caption=f"{name.capitalize()}, with n", note=note, formats=formats, bars=bars)


def _mean_rank(data: Dataset, name: str) -> float | None:
    counts, scale = data.labels.get(name), SCALES[name]
    if not counts:
        return None
    return sum((scale.values.index(v) + 1) * n for v, n in counts.items()) / counts.total()


def _numbers(report: Report, sets: list[Dataset]) -> None:
    names = [name for name in _NUMBER_TITLES if any(len(data.numbers.get(name, ())) for data in sets)]
    if names:
        report.section("Rewards and neighbors")
    for name in names:
        series = {data.name: data.numbers.get(name, ()) for data in sets}
        chart = charts.histogram(series, _NUMBER_TITLES[name])
        if chart is None:
            continue
        told = ", ".join(f"{n}: mean {_mean(v):.2f} over {len(v):,} rows" for n, v in series.items() if len(v))
        report.chart(
            chart, caption=f"{_NUMBER_TITLES[name].capitalize()} ({told})", alt=f"{_NUMBER_TITLES[name]}; {told}."
        )


def _verbs(report: Report, sets: list[Dataset]) -> None:
    if not any(data.verbs.verbs for data in sets):
        return
    report.section("What is asked for")
    report.text(
        "Root verbs are found without a parser: the first sentence is read from the left, polite openings are passed "
        "over, and the next word counts if it is one of some 250 verbs of instructions; its object is the last word of "
        "the phrase that follows. Questions and statements give no verb."
    )
    for data in sets:
        table = data.verbs.table()
        if not table:
            continue
        known = data.verbs.n - data.verbs.unknown
        share = known / data.verbs.n if data.verbs.n else 0.0
        report.table(
            ["verb", "rows", "objects"],
            [[verb, n, objects] for verb, n, objects in table],
            caption=f"{data.name}: the most frequent root verbs",
            note=f"{known:,} of {data.verbs.n:,} English instructions ({share:.0%}) open with a known verb.",
        )


def _map(report: Report, sets: list[Dataset], covered: Coverage | None, points: Points) -> None:
    if covered is None and not points:
        return
    report.section("Topics")
    if points:
        color = next((c for c in ("category", "data set") if len({p[c] for p in points}) > 1), "topic")
        report.chart(
            charts.topic_map(points, color),
            caption=f"Map of {len(points):,} instructions: alike ones lie close together; words that only a region has",
            alt=f"A map of {len(points):,} instructions colored by {color}; hover a point to read it.",
        )
        _topic_table(report, sets, points)
    if covered is not None and len(sets) > 1:
        first, second = sets[0].name, sets[1].name
        rows: list[list[Cell]] = [
            [d, of_second, of_first]
            for d, of_first, of_second in zip(covered.distances, covered.of_first, covered.of_second, strict=True)
        ]
        columns = ["within distance", f"{second} covered by {first}", f"{first} covered by {second}"]
        report.table(
            columns,
            rows,
            caption="Coverage: share of instructions with a near one in the other data set",
            note=f"Squared distance of unit vectors; {covered.n_first:,} and {covered.n_second:,} instructions drawn.",
            formats=dict.fromkeys(columns[1:], ".1%"),
        )


def _topic_table(report: Report, sets: list[Dataset], points: Points) -> None:
    counts = Counter((p["topic"], p["data set"]) for p in points)
    topics = sorted({topic for topic, _ in counts}, key=lambda t: -sum(counts[t, data.name] for data in sets))
    if len(topics) < 2:
        return
    columns = ["topic", *(f"share of {data.name}" for data in sets)]
    drawn = {data.name: sum(counts[t, data.name] for t in topics) or 1 for data in sets}
    rows: list[list[Cell]] = [[t, *(counts[t, d.name] / drawn[d.name] for d in sets)] for t in topics]
    note = "Topics are groups of instructions whose vectors lie together (k-means), named by words that only they hold."
    formats = dict.fromkeys(columns[1:], ".1%")
    report.table(columns, rows, caption="Topics of the instructions on the map", note=note, formats=formats)


def _cost(report: Report, sets: list[Dataset]) -> None:
    rows: list[list[Cell]] = []
    for data in sets:
        for step in data.steps:
            spent = step.facts.get("spent") or {}
            tokens = (spent.get("prompt_tokens") or 0) + (spent.get("completion_tokens") or 0)
            rows.append([data.name, step.verb, step.seconds, spent.get("calls"), tokens or None, spent.get("cost_usd")])
        drawn = data.tokens["prompt_tokens"] + data.tokens["completion_tokens"]
        if drawn:
            rows.append([data.name, "writing the rows that stayed", None, None, drawn, None])
    if not rows:
        return
    report.section("Cost")
    report.table(["data set", "step", "seconds", "calls", "tokens", "US dollars"], rows, caption="What each step took")
    for data in sets:
        costs = sum((step.facts.get("spent") or {}).get("cost_usd") or 0.0 for step in data.steps)
        seconds = sum(step.seconds for step in data.steps)
        if data.n and data.steps:
            told = f"{data.name}: {seconds / data.n * 1000:,.1f} s"
            told += f" and ${costs / data.n * 1000:,.4f}" if costs else ""
            report.text(f"{told} of curation per 1,000 rows that stayed.")


def _examples(report: Report, data: Dataset) -> None:
    shown: dict[str, Example] = {}
    for name, values in data.examples.items():
        scale = SCALES.get(name)
        order = scale.values if scale else sorted(values)
        for value in order:
            for row in values.get(value, []):
                shown.setdefault(row["id"], _example(row, f"{name}: {value}"))
    cards = list(shown.values())[:_MOST_EXAMPLES] or [_example(row, "") for row in data.sample[:8]]
    if cards:
        report.section("Examples")
        report.examples(cards, caption=f"Rows of {data.name}, drawn by their ids: some of each label")


def _example(row: JsonMap, badge: str) -> Example:
    fields: dict[str, Cell] = {"instruction": instruction_of(row)[:_SHOWN_CHARS]}
    answer = answer_of(row)
    if answer is not None:
        fields["answer"] = answer[:_SHOWN_CHARS]
    labels = [
        f"{name} {tag['value']}" for name in LABELS if (tag := tag_of(row, name)) and tag.get("value") is not None
    ]
    if labels:
        fields["labels"] = ", ".join(labels)
    return Example(str(row["id"]), fields, badge)


def _removed(report: Report, data: Dataset) -> None:
    if not data.removed:
        return
    report.section("What was left out")
    report.examples([_removed_example(one) for one in data.removed], caption="Removed rows, some of each reason")
    report.facts({f"all of {step.verb}": str(step.rejects) for step in data.steps if step.rejects.exists()})


def _removed_example(one: Removed) -> Example:
    fields: dict[str, Cell] = {"reason": one.reason}
    row = one.row
    if isinstance(row, dict) and isinstance(row.get("messages"), list):
        try:
            fields |= _example(row, "").fields
        except (KeyError, TypeError):
            fields["row"] = str(row)[:_SHOWN_CHARS]
    elif row is not None:
        fields["row"] = str(row)[:_SHOWN_CHARS]
    title = str(row.get("id")) if isinstance(row, dict) and row.get("id") else "a row"
    return Example(title, fields, one.verb, "bad")
