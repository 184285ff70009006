"""What trainings can read: conversations, pairs and prompts in the formats people have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agora.core.errors import DataError
from agora.core.records import Message, PreferencePair, PromptItem, Sample, Task
from agora.core.schemas import to_row
from agora.core.tables import Rejects, write_jsonl
from agora.rooms.preferences.inputs import read_conversations, read_prompts, read_training_pairs

ASK = (Message("user", "What is two and two?"),)
SAY = (Message("assistant", "Four."),)
PAIR = PreferencePair("p", ASK, SAY, (Message("assistant", "Five."),))
SAMPLE = Sample("s", "r", "x", 0, 0, (*ASK, *SAY), "raw", "stop_token")


def written(tmp_path: Path, *rows: Any) -> Path:
    path = tmp_path / "data.jsonl"
    write_jsonl(path, [row if isinstance(row, dict) else to_row(row) for row in rows])
    return path


def turns(messages: tuple[Message, ...]) -> list[tuple[str, str]]:
    return [(m.role, m.content) for m in messages]


@pytest.mark.parametrize(
    "row",
    [
        SAMPLE,
        PAIR,
        {"messages": [m.as_chat() for m in (*ASK, *SAY)]},
        {"conversations": [{"from": "human", "value": ASK[0].content}, {"from": "gpt", "value": SAY[0].content}]},
    ],
    ids=["sample", "pair", "messages", "sharegpt"],
)
def test_a_conversation_is_read_from_any_format(tmp_path: Path, row: Any) -> None:
    with Rejects() as rejects:
        found = read_conversations(written(tmp_path, row), rejects=rejects)
    assert [turns(messages) for _, messages in found] == [[("user", ASK[0].content), ("assistant", "Four.")]]


def test_what_follows_the_last_answer_is_not_learned_from(tmp_path: Path) -> None:
    row = {"messages": [m.as_chat() for m in (*ASK, *SAY)] + [{"role": "user", "content": "Thanks"}]}
    with Rejects() as rejects:
        ((_, messages),) = read_conversations(written(tmp_path, row), rejects=rejects)
    assert turns(messages)[-1] == ("assistant", "Four.")


@pytest.mark.parametrize(
    "row",
    [
        PAIR,
        SAMPLE,
        PromptItem("i", ASK),
        Task("t", "b", "1", ASK),
        {"prompt": ASK[0].content, "chosen": "Four.", "rejected": "Five."},
        {"messages": [m.as_chat() for m in (*ASK, *SAY)]},
    ],
    ids=["pair", "sample", "prompt item", "task", "trl pair", "messages"],
)
def test_a_prompt_is_read_from_any_format_and_counts_once(tmp_path: Path, row: Any) -> None:
    with Rejects() as rejects:
        found = read_prompts(written(tmp_path, row, row), rejects=rejects)
    assert [turns(messages) for _, messages in found] == [[("user", ASK[0].content)]]


def test_a_broken_line_is_rejected_with_its_number_and_the_others_are_read(tmp_path: Path) -> None:
    path = written(tmp_path, *(PreferencePair(str(i), ASK, SAY, PAIR.rejected) for i in range(9)))
    path.write_text(path.read_text() + '{"schema": "preference_pair/1", "id": \n')
    with Rejects(tmp_path / "rejects.jsonl") as rejects:
        pairs = read_training_pairs(path, rejects=rejects)
    assert len(pairs) == 9
    (line,) = (tmp_path / "rejects.jsonl").read_text().splitlines()
    assert json.loads(line)["where"] == f"{path}:10"


def test_a_file_without_what_is_needed_is_one_line(tmp_path: Path) -> None:
    only_question = {"messages": [ASK[0].as_chat()]}
    with Rejects() as rejects, pytest.raises(DataError, match="no conversation with an assistant's turn"):
        read_conversations(written(tmp_path, only_question), rejects=rejects)
    with Rejects() as rejects, pytest.raises(DataError):
        read_training_pairs(written(tmp_path, only_question), rejects=rejects)
