from __future__ import annotations

import csv
import json
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.errors import ConfigError, DataError, MissingError, UsageError
from agora.core.records import Message, Provenance, Task
from agora.core.tables import read_records, write_jsonl
from agora.curate.contamination.reserved import ReservedTask, text_hash
from agora.rooms.judge.mining.freeze import freeze, read_frozen
from agora.rooms.judge.mining.review import agreement, apply_edits, decide
from agora.rooms.judge.mining.review_file import COLUMNS, protect, read_review, unprotect, write_review
from agora.rooms.judge.types import TaskSet
from tests.examples import examples
from tests.rooms.judge.support import make_task

TEXTS = st.text(st.characters(blacklist_categories=["Cs"]), max_size=60)


def tasks_of(n: int = 4) -> list[Task]:
    origin = Provenance("openai", licence="CC0-1.0", path="/home/someone/log.jsonl", line=3)
    return [make_task(f"t{i}", f"Add {i} and 3.", provenance=origin, intent=f"wants the sum {i}") for i in range(n)]


def fill(path: Path, out: Path, edit: Callable[[dict[str, str]], None]) -> Path:
    """Fill a CSV file in as a person does."""
    with path.open(encoding="utf-8-sig", newline="") as source:
        rows = list(csv.DictReader(source))
    for row in rows:
        edit(row)
    with out.open("w", encoding="utf-8", newline="") as target:
        writer = csv.DictWriter(target, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return out


def decided(tmp_path: Path, name: str, decisions: dict[str, str], tasks: list[Task], **cells: str) -> Path:
    """A reviewer's file with these decisions; ``cells`` are written into every decided row."""
    path = tmp_path / f"{name}.blank.csv"
    write_review(tasks, path)

    def edit(row: dict[str, str]) -> None:
        row["decision"] = decisions.get(row["task_id"], "")
        if row["decision"]:
            row.update(cells)

    return fill(path, tmp_path / f"{name}.csv", edit)


@given(TEXTS)
def test_a_cell_gives_its_text_back_and_is_no_formula(text: str) -> None:
    cell = protect(text)
    assert unprotect(cell) == text
    assert not cell.lstrip().startswith(("=", "+", "-", "@")) and not cell.startswith(("\t", "\r", "\n"))


@given(st.lists(st.tuples(TEXTS, TEXTS, st.lists(TEXTS, max_size=3)), min_size=1, max_size=3))
@settings(deadline=None, max_examples=examples(60))
@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_what_nobody_edits_comes_back_exactly(
    tmp_path_factory: pytest.TempPathFactory, ending: str, made: list[tuple[str, str, list[str]]]
) -> None:
    folder = tmp_path_factory.mktemp("review")
    tasks = [
        make_task(f"t{i}", query, intent=intent, checklist=tuple(checklist))
        for i, (query, intent, checklist) in enumerate(made)
    ]
    path = folder / f"r{ending}"
    write_review(tasks, path)
    if ending == ".csv":
        path = fill(path, folder / "filled.csv", lambda row: row.update(decision="accept"))
    else:
        rows = [json.loads(line) | {"decision": "accept"} for line in path.read_text().split("\n")[:-1]]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [v.task for v in decide(tasks, [read_review(path)])] == tasks
    assert all(v.outcome == "accepted" for v in decide(tasks, [read_review(path)]))


def test_a_review_file_opens_in_a_spreadsheet(tmp_path: Path) -> None:
    task = make_task("t0", '=HYPERLINK("http://x", "y")', intent="+1", checklist=("-1 is right?", "@x is named?"))
    write_review([task], tmp_path / "r.csv")
    raw = (tmp_path / "r.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    (row,) = csv.DictReader(raw.decode("utf-8-sig").splitlines(keepends=True))
    assert tuple(row) == COLUMNS
    assert row["query"].startswith("'=") and row["intent"] == "'+1" and row["checklist"].startswith("'-1")


@pytest.mark.parametrize("kind", ["semicolons", "tabs in UTF-16", "other line ends"])
def test_files_saved_by_spreadsheets_are_read(tmp_path: Path, kind: str) -> None:
    tasks = [make_task("t0", "Erkläre mir: was ist 1;2?\nUnd wo?", checklist=("Ist es richtig?", "Ist es kurz?"))]
    path = decided(tmp_path, "r", {"t0": "accept"}, tasks)
    with path.open(newline="", encoding="utf-8") as source:
        rows = list(csv.reader(source))
    separator, encoding = {"semicolons": (";", "utf-8"), "tabs in UTF-16": ("\t", "utf-16")}.get(kind, (",", "utf-8"))
    if kind == "other line ends":
        rows = [[cell.replace("\n", "\r\n") for cell in row] for row in rows]
    with path.open("w", newline="", encoding=encoding) as target:
        csv.writer(target, delimiter=separator).writerows(rows)
    (verdict,) = decide(tasks, [read_review(path)])
    assert (verdict.outcome, verdict.task) == ("accepted", tasks[0])


def test_an_edit_changes_the_task_and_is_remembered(tmp_path: Path) -> None:
    tasks = tasks_of(1)
    tasks[0] = replace(
        tasks[0], meta={"checklist_sources": [{"source": "model-a"}, {"source": "model-b"}]}
    )  # its two questions
    cells = {
        "query": "Add 7 and 3.",
        "primary_tag": "reasoning",
        "secondary_tags": "Math; Planning",
        "checklist": "Is the answer short?\nIs it 10?",
    }
    path = decided(tmp_path, "ann", {"t0": "edit"}, tasks, **cells)
    (verdict,) = decide(tasks, [read_review(path)])
    task = verdict.task
    assert verdict.outcome == "accepted"
    assert task.messages[-1].content == "Add 7 and 3." and task.messages[:-1] == tasks[0].messages[:-1]
    assert (task.primary_tag, task.secondary_tags) == ("Reasoning", ("Math", "Planning"))
    assert task.checklist == ("Is the answer short?", "Is it 10?")
    assert task.meta["checklist_sources"] == [{"source": "model-b"}, {"source": "reviewer:ann"}]
    edits = {edit["field"]: edit for edit in task.meta["edits"]}
    assert edits["query"]["before"] == "Add 0 and 3." and edits["query"]["reviewer"] == "ann"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task_id": "t9", "decision": "accept"}, "no task is called 't9'"),
        ({"decision": "accpt"}, "did you mean accept"),
        ({"decision": "accept", "query": "Something else."}, "query of task t0 changed, but the decision is accept"),
        ({"decision": "edit", "primary_tag": "Maths"}, "'Maths' is no category, did you mean Math"),
        ({"decision": "edit", "query": " "}, "needs a query"),
        ({"decision": "edit", "history": "USER: other"}, "history of a task cannot be edited"),
        ({"decision": "accept", "content": "0000"}, "has changed since"),
    ],
)
def test_a_row_that_cannot_be_taken_is_refused_with_its_place(
    tmp_path: Path, change: dict[str, str], message: str
) -> None:
    tasks = tasks_of(1)
    write_review(tasks, tmp_path / "a.csv")
    path = fill(tmp_path / "a.csv", tmp_path / "b.csv", lambda row: row.update(change))
    with pytest.raises(DataError, match=message) as caught:
        decide(tasks, [read_review(path)])
    assert "b.csv:2" in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_are_no_reviews_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("task,decision\nt0,accept\n")
    (tmp_path / "b.csv").write_bytes("task_id,decision,content\nt0,ä,x\n".encode("latin-1"))
    (tmp_path / "c.csv").write_text("task_id,decision,content\nt0,accept,x\nt0,reject,x\n")
    for name, message in (("a", "no column 'task_id'"), ("b", "CSV UTF-8"), ("c", "two rows")):
        with pytest.raises(DataError, match=message):
            read_review(tmp_path / f"{name}.csv")
    with pytest.raises(MissingError):
        read_review(tmp_path / "gone.csv")


