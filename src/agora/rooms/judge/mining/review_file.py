"""The file that people fill in about tasks: written, and read back.

One row a task: a decision (accept, reject, edit), a note, and cells whose change is the edit: query, intent, tags,
checklist. As CSV it opens in a spreadsheet, where no cell can act as a formula. As JSON Lines it suits programs.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from agora.core.errors import DataError, UsageError
from agora.core.files import nearest, require_file, write_bytes
from agora.core.records import Task
from agora.rooms.judge.types import task_hash

Decision = Literal["accept", "reject", "edit", ""]

EDITABLE = ("query", "intent", "primary_tag", "secondary_tags", "checklist")
SHOWN = ("history", "difficulty", "flags", "split")
COLUMNS = ("task_id", "decision", "note", "reviewer", *EDITABLE, *SHOWN, "content")
_DECISIONS = ("accept", "reject", "edit", "")
_CELL_CHARS = 30_000  # spreadsheets cut at 32,767
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠|%]|[\t\r\n]|'")


class Row(NamedTuple):
    """One filled-in row as it stands in a file."""

    where: str
    task_id: str
    decision: Decision
    reviewer: str
    note: str
    content: str
    cells: Mapping[str, Any]


def write_review(tasks: Iterable[Task], path: Path) -> int:
    """Write the file for one reviewer: ``.csv`` for a spreadsheet, ``.jsonl`` for a program.

    Returns:
        How many rows it has.

    Raises:
        UsageError: another ending, or the file is there already (it may hold somebody's work).
    """
    path = Path(path)
    if path.suffix not in (".csv", ".jsonl"):
        raise UsageError("a review file is .csv or .jsonl", where=str(path), hint=f"name it {path.stem}.csv")
    if path.exists():
        raise UsageError("the review file is there and may hold decisions", where=str(path), hint="name another file")
    rows = [shown_cells(task) for task in tasks]
    if path.suffix == ".jsonl":
        from agora.core.tables import write_jsonl

        return write_jsonl(path, rows)
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    writer.writerows([protect(as_cell(row[column])) for column in COLUMNS] for row in rows)
    # the mark at the front tells spreadsheets that the text is UTF-8
    write_bytes(path, text.getvalue().encode("utf-8-sig", "replace"))
    return len(rows)


def protect(text: str) -> str:
    """The text as a cell that no spreadsheet takes for a formula; :func:`unprotect` gives it back exactly."""
    return f"'{text}" if _FORMULA.match(text) else text


def unprotect(cell: str) -> str:
    """The text of a cell."""
    return cell.removeprefix("'")


def shown_cells(task: Task) -> dict[str, Any]:
    """The row of a task before anybody has looked at it."""
    from agora.rooms.judge.asking.prompting import conversation

    history, query = conversation(task)
    said = task.meta.get("difficulty")
    levels = ", ".join(f"{rater}: {level}" for rater, level in said.items()) if isinstance(said, dict) else ""
    return {
        "task_id": task.id,
        "decision": "",
        "note": "",
        "reviewer": "",
        "query": query,
        "intent": task.intent,
        "primary_tag": task.primary_tag,
        "secondary_tags": list(task.secondary_tags),
        "checklist": list(task.checklist),
        "history": history if len(task.messages) > 1 else "",
        "difficulty": f"{task.difficulty or 'not rated'} ({levels})" if levels else task.difficulty or "not rated",
        "flags": ", ".join(map(str, task.meta.get("flags", []))),
        "split": task.split,
        "content": version_of(task),
    }


def version_of(task: Task) -> str:
    """Hash of all that a reviewer can change, so that a row tells which text it is about."""
    from agora.core.records import stable_id

    return stable_id(task_hash(task), task.intent, task.primary_tag, list(task.secondary_tags))


def joined(value: Any) -> str:
    """A list as one cell."""
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def as_cell(value: Any) -> str:
    """A value as a cell that no spreadsheet takes for a formula, cut where it is too long for one."""
    text = joined(value)
    if len(text) <= _CELL_CHARS:
        return text
    return (
        f"{text[:_CELL_CHARS]}… [{len(text) - _CELL_CHARS} more characters are not shown; this cell cannot be edited]"
    )


def read_review(path: Path) -> list[Row]:
    """The rows of a review file that somebody filled in; spreadsheets' separators and encodings are understood.

    Raises:
        MissingError: no such file.
        DataError: not such a file; a decision that is none; two rows of one reviewer about one task.
    """
    path = Path(path)
    require_file(path)
    raw = path.read_bytes()
    found = _jsonl_rows(path) if raw.lstrip()[:1] == b"{" else _csv_rows(path, raw)
    rows: list[Row] = []
    seen: dict[tuple[str, str], str] = {}
    for where, cells in found:
        row = _row(where, cells, path.stem)
        before = seen.setdefault((row.task_id, row.reviewer), where)
        if before != where:
            raise DataError(f"{row.reviewer} has two rows about task {row.task_id}, the other in {before}", where=where)
        rows.append(row)
    return rows


def _jsonl_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    from agora.core.tables import read_rows

    for line, data in read_rows(path):
        yield f"{path}:{line}", data


def _csv_rows(path: Path, raw: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 ({error.reason})", where=str(path), hint="save it as CSV UTF-8") from None
    head = text.partition("\n")[0]
    separator = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        names = [name.strip() for name in next(reader, [])]
        _check_columns(path, names)
        for number, values in enumerate(reader, 2):  # as a spreadsheet counts, whatever lines a cell holds
            if any(values):
                cells = dict(zip(names, values, strict=False))
                yield f"{path}:{number}", {name: _trimmed(unprotect(cell)) for name, cell in cells.items()}
    except csv.Error as error:
        raise DataError(f"not a readable CSV file ({error})", where=str(path)) from None


def _trimmed(cell: str) -> str:
    return cell.replace("\r\n", "\n")


def _check_columns(path: Path, names: Sequence[str]) -> None:
    for column in ("task_id", "decision", "content"):
        if column not in names:
            near = nearest(column, list(names))
            guess = f", is {near!r} meant?" if near else ""
            raise DataError(
                f"no column {column!r}{guess}", where=str(path), hint="write a new file: agora judge review"
            )


def _row(where: str, cells: Mapping[str, Any], stem: str) -> Row:
    decision = str(cells.get("decision") or "").strip().lower()
    if decision not in _DECISIONS:
        near = nearest(decision, [d for d in _DECISIONS if d])
        guess = f", did you mean {near}?" if near else ""
        hint = "write accept, reject, edit, or leave it empty"
        raise DataError(f"{decision[:40]!r} is no decision{guess}", where=where, hint=hint)
    return Row(
        where=where,
        task_id=str(cells.get("task_id") or "").strip(),
        decision=decision,  # type: ignore[arg-type]
        reviewer=str(cells.get("reviewer") or "").strip() or stem,
        note=str(cells.get("note") or "").strip(),
        content=str(cells.get("content") or "").strip(),
        cells=cells,
    )
