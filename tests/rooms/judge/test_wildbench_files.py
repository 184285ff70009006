from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.errors import DataError
from agora.core.records import Answer, Message, Provenance, Task
from agora.core.tables import write_jsonl
from agora.rooms.judge.asking.answer_files import read_answers
from agora.rooms.judge.formats.wildbench_files import output_rows, read_wildbench_tasks, task_rows
from agora.rooms.judge.types import TaskSet
from tests.examples import examples
from tests.rooms.judge.support import make_answer, make_task


def turn(role: str, content: str) -> dict[str, object]:
    return {"content": content, "language": "English", "redacted": False, "role": role, "timestamp": 1, "toxic": False}


# Rows as the Hub's datasets have them.
HUB_ROW = {
    "id": "0123456789abcdef",
    "session_id": "0123456789abcdef",
    "conversation_input": [turn("user", "Hi"), turn("assistant", "Hello!"), turn("user", "Plan a trip.")],
    "references": {"gpt-4": "Go by train."},
    "length": 30,
    "checklist": ["Is there a plan?", "Is it cheap?"],
    "intent": "Plan a trip",
    "appropriate": "yes",
    "primary_tag": "Planning",
    "secondary_tags": ["Advice seeking"],
}  # fmt: skip
HUB_OUTPUT = {
    "session_id": "0123456789abcdef",
    "chat_history": ["Hi", "Hello!", "Plan a trip."],
    "model_input": "n/a",
    "output": ["Take the bus."],
    "generator": "gpt-x",
    "configs": {"engine": "openai", "repetition_penalty": 1, "temperature": 0, "top_p": 1, "max_tokens": 4096},
    "dataset": "wild_bench",
    "primary_tag": "Planning",
}


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_the_hubs_rows_become_tasks_and_answers(tmp_path: Path, suffix: str) -> None:
    for name, row in (("tasks", HUB_ROW), ("out", HUB_OUTPUT)):
        if suffix == "jsonl":
            write_jsonl(tmp_path / f"{name}.jsonl", [row])
        else:
            pq.write_table(pa.Table.from_pylist([row]), tmp_path / f"{name}.parquet")
    (task,) = TaskSet.read(tmp_path / f"tasks.{suffix}")
    assert (task.id, task.primary_tag, task.secondary_tags) == ("0123456789abcdef", "Planning", ("Advice seeking",))
    assert [m.role for m in task.messages] == ["user", "assistant", "user"]
    assert task.checklist == ("Is there a plan?", "Is it cheap?")
    assert task.reference == "Go by train."
    assert task.provenance is not None and task.provenance.language == "English"
    (answer,) = read_answers(tmp_path / f"out.{suffix}")
    assert (answer.task_id, answer.model, answer.output) == ("0123456789abcdef", "gpt-x", "Take the bus.")
    assert answer.params["max_tokens"] == 4096


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NAMES = st.text("abcdef0123456789", min_size=1, max_size=16)


@st.composite
def tasks(draw: st.DrawFn) -> Task:
    turns = draw(st.integers(0, 2))
    roles = ["user", "assistant"] * turns + ["user"]
    messages = tuple(
        Message(role, draw(TEXT), id=str(i), parent=str(i - 1) if i else None)  # type: ignore[arg-type]
        for i, role in enumerate(roles)
    )
    source = Provenance(draw(NAMES), draw(NAMES), licence=draw(NAMES), language=draw(st.none() | NAMES))
    return Task(
        draw(NAMES), draw(NAMES), draw(NAMES), messages, tuple(draw(st.lists(TEXT, max_size=4))), draw(TEXT),
        draw(st.sampled_from(["Math", "Others"])), tuple(draw(st.lists(TEXT, max_size=2))), draw(st.none() | NAMES),
        draw(st.none() | NAMES), source, draw(st.sampled_from(["public", "private"])),
    )  # fmt: skip


@given(st.lists(tasks(), min_size=1, max_size=3))
@settings(max_examples=examples(60), deadline=None)
def test_tasks_written_as_wildbench_writes_them_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, given_tasks: list[Task]
) -> None:
    path = tmp_path_factory.mktemp("t") / "tasks.jsonl"
    write_jsonl(path, task_rows(given_tasks))
    assert list(read_wildbench_tasks(path)) == given_tasks


@given(st.lists(st.tuples(NAMES, NAMES, TEXT), min_size=1, max_size=4))
@settings(max_examples=examples(60), deadline=None)
def test_answers_written_as_wildbench_writes_them_are_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]
) -> None:
    answers = [Answer(t, m, text, params={"temperature": 0}) for t, m, text in rows]
    path = tmp_path_factory.mktemp("a") / "out.json"
    write_jsonl(path, output_rows(answers))
    assert read_answers(path) == answers


def test_the_conversation_goes_with_the_answers_where_the_tasks_are_known() -> None:
    (row,) = output_rows([make_answer()], TaskSet((make_task(),)))
    assert row["chat_history"] == ["Hello.", "Hello, how can I help?", "Add 2 and 3."]
    assert (row["primary_tag"], row["output"], row["dataset"]) == ("Math", ["The sum is 5."], "demo")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**HUB_ROW, "conversation_input": None}, r"t\.jsonl:1: not a row of WildBench's tasks"),
        ({k: v for k, v in HUB_ROW.items() if k != "session_id"}, r"t\.jsonl:1: not a row .*session_id"),
        ({**HUB_ROW, "conversation_input": [{"role": "robot", "content": "x"}]}, "unknown role 'robot'"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: dict[str, object], message: str) -> None:
    write_jsonl(tmp_path / "t.jsonl", [row])
    with pytest.raises(DataError, match=message):
        list(read_wildbench_tasks(tmp_path / "t.jsonl"))


def test_an_output_that_is_null_is_an_empty_answer(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "o.jsonl", [{**HUB_OUTPUT, "output": [None]}, {**HUB_OUTPUT, "output": []}])
    assert [a.output for a in read_answers(tmp_path / "o.jsonl")] == ["", ""]