def test_a_review_file_is_never_written_over(tmp_path: Path) -> None:
    write_review(tasks_of(1), tmp_path / "a.csv")
    with pytest.raises(UsageError, match="may hold decisions"):
        write_review(tasks_of(1), tmp_path / "a.csv")
    with pytest.raises(UsageError, match=r"\.csv or \.jsonl"):
        write_review(tasks_of(1), tmp_path / "a.xlsx")


def test_a_text_longer_than_a_cell_is_kept_whole_and_cannot_be_edited(tmp_path: Path) -> None:
    tasks = [make_task("t0", "word " * 9000)]
    accepted = decided(tmp_path, "a", {"t0": "accept"}, tasks)
    assert max(len(line) for line in accepted.read_text().splitlines()) < 32_767 + 400
    assert decide(tasks, [read_review(accepted)])[0].task == tasks[0]
    edited = decided(tmp_path, "b", {"t0": "edit"}, tasks, query="short")
    with pytest.raises(DataError, match="longer than a cell"):
        decide(tasks, [read_review(edited)])


def outcomes(tasks: list[Task], *files: Path, two_person: bool = False) -> list[str]:
    return [v.outcome for v in decide(tasks, [read_review(path) for path in files], two_person=two_person)]


def test_two_reviewers_must_agree(tmp_path: Path) -> None:
    tasks = tasks_of(5)
    a = decided(tmp_path, "ann", {"t0": "accept", "t1": "reject", "t2": "accept", "t3": "accept"}, tasks)
    b = decided(tmp_path, "bob", {"t0": "accept", "t1": "reject", "t2": "reject"}, tasks)
    assert outcomes(tasks, a, b, two_person=True) == ["accepted", "rejected", "conflict", "pending", "pending"]
    assert outcomes(tasks, a, b) == ["accepted", "rejected", "conflict", "accepted", "pending"]
    agreed = agreement([read_review(a), read_review(b)])
    assert (agreed.n, agreed.share) == (3, pytest.approx(2 / 3))
    assert agreed.kappa == pytest.approx(0.4)


