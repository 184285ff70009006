"""The page of a mining: what was kept at each step and why the rest was not, the mix, rows of both kinds to read."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agora.core.records import Task
from agora.core.report import Example, Report
from agora.curate.funnel import Funnel

_TASKS, _DROPPED_PER_REASON, _REASONS = 12, 2, 20


def write_page(
    path: Path,
    *,
    log: str,
    command: str,
    funnel: Funnel,
    notes: Sequence[str],
    mix: Sequence[Mapping[str, Any]],
    raters: Sequence[Mapping[str, Any]],
    tasks: Sequence[Task],
    dropped: Iterable[Mapping[str, Any]],
) -> Path:
    """Write the page. Private tasks are counted and not shown."""
    public = [task for task in tasks if task.split == "public"]
    report = Report("Tasks mined from conversations", log)
    report.highlights({"conversations": funnel.n_in, "tasks": len(tasks), "private": len(tasks) - len(public)})
    report.command(command)
    for note in notes:
        report.text(note, tone="warning")
    report.section("Funnel").funnel(funnel.rows(), caption="From rows of the log to tasks")
    if mix:
        rows = [
            [cell["name"] or "(not rated)", cell["share"], cell["available"], cell["chosen"], cell["chosen"] / n]
            for cell in mix
            if (n := max(sum(c["chosen"] for c in mix), 1))
        ]
        columns = ["category", "share wanted", "tasks there", "drawn", "share drawn"]
        formats = {"share wanted": ".1%", "share drawn": ".1%"}
        report.section("Mix").table(columns, rows, caption="Tasks by category or group", formats=formats)
    if raters:
        _raters(report, raters, tasks)
    report.section("Tasks").examples(
        [_example(task) for task in public[:: max(1, len(public) // _TASKS)][:_TASKS]], caption="Public tasks"
    )
    report.section("Dropped").examples(_dropped(dropped), caption="Rows that became no task, some of each reason")
    return report.write(path)


def _raters(report: Report, raters: Sequence[Mapping[str, Any]], tasks: Sequence[Task]) -> None:
    statuses = list(dict.fromkeys(status for rater in raters for status in rater["status"]))
    rows = [
        [r["rater"], *(r["status"].get(s, 0) for s in statuses), r["prompt_tokens"] + r["completion_tokens"]]
        for r in raters
    ]
    report.section("Raters").table(["rater", *statuses, "tokens"], rows, caption="Replies by status")
    levels = Counter(task.difficulty or "not rated" for task in tasks)
    report.table(["difficulty", "tasks"], levels.most_common(), caption="Difficulty of the tasks that stay")
    names = [rater["rater"] for rater in raters]
    if len(names) > 1:
        agreed = _agreement(names[:2], tasks)
        if agreed is not None:
            report.text(f"{names[0]} and {names[1]} agree on difficulty with a quadratic kappa of {agreed:.2f}.")


def _agreement(names: Sequence[str], tasks: Sequence[Task]) -> float | None:
    """Quadratic kappa of two raters' levels on the tasks that both rated; None where it is not defined."""
    from agora.core.agreement import cohen_kappa

    levels = [task.meta.get("difficulty") or {} for task in tasks]
    both = [(said[names[0]], said[names[1]]) for said in levels if all(isinstance(said.get(n), int) for n in names)]
    kappa = cohen_kappa([a for a, _ in both], [b for _, b in both], "quadratic")
    return None if kappa != kappa else kappa


def _example(task: Task) -> Example:
    fields: dict[str, Any] = {f"{m.role} ({i})": m.content for i, m in enumerate(task.messages)}
    line = f"line {task.provenance.line}" if task.provenance and task.provenance.line else ""
    facts = [task.primary_tag, task.difficulty or "", line, *map(str, task.meta.get("flags", []))]
    fields["about"] = " · ".join(fact for fact in facts if fact)
    if task.intent:
        fields["intent"] = task.intent
    return Example(f"task {task.id}", fields, badge=task.primary_tag)


def _dropped(rows: Iterable[Mapping[str, Any]]) -> list[Example]:
    by_reason: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        found = by_reason[str(row["reason"])]
        if len(found) < _DROPPED_PER_REASON and len(by_reason) <= _REASONS:
            found.append(row)
    return [
        Example(f"line {row['line']}", {"request": row.get("request") or "(not shown)", "step": row["step"]}, reason)
        for reason, found in by_reason.items()
        for row in found
    ]
