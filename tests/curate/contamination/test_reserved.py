from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agora.core.errors import DataError, MissingError
from agora.core.records import Message, Task
from agora.core.tables import write_jsonl
from agora.curate.contamination.reserved import LeakGate, check_file, open_gate, reserve, text_hash

QUERIES = (
    "Write a short letter to my landlord about the heating that has not worked since Monday, in a polite tone.",
    "A train leaves Avonmouth at 8:40 and arrives at 11:05. How long does the journey take in minutes?",
    "Compare the advantages of wooden and steel bridges for a small river crossing in a rainy country.",
)


def task(i: int, query: str, *earlier: str, split: str = "public") -> Task:
    turns = [text for turn in earlier for text in (turn, "Yes.")] + [query]
    messages = tuple(Message("assistant" if n % 2 else "user", text) for n, text in enumerate(turns))
    return Task(f"t{i}", "demo", "1", messages, split=split)


TASKS = [task(i, query) for i, query in enumerate(QUERIES)]


def gate_of(*tasks: Task) -> LeakGate:
    gate = LeakGate()
    for one in tasks or TASKS:
        gate.add(one)
    return gate


def found(row: dict[str, Any], *tasks: Task) -> list[tuple[str, str, str]]:
    return [(leak.task, leak.kind, leak.field) for leak in gate_of(*tasks).check([("f:1", row)])]


def test_three_planted_tasks_are_reported_with_their_lines(tmp_path: Path) -> None:
    """Verbatim, with other case and spaces, and lightly paraphrased, among 200 clean rows."""
    rows: list[dict[str, Any]] = [
        {"prompt": f"Name {i} things that one finds in drawer number {i} of an old cupboard.", "answer": f"item {i}"}
        for i in range(200)
    ]
    rows.insert(40, {"prompt": QUERIES[0], "answer": "Dear landlord"})
    rows.insert(90, {"messages": [{"role": "user", "content": QUERIES[1].upper().replace(" ", "  ")}]})
    light = "Compare the benefits of wooden and steel bridges for a small river crossing in a rainy country, please."
    rows.insert(150, {"instruction": light, "output": "Wood rots."})
    write_jsonl(tmp_path / "train.jsonl", rows)
    leaks = list(check_file(tmp_path / "train.jsonl", gate_of()))
    assert [(leak.where.rpartition(":")[2], leak.task, leak.kind) for leak in leaks] == [
        ("41", "t0", "exact"),
        ("91", "t1", "exact"),
        ("151", "t2", "near"),
    ]
    assert leaks[2].similarity is not None and 0.6 <= leaks[2].similarity < 1


def test_thirteen_words_in_a_row_are_a_leak_wherever_they_stand() -> None:
    words = QUERIES[2].split()
    assert found({"text": f"Some say: {' '.join(words[2:15])} and so on. " + "More. " * 90}) == [
        ("t2", "ngram", "text")
    ]
    assert found({"text": f"Some say: {' '.join(words[2:14])} indeed. " + "More. " * 90}) == []


def test_every_text_of_a_row_is_looked_at_and_a_task_named_once_a_text() -> None:
    row = {"chosen": [{"content": "fine"}, {"content": QUERIES[0]}], "meta": {"from": {"text": QUERIES[1]}}, "n": 3}
    assert found(row) == [("t0", "exact", "chosen[1].content"), ("t1", "exact", "meta.from.text")]


def test_an_earlier_request_counts_and_small_talk_does_not() -> None:
    talk = task(9, "And how long does it take on foot, if one walks at an even pace?", "Hello there!", QUERIES[1])
    assert found({"text": QUERIES[1]}, talk) == [("t9", "exact", "text")]
    assert found({"text": "Hello there!"}, talk) == []


def test_the_words_of_a_private_task_are_not_shown() -> None:
    (leak,) = gate_of(task(0, QUERIES[0], split="private")).check([("f:1", {"text": QUERIES[0]})])
    assert leak.shared == "(private)"