def test_the_second_person_accepts_an_edit_only_if_they_saw_it(tmp_path: Path) -> None:
    tasks = tasks_of(1)
    first = decided(tmp_path, "ann", {"t0": "edit"}, tasks, query="Add 7 and 3.")
    blind = decided(tmp_path, "bob", {"t0": "accept"}, tasks)
    assert outcomes(tasks, first, blind, two_person=True) == ["conflict"]
    shown = apply_edits(tasks, [read_review(first)])
    seeing = decided(tmp_path, "cid", {"t0": "accept"}, shown)
    (verdict,) = decide(tasks, [read_review(first), read_review(seeing)], two_person=True)
    assert (verdict.outcome, verdict.task.messages[-1].content) == ("accepted", "Add 7 and 3.")


@pytest.fixture
def mined(tmp_path: Path) -> Path:
    tasks = [replace(task, split="private" if i == 3 else "public") for i, task in enumerate(tasks_of(5))]
    (tmp_path / "mined").mkdir()
    write_jsonl(tmp_path / "mined/tasks.jsonl", tasks)
    return tmp_path / "mined"


def all_of(mined: Path) -> list[Task]:
    return list(read_records(mined / "tasks.jsonl", Task))


def test_a_frozen_set_has_parts_a_reserved_list_and_a_hash_that_holds(tmp_path: Path, mined: Path) -> None:
    decisions = {"t0": "accept", "t1": "reject", "t3": "accept"}
    filled = decided(tmp_path, "ann", decisions, all_of(mined), note="fine")
    frozen = freeze(mined, [filled], tmp_path / "set", name="demo", version="2")
    assert (frozen.num_public, frozen.num_private, frozen.left_out) == (1, 1, {"rejected": 1, "pending": 2})
    tasks = TaskSet.read(tmp_path / "set")
    assert [task.id for task in tasks] == ["t0", "t3"] and tasks.sha == frozen.sha
    first = tasks.tasks[0]
    assert (first.benchmark, first.version) == ("demo", "2")
    assert first.provenance is not None and (first.provenance.path, first.provenance.line) == ("log.jsonl", 3)
    reserved = list(read_records(tmp_path / "set/reserved.jsonl", ReservedTask))
    assert [row.task_id for row in reserved] == ["t0", "t3"]
    assert reserved[1].hashes == (text_hash("add 3   and 3."),)
    assert "Add" not in (tmp_path / "set/reserved.jsonl").read_text()
    assert "fine" in (tmp_path / "set/left_out.jsonl").read_text()
    assert not stat.S_IMODE((tmp_path / "set/public.jsonl").stat().st_mode) & 0o222


