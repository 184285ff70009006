"""What people's decisions about tasks come to.

What nobody edited is taken from the tasks and not from the cells, so a spreadsheet that bends a text bends nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from agora.core.errors import DataError
from agora.core.files import nearest
from agora.core.records import Task
from agora.rooms.judge.mining.review_file import EDITABLE, Row, as_cell, joined, shown_cells, unprotect, version_of
from agora.rooms.judge.mining.settings import TAGS

Outcome = Literal["accepted", "rejected", "pending", "conflict"]

_CUT = re.compile(r"… \[\d+ more characters are not shown; this cell cannot be edited\]$")


class Verdict(NamedTuple):
    """What the reviewers of one task come to. ``task`` holds their edits; ``reason`` says why it is not accepted."""

    task: Task
    outcome: Outcome
    reason: str
    reviewers: tuple[str, ...]


class Agreement(NamedTuple):
    """How far the first two reviewers agree on accepting; ``kappa`` is None where it is not defined."""

    n: int
    share: float | None
    kappa: float | None


def decide(tasks: Sequence[Task], files: Sequence[Sequence[Row]], *, two_person: bool = False) -> list[Verdict]:
    """What the reviewers come to, a verdict a task, in the order of the tasks.

    Reviewers who accept must accept the same text. With the two-person rule a task needs two of them; an edit counts
    for the second only if they saw it (a file written after the edit, :func:`apply_edits`) or made the same.

    Args:
        tasks: as they were before review.
        files: the rows of each file, in the order in which people worked.

    Raises:
        DataError: a row about an unknown task, about another text, or with a change that its decision does not cover.
    """
    by_task = _by_task(tasks, files)
    return [_verdict(task, by_task.get(task.id, []), 2 if two_person else 1) for task in tasks]


def apply_edits(tasks: Sequence[Task], files: Sequence[Sequence[Row]]) -> list[Task]:
    """The tasks with the edits of earlier reviewers: what the next one should be shown."""
    by_task = _by_task(tasks, files)
    return [_opinions(task, by_task.get(task.id, []))[1] for task in tasks]


def _by_task(tasks: Sequence[Task], files: Sequence[Sequence[Row]]) -> dict[str, list[Row]]:
    known = {task.id for task in tasks}
    strangers = [row for rows in files for row in rows if row.task_id not in known]
    if strangers:
        named = ", ".join(repr(row.task_id[:40]) for row in strangers[:3])
        more = f" and {len(strangers) - 3} more" if len(strangers) > 3 else ""
        hint = "is it the review of another set of tasks?"
        raise DataError(f"no task is called {named}{more}", where=strangers[0].where, hint=hint)
    by_task: dict[str, list[Row]] = {}
    for rows in files:
        for row in rows:
            if row.decision:
                by_task.setdefault(row.task_id, []).append(row)
    return by_task


class _Opinion(NamedTuple):
    reviewer: str
    accepts: bool
    version: str
    note: str


def _opinions(task: Task, rows: Sequence[Row]) -> tuple[list[_Opinion], Task, dict[str, Task]]:
    """What each reviewer says, the latest edited text, and all texts by version."""
    versions = {version_of(task): task}
    latest = task
    opinions: list[_Opinion] = []
    for row in rows:
        base = versions.get(row.content)
        if base is None:
            hint = "write a new review file: agora judge review"
            raise DataError(f"task {task.id} has changed since this row was written", where=row.where, hint=hint)
        changes = _changes(base, row)
        if changes and row.decision == "accept":
            what = f"{' and '.join(changes)} of task {task.id} changed, but the decision is accept"
            raise DataError(what, where=row.where, hint="write edit to take the change, or restore the cell")
        if changes and row.decision == "edit":
            base = latest = _edited(base, changes, row.reviewer)
            versions[version_of(base)] = base
        opinions.append(_Opinion(row.reviewer, row.decision != "reject", version_of(base), row.note))
    return opinions, latest, versions


def _verdict(task: Task, rows: Sequence[Row], needed: int) -> Verdict:
    opinions, _, versions = _opinions(task, rows)
    reviewers = tuple(dict.fromkeys(opinion.reviewer for opinion in opinions))
    notes = "; ".join(opinion.note for opinion in opinions if opinion.note and not opinion.accepts)
    accepting = [opinion for opinion in opinions if opinion.accepts]
    if accepting and len(accepting) < len(opinions):
        return Verdict(task, "conflict", "reviewers disagree" + (f": {notes}" if notes else ""), reviewers)
    if len({opinion.version for opinion in accepting}) > 1:
        return Verdict(task, "conflict", "reviewers accept different texts", reviewers)
    if len(reviewers) < needed:
        why = "nobody has decided" if not reviewers else "a second person has not decided"
        return Verdict(task, "pending", why, reviewers)
    if not accepting:
        return Verdict(task, "rejected", notes or "rejected", reviewers)
    return Verdict(versions[accepting[0].version], "accepted", "", reviewers)


def _changes(task: Task, row: Row) -> dict[str, Any]:
    """The fields that a row changes, with their new values.

    Raises:
        DataError: a change where none can be made, or to a category that does not exist.
    """
    if row.decision == "reject":
        return {}
    shown = shown_cells(task)
    if "history" in row.cells and not _untouched(row.cells["history"], shown["history"]):
        raise DataError("the history of a task cannot be edited", where=row.where, hint="restore the cell, or reject")
    changes: dict[str, Any] = {}
    for field in EDITABLE:
        if field not in row.cells:
            continue
        if _untouched(row.cells[field], shown[field]):
            continue
        if _CUT.search(as_cell(shown[field])):
            raise DataError(f"{field} is longer than a cell and cannot be edited here", where=row.where)
        changes[field] = _value(field, row.cells[field], row.where)
    return changes


def _untouched(cell: Any, shown: Any) -> bool:
    """Equal but for white space, the quote before a formula and characters that a cell cannot hold; whole or cut."""
    return _plain(joined(cell)) in (_plain(joined(shown)), _plain(as_cell(shown)))


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[\x00-\x1f\x7f]+", " ", unprotect(text)).split())


def _value(field: str, cell: Any, where: str) -> Any:
    if field in ("query", "intent"):
        text = str(cell).strip()
        if field == "query" and not text:
            raise DataError("a task needs a query", where=where, hint="write reject to drop the task")
        return text
    lines = cell if isinstance(cell, list) else str(cell).replace(";" if field == "secondary_tags" else "\n", "\n")
    parts = lines if isinstance(lines, list) else lines.split("\n")
    found = tuple(dict.fromkeys(str(part).strip() for part in parts if str(part).strip()))
    if field == "checklist":
        return found
    tags = tuple(_tag(name, where) for name in found)
    if field == "secondary_tags":
        return tags
    return tags[0] if tags else ""


def _tag(name: str, where: str) -> str:
    found = next((tag for tag in TAGS if tag.casefold() == name.casefold()), None)
    if found is None:
        near = nearest(name, list(TAGS))
        guess = f", did you mean {near}?" if near else ""
        raise DataError(f"{name[:40]!r} is no category{guess}", where=where, hint=f"choose {', '.join(TAGS)}")
    return found


def _edited(task: Task, changes: Mapping[str, Any], reviewer: str) -> Task:
    """The task with the changes, which its ``meta["edits"]`` lists."""
    shown = shown_cells(task)
    edits = [
        {"field": field, "before": shown[field], "after": list(value) if isinstance(value, tuple) else value,
         "reviewer": reviewer}
        for field, value in changes.items()
    ]  # fmt: skip
    fields = dict(changes)
    query = fields.pop("query", None)
    messages = task.messages
    if query is not None:
        messages = (*messages[:-1], replace(messages[-1], content=query))
    meta = {**task.meta, "edits": [*task.meta.get("edits", []), *edits]}
    if "checklist" in fields:
        meta["checklist_sources"] = _sources(task, fields["checklist"], reviewer)
    return replace(task, messages=messages, meta=meta, **fields)


def _sources(task: Task, checklist: Sequence[str], reviewer: str) -> list[dict[str, Any]]:
    """Where each question is from: what a model wrote keeps its source, the others are the reviewer's."""
    known = dict(zip(task.checklist, task.meta.get("checklist_sources", []), strict=False))
    return [known.get(question, {"source": f"reviewer:{reviewer}"}) for question in checklist]


def agreement(files: Sequence[Sequence[Row]]) -> Agreement:
    """How far two reviewers agree on whether to take the tasks that both decided; an edit takes it."""
    from agora.core.agreement import cohen_kappa

    by_reviewer: dict[str, dict[str, int]] = {}
    for rows in files:
        for row in rows:
            if row.decision:
                by_reviewer.setdefault(row.reviewer, {})[row.task_id] = int(row.decision != "reject")
    busiest = [name for name, _ in Counter({n: len(v) for n, v in by_reviewer.items()}).most_common(2)]
    if len(busiest) < 2:
        return Agreement(0, None, None)
    first, second = (by_reviewer[name] for name in busiest)
    both = [task for task in first if task in second]
    if not both:
        return Agreement(0, None, None)
    a, b = [first[t] for t in both], [second[t] for t in both]
    kappa = cohen_kappa(a, b)
    share = sum(x == y for x, y in zip(a, b, strict=True)) / len(both)
    return Agreement(len(both), share, None if kappa != kappa else kappa)
