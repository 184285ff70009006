"""The statistics as one page, with another set's (such as the paper's) beside ours where it has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from agora.core.records import JsonMap
from agora.core.report import Report
from agora.curate.dataset.charts import shares as shares_chart

_SHOWN = 12
_PERCENT = ".2%"


def statistics_report(found: JsonMap, *, beside: JsonMap | None = None, command: str = "") -> Report:
    """Build the page.

    Args:
        found: from :func:`agora.rooms.collect.statistics.numbers.numbers`.
        beside: statistics in the same layout.
        command: that made the page.
    """
    name, beside = str(found["source"]), beside or {}
    held, turns = found["collection"], found["turns"]
    report = Report("Conversations in numbers", name)
    report.highlights(
        {
            "conversations": held["conversations_released"],
            "people": held["unique_ips"],
            "rounds a conversation": turns["rounds_mean"],
            "of several rounds": turns["share_multi_turn"],
            "of more than 10 rounds": turns["share_more_than_10_turns"],
        },
        formats={
            "rounds a conversation": ".2f",
            "of several rounds": ".1%",
            "of more than 10 rounds": ".1%",
        },
    )
    if held["first_day"]:
        report.text(f"From {held['first_day']} to {held['last_day']}.")
    if command:
        report.command(command)
    _sizes(report, found, beside)
    _labels(report, "Languages", "language of a turn", found["languages"])
    if any(share is not None for share in found["table5_turn_language_share"][name]):
        _side_by_side(report, "table5_turn_language_share", "Turns by language", found, beside)
    _labels(report, "Models", "model", found["models"])
    _labels(report, "Countries", "country", found["countries"])
    _labels(report, "Kinds of prompts", "kind", found["prompt_categories"])
    _toxic(report, found, beside)
    _months(report, found["months"])
    _words(report, found)
    return report


def _sizes(report: Report, found: JsonMap, beside: JsonMap) -> None:
    report.section("Sizes")
    for title in [t for t in found if t.startswith("table1_")]:
        unit = title.removeprefix("table1_")
        columns = found[title]["columns"]
        shown = [column.replace("_tokens_", f" {unit}, ").replace("_", " ") for column in columns]
        rows = [[name, *row] for name, row in found[title].items() if name != "columns"]
        report.table(["data set", *shown], rows, caption=f"Sizes in {unit}", note=_least(found))
    for title in [t for t in beside if t.startswith("table1_")]:
        rows = [[name, *row] for name, row in beside[title].items() if name != "columns"]
        columns = [column.replace("_", " ") for column in beside[title]["columns"]]
        unit = title.removeprefix("table1_").replace("_", " ")
        report.table(["data set", *columns], rows, caption=f"For comparison: published sizes ({unit})")


def _least(found: JsonMap) -> str:
    least = found["settings"]["language_least_prompts"]
    return f"A language counts when more than {least} user prompts are in it. Words are split at white space."


def _side_by_side(report: Report, title: str, caption: str, found: JsonMap, beside: JsonMap) -> None:
    columns = found[title]["columns"]
    rows: list[list[Any]] = [[f"{name} (here)", *row] for name, row in found[title].items() if name != "columns"]
    other = beside.get(title, {})
    if other.get("columns") == columns:
        rows += [[name, *row] for name, row in other.items() if name != "columns"]
    report.table(["data set", *columns], rows, caption=caption, formats=dict.fromkeys(columns, _PERCENT))


def _labels(report: Report, title: str, axis: str, shares: Mapping[str, float]) -> None:
    if not shares:
        return
    top = dict(list(shares.items())[:_SHOWN])
    rest = 1 - sum(top.values())
    if len(shares) > _SHOWN:
        top[f"{len(shares) - _SHOWN} others"] = rest
    report.section(title)
    first = next(iter(top))
    chart = shares_chart({"here": {k: round(v * 1_000_000) for k, v in top.items()}}, list(top), axis)
    alt = f"{first} is the most frequent {axis}, with {top[first]:.1%}."
    report.chart(chart, caption=f"Shares by {axis}", alt=alt)
    rows: list[list[Any]] = [[name, share] for name, share in top.items()]
    report.table([axis, "share"], rows, caption=f"Shares by {axis}", formats={"share": _PERCENT})


def _toxic(report: Report, found: JsonMap, beside: JsonMap) -> None:
    table = found["table6_toxic_turns"]
    if all(share is None for part in ("user", "chatbot") for share in table[part]):
        return
    report.section("Toxicity")
    columns = table["columns"]
    rows: list[Sequence[Any]] = [[f"{part} (here)", *table[part]] for part in ("user", "chatbot")]
    other = next((beside[t] for t in beside if t.startswith("table6_")), None)
    if other:
        place = {name: i for i, name in enumerate(other["columns"])}
        for part in ("user", "chatbot"):
            rows.append([f"{part} (beside)", *(other[part][place[c]] if c in place else None for c in columns)])
    shown = [column.replace("_", " ") for column in columns]
    note = f"A Detoxify score above {found['settings']['detoxify_threshold']} is toxic. A share is of the turns seen."
    report.table(
        ["turns of", *shown],
        rows,
        caption="Toxic turns by classifier",
        note=note,
        formats=dict.fromkeys(shown, _PERCENT),
    )
    for title, caption in (
        ("table12_detoxify_percent_of_turns", "Detoxify, percent of turns"),
        ("table13_openai_moderation_percent_of_turns", "Moderation, percent of turns"),
    ):
        fine = found[title]
        rows = [[name, *row] for name, row in fine.items() if name != "columns"]
        if any(value is not None for value in rows[0][1:]):
            rows += [[n, *r] for n, r in beside.get(title, {}).items() if n != "columns"]
            report.table(["data set", *fine["columns"]], rows, caption=caption)
    repeated = found["table8_jailbreak_prompts"]
    if len(repeated) > 1:
        rows = [[prompt, *row] for prompt, row in repeated.items() if prompt != "columns"]
        columns = [column.replace("_", " ") for column in repeated["columns"]]
        note = "Near duplicates count together. Success: some classifier calls the reply toxic."
        report.table(["prompt begins", *columns], rows, caption="Long prompts that are used again and again", note=note)


def _months(report: Report, months: Mapping[str, Mapping[str, Any]]) -> None:
    if len(months) < 2:
        return
    import altair as alt

    report.section("Months")
    values = [{"month": month, "conversations": row["conversations"]} for month, row in months.items()]
    axis = alt.Axis(labelAngle=-45 if len(months) > 6 else 0)
    bars = alt.Chart(alt.InlineData(values=values)).mark_bar()
    chart = bars.encode(x=alt.X("month:O", title="month", axis=axis), y=alt.Y("conversations:Q"))
    most = max(months, key=lambda month: months[month]["conversations"])
    alt_text = f"{most} has the most conversations, {months[most]['conversations']:,}."
    report.chart(chart.properties(height=180), caption="Conversations by month", alt=alt_text)
    lines = [
        {"month": month, "turns of": part, "share": row[f"{key}_toxic"]}
        for month, row in months.items()
        for part, key in (("people", "user"), ("the model", "chatbot"))
        if row[f"{key}_toxic"] is not None
    ]
    if lines:
        line = alt.Chart(alt.InlineData(values=lines)).mark_line(point=True)
        drawn = line.encode(
            x=alt.X("month:O", title="month", axis=axis),
            y=alt.Y("share:Q", title="toxic turns", axis=alt.Axis(format="%")),
            color=alt.Color("turns of:N", legend=alt.Legend(orient="top")),
            strokeDash="turns of:N",
        )
        worst = max(lines, key=lambda point: point["share"])
        said = f"The highest share is {worst['share']:.1%}, of the turns of {worst['turns of']} in {worst['month']}."
        report.chart(drawn.properties(height=180), caption="Toxic turns by month", alt=said)


def _words(report: Report, found: JsonMap) -> None:
    words = found["first_prompts"]
    if not words["words"]:
        return
    report.section("Variety of first prompts")
    rows = [[name.replace("_", " "), words[name]] for name in words if name != "seen"]
    note = "Compare only samples of equal size. Variety of words alone proves no variety of wishes."
    report.table(["measure", "value"], rows, caption=f"A sample of {words['texts']:,} of {words['seen']:,}", note=note)
    if shared := found.get("overlap"):
        rows = [[name.replace("_", " "), value] for name, value in shared.items()]
        report.table(["measure", "value"], rows, caption="First prompts that the other set holds too")