def test_an_edited_task_is_reserved_in_both_wordings(tmp_path: Path, mined: Path) -> None:
    filled = decided(tmp_path, "ann", {"t0": "edit"}, all_of(mined), query="Add 8 and 9, please.")
    freeze(mined, [filled], tmp_path / "set", name="demo")
    hashes = {h for row in read_records(tmp_path / "set/reserved.jsonl", ReservedTask) for h in row.hashes}
    assert hashes == {text_hash("Add 0 and 3."), text_hash("Add 8 and 9, please.")}


def test_a_frozen_set_never_changes(tmp_path: Path, mined: Path) -> None:
    one = decided(tmp_path, "ann", {"t0": "accept"}, all_of(mined))
    two = decided(tmp_path, "bob", {"t2": "accept"}, all_of(mined))
    first = freeze(mined, [one], tmp_path / "set", name="demo")
    before = {path.name: path.read_bytes() for path in (tmp_path / "set").iterdir()}
    assert freeze(mined, [one], tmp_path / "set", name="demo").again
    with pytest.raises(ConfigError, match="never changes"):
        freeze(mined, [one, two], tmp_path / "set", name="demo")
    assert {path.name: path.read_bytes() for path in (tmp_path / "set").iterdir()} == before
    public = tmp_path / "set/public.jsonl"
    public.chmod(0o644)
    public.write_text(public.read_text().replace("Add", "add"))
    with pytest.raises(DataError, match="changed after"):
        read_frozen(tmp_path / "set")
    assert first.sha


def test_a_published_copy_without_its_private_part_is_read(tmp_path: Path, mined: Path) -> None:
    freeze(mined, [], tmp_path / "set", name="demo", unreviewed=True)
    assert len(read_frozen(tmp_path / "set")) == 5
    (tmp_path / "set/private.jsonl").unlink()
    assert [task.id for task in read_frozen(tmp_path / "set")] == ["t0", "t1", "t2", "t4"]


def test_tasks_are_read_from_the_folder_of_a_mining_too(mined: Path, tmp_path: Path) -> None:
    assert len(TaskSet.read(mined)) == 5
    with pytest.raises(MissingError):
        TaskSet.read(tmp_path)


def test_freezing_without_review_has_to_be_asked_for(tmp_path: Path, mined: Path) -> None:
    with pytest.raises(UsageError, match="after review"):
        freeze(mined, [], tmp_path / "set", name="demo")
    nothing = decided(tmp_path, "ann", {"t0": "reject"}, all_of(mined))
    with pytest.raises(DataError, match="no task is accepted"):
        freeze(mined, [nothing], tmp_path / "set", name="demo")
    assert not (tmp_path / "set/taskset.json").exists()
    manifest: Any = freeze(mined, [], tmp_path / "set", name="demo", unreviewed=True).to_json()
    assert manifest["public"] == 4


def test_messages_keep_their_order_after_freezing(tmp_path: Path) -> None:
    task = make_task("t0")
    write_jsonl(tmp_path / "tasks.jsonl", [task])
    freeze(tmp_path, [], tmp_path / "set", name="demo", unreviewed=True)
    (found,) = read_frozen(tmp_path / "set")
    assert found.messages == task.messages and isinstance(found.messages[0], Message)