def test_a_reserved_list_finds_equal_texts_without_the_tasks(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "reserved.jsonl", [reserve(one) for one in TASKS])
    gate = LeakGate()
    gate.add_path(tmp_path / "reserved.jsonl")
    assert QUERIES[0][:20] not in (tmp_path / "reserved.jsonl").read_text()
    rows = [("f:1", {"text": QUERIES[0].upper()}), ("f:2", {"text": QUERIES[0] + " Thanks."})]
    assert [(leak.where, leak.task, leak.kind) for leak in gate.check(rows)] == [("f:1", "t0", "exact")]


def test_gates_are_opened_from_files_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_jsonl(tmp_path / "tasks.jsonl", TASKS[:2])
    write_jsonl(tmp_path / "reserved.jsonl", [reserve(TASKS[2])])
    assert open_gate() is None
    monkeypatch.setenv("AGORA_RESERVED", str(tmp_path / "reserved.jsonl"))
    gate = open_gate([tmp_path])
    assert gate is not None and gate.num_tasks == 3
    write_jsonl(tmp_path / "other.jsonl", [{"a": 1}])
    with pytest.raises(DataError, match="neither tasks"):
        open_gate([tmp_path / "other.jsonl"])
    with pytest.raises(MissingError):
        open_gate([tmp_path / "gone"])


@given(st.text(max_size=200), st.sampled_from(["upper", "spaces", "ends"]))
@settings(deadline=None)
def test_case_and_spaces_never_hide_a_text(text: str, change: str) -> None:
    changed = {"upper": text.lower(), "spaces": text.replace(" ", "  "), "ends": f" {text}\n"}[change]
    assert text_hash(changed) == text_hash(text)


@pytest.fixture
def reserved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_jsonl(tmp_path / "tasks.jsonl", TASKS)
    monkeypatch.setenv("AGORA_RESERVED", str(tmp_path / "tasks.jsonl"))
    return tmp_path


def test_pairs_with_a_reserved_task_are_not_exported(reserved: Path) -> None:
    from agora.core.records import PreferencePair
    from agora.curate.pairs.export import export_pairs

    def pair(id_: str, prompt: str) -> PreferencePair:
        return PreferencePair(
            id_, (Message("user", prompt),), (Message("assistant", "a"),), (Message("assistant", "b"),)
        )

    clean = [pair(f"p{i}", f"Name {i} colors.") for i in range(3)]
    export_pairs(clean, reserved / "clean.jsonl", "trl")
    with pytest.raises(DataError, match=r"reserved task t1 \(exact\)") as caught:
        export_pairs([*clean, pair("bad", QUERIES[1])], reserved / "o.jsonl", "trl")
    assert "bad" in str(caught.value) and not (reserved / "o.jsonl").exists()


def test_reserved_conversations_are_withheld_from_a_release(reserved: Path) -> None:
    from agora.core.records import Conversation, Provenance
    from agora.core.tables import read_rows
    from agora.curate.importers import export_wildchat

    talks = [
        Conversation.linear([("user", text), ("assistant", "Fine.")], Provenance("demo", str(i)))
        for i, text in enumerate(["Name a color.", QUERIES[0] + " Thanks!", "Name a bird."])
    ]
    report = export_wildchat(talks, reserved / "release.parquet")
    assert (report.n_conversations, report.n_rows, report.skipped) == (3, 2, {"reserved for a benchmark": 1})
    assert [row.data["conversation"][0]["content"][:6] for row in read_rows(reserved / "release.parquet")] == [
        "Name a"
    ] * 2


def test_training_refuses_a_file_with_a_reserved_task(reserved: Path) -> None:
    from agora.core.tables import Rejects
    from agora.rooms.preferences.inputs import read_conversations, read_prompts

    rows = [
        {"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": "Yes."}]}
        for text in ("Name a color.", QUERIES[2])
    ]
    write_jsonl(reserved / "train.jsonl", rows)
    for read in (read_conversations, read_prompts):
        with pytest.raises(DataError, match="reserved task t2") as caught:
            read(reserved / "train.jsonl", rejects=Rejects())
        assert "train.jsonl" in str(caught.value)
    write_jsonl(reserved / "clean.jsonl", rows[:1])
    assert len(read_conversations(reserved / "clean.jsonl", rejects=Rejects())) == 1
